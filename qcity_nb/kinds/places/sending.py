"""Sends one notebook to a Hugging Face job and waits for its result. Whatever comes of it, its job ends and its files go away.

A worker that was killed could do neither, so the next attempt does it: branches bear the name of the home that made them, and one of ours that no
attempt of this process is about has an owner who died. One process of a home executes notebooks, so that nobody else's are taken for it.
"""

from __future__ import annotations

import base64
import contextlib
import os
import threading
from pathlib import Path

from ...decide import huggingface
from ...decide.huggingface import Errand, Job
from ...decide.remote import SAYS
from ...errors import PlaceError, PlatformError, QCityError
from ...io.files import write_atomic
from ...model.fleet import PlaceConfig
from ...model.home import Home
from ..forges.http import Caller
from . import errand
from .exchange import BUNDLE, RESULT, WHEEL, Exchange, packed, unpacked
from .hosted import Heard
from .jobs import ENDED, Jobs

BEGUN = f'{SAYS} {{"type":"said","tail":""}}'
PREFIX = "qcity-run"
_under_way: set[str] = set()
_lock = threading.Lock()


class Sending:
    """One attempt at a run, in a job of its own.

    Args:
        config: of the place.
        home: of this place.
        caller: of the hub.
        jobs: of the namespace.
        dataset: the exchange.
        what: the errand.
    """

    def __init__(self, config: PlaceConfig, *, home: Home, caller: Caller, jobs: Jobs, dataset: str, what: Errand) -> None:
        self._config, self._caller, self._jobs, self._what = config, caller, jobs, what
        self._ours = f"{PREFIX}-{owner(home)}-"
        self._exchange = Exchange(caller, dataset, self._ours + what.token)

    def run(self, wheel: Path, heard: Heard, over: threading.Event, *, flavor: str, token: str) -> Job:
        """Send it, and wait; the job as it ended. Its result, if there is one, is heard.

        Raises:
            Refused: the exchange is not private, or the notebook is too large for it.
            PlaceError: it was not sent, or nobody knows any more how it is.
        """
        exchange = self._exchange
        _under_way.add(exchange.branch)
        try:
            exchange.open()
            self._clear()
            exchange.put({BUNDLE: packed(self._what.bundle), WHEEL: base64.b64encode(wheel.read_bytes()).decode()})
            names = {"QCITY_HUB": self._caller.base, "QCITY_EXCHANGE": exchange.dataset, "QCITY_BRANCH": exchange.branch, "QCITY_WHEEL": wheel.name}
            body = huggingface.request_errand(self._config, self._what, script=errand.SCRIPT, flavor=flavor, where=names, token=token)
            job = self._jobs.ask_once(body, huggingface.RUN_LABEL, self._what.token)
            heard(BEGUN)
            job = self._jobs.followed(job, over)
            if result := exchange.get(RESULT):
                heard(f"{SAYS} {unpacked(result)}")
            return job
        except PlatformError as error:
            raise PlaceError(error.what, error.todo) from error
        except ValueError as error:
            raise PlaceError(f"the result in the dataset {exchange.dataset} cannot be read ({error})", "The run begins again") from None
        finally:
            exchange.remove()
            _under_way.discard(exchange.branch)

    def _clear(self) -> None:
        """End what attempts left whose worker was killed; what cannot be done now is done by the next one."""
        with contextlib.suppress(QCityError):
            for branch in self._exchange.branches():
                if not branch.startswith(self._ours) or branch in _under_way:
                    continue
                for job in self._jobs.labelled(huggingface.RUN_LABEL, branch.removeprefix(self._ours)):
                    if job.status.stage not in ENDED:
                        self._jobs.cancel(job)
                Exchange(self._caller, self._exchange.dataset, branch).remove()


def owner(home: Home) -> str:
    """Eight letters that tell this home from others which use the same exchange; they are made once and kept."""
    path = home.root / "places" / "exchange-owner"
    with _lock:
        with contextlib.suppress(FileNotFoundError):
            return path.read_text(encoding="ascii")
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        made = os.urandom(4).hex()
        write_atomic(path, made)
        return made
