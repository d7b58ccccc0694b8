"""Notebooks in a Dask cluster: one that stands, or one of our own on this machine. Dask finds the worker; the ledger owns the retries.

A task that Dask starts a second time, because its worker died, refuses: the attempt is lost then, and the ledger plans the run again. Nothing is kept
in the cluster: a result is fetched and released at once, so that no worker's death makes a notebook run that was done. TLS is the user's Dask
configuration.
"""

from __future__ import annotations

import contextlib
import importlib.metadata
import os
import threading
import time
from concurrent.futures import CancelledError
from concurrent.futures import Future as Answer
from typing import TYPE_CHECKING, Any

import msgspec

from ...errors import EngineError, MissingTool
from ...model.home import Home
from . import far
from .control import Control
from .executors import Lost
from .far import Bundle, Result, Said, Word
from .record import CANCELLED

if TYPE_CHECKING:
    from collections.abc import Callable

    from distributed import Client, Future, LocalCluster

PATIENCE = float(os.environ.get("QCITY_CLUSTER_PATIENCE", "60"))
"""Seconds that a cluster without a worker, or without an answer, is waited for; tests wait less."""
LOOK, ANSWER, LEAVE = 1.0, 10.0, 12.0
"""Seconds between two looks at a run, for an answer to one, and for a run that was cancelled to end by itself."""
FIRST = 4
"""Runs that a cluster gets before it is known."""
MOST = 4
"""Workers of a cluster of our own: kernels are processes anyway, and a worker has threads."""
PACKAGE = "qcity-nb"
INSTALL = 'pip install "qcity-nb[cluster]"'
CUT = Result(status=CANCELLED, reason="the run was cancelled")
DIED = "the Dask worker that ran it died"


class Cluster:
    """The cluster at an address.

    Args:
        address: of its scheduler, host and port; empty for one of our own.
        home: of this place.
    """

    def __init__(self, address: str, *, home: Home) -> None:
        self.name = f"the Dask cluster at {address}" if address else "the Dask cluster on this machine"
        self._address, self._lock, self._threads = address, threading.Lock(), 0
        self._client: Client | None = None
        self._own: LocalCluster | None = None
        self._refused: tuple[float, EngineError] | None = None
        self._controls: dict[str, Control] = {}
        self._begun: set[str] = set()

    @property
    def room(self) -> int:
        """Twice its threads: one run for each, and one that waits."""
        return max(FIRST, 2 * self._threads)

    def run(self, bundle: Bundle, control: Control) -> Result:
        """Have a worker execute it."""
        client = self._connected()
        able = self._able(client)
        asked, wake = threading.Event(), threading.Event()

        def end() -> None:
            asked.set()
            wake.set()

        self._controls[bundle.token] = control
        future = client.submit(task, bundle, _topic(client), key=bundle.token, pure=False, retries=0, workers=able)
        future.add_done_callback(lambda _: wake.set())
        control.ready(end)
        try:
            return self._result(client, future) if self._wait(client, future, able, asked, wake) else CUT
        finally:
            control.over()
            self._controls.pop(bundle.token, None)
            self._begun.discard(bundle.token)
            future.release()
            _aside(_forget, client, bundle.token)

    def close(self) -> None:
        """Leave it; end it if it is ours."""
        with self._lock:
            client, own, self._client, self._own = self._client, self._own, None, None
        _close(client, own)

    def _leave(self, client: Client) -> None:
        """Have the next attempt connect anew, to a new cluster if it is ours."""
        with self._lock:
            if self._client is client:
                self._client = None
        _aside(_close, client, None)

    def _connected(self) -> Client:
        """Our client, connected now if it is not; several attempts share it, and the answer when it cannot be."""
        asked = time.monotonic()
        with self._lock:
            if self._refused is not None and self._refused[0] >= asked:
                raise EngineError(self._refused[1].what, self._refused[1].todo, permanent=False)
            if self._client is not None and self._client.status == "running":
                return self._client
            client, own, self._client, self._own = self._client, self._own, None, None
            _aside(_close, client, own)
            try:
                client, self._own = self._open()
            except EngineError as error:
                self._refused = time.monotonic(), error
                raise
            client.subscribe_topic(_topic(client), self._heard)
            self._client = client
            return client

    def _open(self) -> tuple[Client, LocalCluster | None]:
        try:
            import dask
            from distributed import Client, LocalCluster, Security

            ours = None if self._address else Security.temporary()  # others of this machine can reach loopback, and whoever can run tasks is us
        except ImportError as error:
            raise MissingTool(f"notebooks cannot run in a Dask cluster: {error.name or 'cryptography'} is not installed", INSTALL) from None
        dask.config.set({"distributed.admin.large-graph-warning-threshold": "1 GiB"})  # a notebook is no graph
        if not self._address:
            cores = os.cpu_count() or 1
            workers = min(MOST, cores)
            how = {"host": "127.0.0.1", "dashboard_address": None, "security": ours}
            own = LocalCluster(n_workers=workers, threads_per_worker=-(-cores // workers), **how)
            return Client(own, set_as_default=False, name="qcity"), own
        try:
            return Client(self._address, set_as_default=False, name="qcity"), None
        except (OSError, ValueError) as error:
            todo = f"dask scheduler --host {self._address.rpartition(':')[0]} starts one; or leave the executor out to run it on this machine"
            why = "no Dask scheduler answers" if isinstance(error, OSError) else f"it cannot be reached ({error})"
            raise EngineError(f"{self.name}: {why}", todo, permanent=False) from None

    def _heard(self, event: tuple[float, Any]) -> None:
        """Word of a run, in the client's own thread."""
        with contextlib.suppress(msgspec.ValidationError, KeyError, TypeError, ValueError):
            token, word = event[1]
            control = self._controls.get(token)
            if control is not None:
                self._begun.add(token)
                far.pass_on(msgspec.convert(word, Word), control)

    def _able(self, client: Client) -> list[str] | None:
        """The workers that have this package, None for all: a task that a worker cannot read would be the worker's end, whoever else it works for."""
        told = _aside(client.run, importlib.metadata.version, PACKAGE, on_error="return")
        try:
            found = told.result(ANSWER)
        except Exception:  # noqa: BLE001 - a scheduler that does not answer is told of by waiting for it
            return None
        able = [worker for worker, version in found.items() if isinstance(version, str)]
        if found and not able:
            raise EngineError(f"no worker of {self.name} has {PACKAGE} installed", f"{INSTALL}, of this very version, where they run")
        return able if len(able) < len(found) else None

    def _wait(self, client: Client, future: Future, able: list[str] | None, asked: threading.Event, wake: threading.Event) -> bool:
        """Until it is done; False when it is not to be waited for any more."""
        seen, limit = time.monotonic(), 0.0
        while not future.done():
            wake.wait(LOOK)
            wake.clear()
            now = time.monotonic()
            if asked.is_set():
                limit = limit or now + LEAVE
                if now > limit or future.key not in self._begun:
                    return False
                _aside(client.run, far.stop, future.key, on_error="ignore")
            if self._look(client, able):
                seen = now
            elif now - seen > PATIENCE:
                self._leave(client)
                raise Lost(f"no worker of {self.name} was to be seen for {PATIENCE:.0f} s", "dask worker ADDRESS starts one")
        return True

    def _look(self, client: Client, able: list[str] | None) -> bool:
        """Whether there is a worker that could do it."""
        with contextlib.suppress(Exception):  # a scheduler that died is heard of by the future
            found = client.sync(client.scheduler.ncores, callback_timeout=ANSWER)
            self._threads = sum(found.values())
            return bool(found if able is None else set(able) & set(found))
        return False

    def _result(self, client: Client, future: Future) -> Result:
        from distributed import KilledWorker

        try:
            result = future.result()
        except (CancelledError, OSError, TimeoutError):
            self._leave(client)
            raise Lost(f"{self.name} lost its scheduler", "dask scheduler starts one") from None
        except KilledWorker:
            raise Lost(DIED, "It may have run out of memory") from None
        except ImportError as error:
            raise EngineError(f"a worker of {self.name} cannot run notebooks ({error})", f"{INSTALL}, of this very version, where it runs") from None
        if not isinstance(result, Result):
            raise EngineError(f"{self.name} gave back no result", "Its workers may have another version of qcity-nb")
        if result.lost:
            raise Lost(result.reason, "It may have run out of memory")
        return result


def task(bundle: Bundle, topic: str) -> Result:
    """What a worker of the cluster does."""
    from distributed import Event, get_client, get_worker

    worker, client = get_worker(), get_client()
    begun = Event(bundle.token, client=client)
    if begun.is_set():
        return Result(lost=True, reason=DIED)
    begun.set()

    def send(word: Word) -> None:
        worker.log_event(topic, [bundle.token, msgspec.to_builtins(word)])

    send(Said(tail=""))  # it has begun
    follower, over = far.Follower(bundle, send), threading.Event()
    threading.Thread(target=_mind, args=(client, worker.address, follower, over, bundle.token), daemon=True).start()
    try:
        return far.run(bundle, follower)
    finally:
        over.set()


def _mind(client: Client, address: str, follower: far.Follower, over: threading.Event, token: str) -> None:
    """Have a run end that nobody wants any more: who asked is gone, or the scheduler took this worker for dead. Twice, for it may just have begun."""
    missed = 0
    while not over.wait(LOOK):
        try:
            wanted = token in client.sync(client.scheduler.processing, workers=[address], callback_timeout=ANSWER).get(address, ())
        except Exception:  # noqa: BLE001 - a scheduler that is gone is told in many ways
            wanted = False
        missed = 0 if wanted else missed + 1
        if missed > 1:
            follower.end()
            return


def _topic(client: Client) -> str:
    return f"qcity-{client.id}"


def _forget(client: Client, token: str) -> None:
    """The scheduler need not know any more that it had begun."""
    from distributed import Event

    Event(token, client=client).clear()


def _close(client: Client | None, own: LocalCluster | None) -> None:
    if client is not None:
        client.close(timeout=2)
    if own is not None:
        own.close(timeout=5)


def _aside(what: Callable[..., Any], *given: object, **more: object) -> Answer[Any]:
    """Do it in a thread of its own: a scheduler that is frozen answers nobody, and what is asked of it here need not be waited for."""
    answer: Answer[Any] = Answer()

    def do() -> None:
        try:
            answer.set_result(what(*given, **more))
        except Exception as error:  # noqa: BLE001 - whoever waits for it gets it
            answer.set_exception(error)

    threading.Thread(target=do, daemon=True).start()
    return answer
