"""A notebook that is executed far away: what is sent there as plain data, what comes back while it goes on, and its end.

A Dask task calls `run`; a place runs this file (`python -m qcity_nb.kinds.notebooks.far`): the bundle is the first line of standard input, words
come back as lines on standard output. Nothing here knows the ledger, and no file but the bundle is expected to be there.
"""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from ...decide.redact import redact
from ...decide.remote import SAYS
from ...errors import QCityError
from .control import Control, inherited, masked
from .shut import ARTIFACTS

TOLD_EVERY = 0.25
"""Seconds between two words about what a cell prints."""
TAIL = 400


@dataclass(frozen=True, kw_only=True)
class Bundle:
    """All that an attempt needs where it is executed. It shows nothing but its token: others' logs print what tasks are given.

    Args:
        token: of the attempt; unique.
        notebook: with its parameters, as JSON.
        kernel: the name of an installed one.
        folder: the kernel's, where that exists there; else a fresh one that goes away.
        env: what the kernel finds in its environment beside what is there: secrets.
        secrets: texts that must be in no output.
        held: whether standard input stays open for as long as somebody wants the result.
    """

    token: str
    notebook: str = field(repr=False)
    kernel: str = field(repr=False)
    folder: str = field(default="", repr=False)
    env: Mapping[str, str] = field(default_factory=dict, repr=False)
    secrets: tuple[str, ...] = field(default=(), repr=False)
    timeout: float | None = field(default=None, repr=False)
    cell_timeout: float | None = field(default=None, repr=False)
    held: bool = field(default=False, repr=False)


class Began(msgspec.Struct, frozen=True, kw_only=True, tag="began"):
    """A cell begins; `number` from 0."""

    number: int


class Ended(msgspec.Struct, frozen=True, kw_only=True, tag="ended"):
    """It ended."""

    number: int
    seconds: float
    failed: bool


class Said(msgspec.Struct, frozen=True, kw_only=True, tag="said"):
    """The end of what the cell printed so far, without secrets."""

    tail: str


class Result(msgspec.Struct, frozen=True, kw_only=True, tag="result"):
    """How it ended.

    `notebook` is it as executed, empty when nothing was; `status` is set when it did not come to its end (`record` has the words), with the reason;
    `lost` says that whatever ran it died before. `artifacts` are as `crate` packs them, or `left` says why they stayed there.
    """

    notebook: str = ""
    status: str = ""
    reason: str = ""
    todo: str = ""
    cells: tuple[Ended, ...] = ()
    lost: bool = False
    artifacts: str = ""
    left: str = ""


class Piece(msgspec.Struct, frozen=True, kw_only=True, tag="piece"):
    """A part of the artifacts, before the result: whoever reads lines reads no endless ones."""

    data: str


Word = Began | Ended | Said | Piece | Result
PIECE = 1 << 18


def words(result: Result) -> Iterator[Word]:
    """A result in words that are not too long."""
    for begin in range(0, len(result.artifacts), PIECE):
        yield Piece(data=result.artifacts[begin : begin + PIECE])
    yield msgspec.structs.replace(result, artifacts="")


def pass_on(word: Word, control: Control) -> None:
    """Tell whoever follows a run what was heard of it."""
    if isinstance(word, Began):
        control.began(word.number)
    elif isinstance(word, Ended):
        control.ended(word.number, seconds=word.seconds, failed=word.failed)
    elif isinstance(word, Said):
        control.shows(word.tail)


class Follower(Control):
    """Follows a run where it is executed, and sends word of it."""

    def __init__(self, bundle: Bundle, send: Callable[[Word], None]) -> None:
        self.env: Mapping[str, str] = {**inherited(), **bundle.env}
        self.secrets = bundle.secrets
        self._send, self._lock = send, threading.Lock()
        self._stop: Callable[[], object] | None = None
        self._asked = False
        self._tail, self._told, self._untold = "", 0.0, False
        self.cells: list[Ended] = []

    def end(self) -> None:
        """Have it end, from any thread; at once if it has not begun."""
        with self._lock:
            self._asked = True
            if self._stop is not None:
                self._stop()

    def ready(self, stop: Callable[[], object]) -> None:
        """It may be ended from now on; perhaps that was asked already."""
        with self._lock:
            self._stop = stop
            if self._asked:
                stop()

    def over(self) -> None:
        """It may not any more."""
        with self._lock:
            self._stop = None

    def began(self, number: int) -> None:
        """A cell begins."""
        self._tail, self._told, self._untold = "", 0.0, False
        self._send(Began(number=number))

    def ended(self, number: int, *, seconds: float, failed: bool) -> None:
        """It ended."""
        self.cells.append(Ended(number=number, seconds=seconds, failed=failed))
        self._send(self.cells[-1])

    def said(self, text: str) -> None:
        """The cell printed something."""
        self._tail, self._untold = (self._tail + text)[-4 * TAIL :], True
        self.remind()

    def remind(self) -> None:
        """Send what was printed and not sent yet, unless something was just now."""
        if self._untold and time.monotonic() - self._told >= TOLD_EVERY:
            self._told, self._untold = time.monotonic(), False
            self._send(Said(tail=redact(self._tail, self.secrets)[-TAIL:]))


_running: dict[str, Follower] = {}


def stop(token: str) -> bool:
    """Have a run of this process end; False when there is none."""
    follower = _running.get(token)
    if follower is not None:
        follower.end()
    return follower is not None


def run(bundle: Bundle, follower: Follower) -> Result:
    """Execute it. Whatever happens is in the result: an exception's arguments would end up in somebody's log."""
    _running[bundle.token], over = follower, threading.Event()
    threading.Thread(target=_remind, args=(follower, over), daemon=True).start()
    try:
        with _folder(bundle.folder) as folder:
            return _executed(bundle, follower, folder)
    except QCityError as error:
        found = Result(status="failed", reason=error.what, todo=error.todo)
    except Exception as error:  # noqa: BLE001 - whatever papermill or nbformat meets in somebody's notebook, the run says it
        found = Result(status="failed", reason=f"{type(error).__name__}: {error}")
    finally:
        _running.pop(bundle.token, None)
        over.set()
    return msgspec.structs.replace(found, reason=str(masked(found.reason, bundle.secrets)))


def _remind(follower: Follower, over: threading.Event) -> None:
    while not over.wait(1.0):
        follower.remind()


def _executed(bundle: Bundle, follower: Follower, folder: str) -> Result:
    import nbformat

    from . import crate
    from .execution import RunEnded, execute

    nb = nbformat.reads(bundle.notebook, as_version=4)
    status = reason = todo = ""
    with tempfile.TemporaryDirectory(prefix="qcity-artifacts-", ignore_cleanup_errors=True) as kept:
        follower.env = {**follower.env, ARTIFACTS: kept}
        try:
            execute(
                nb,
                bundle.kernel,
                progress_bar=False,
                execution_timeout=bundle.cell_timeout,
                run_timeout=bundle.timeout,
                cwd=folder,
                control=follower,
            )
        except RunEnded as error:
            status, reason, todo = error.status, error.what, error.todo
        made, left = crate.pack(Path(kept))
    text, cells = nbformat.v4.writes(nb) + "\n", tuple(follower.cells)
    return Result(notebook=text, status=status, reason=reason, todo=todo, cells=cells, artifacts=made, left=left)


@contextlib.contextmanager
def _folder(wanted: str) -> Iterator[str]:
    if wanted and Path(wanted).is_dir():
        yield wanted
        return
    with tempfile.TemporaryDirectory(prefix="qcity-run-") as fresh:
        yield fresh


def main() -> int:
    """Execute the bundle on standard input; what it prints are words, each behind the mark that is meant for us."""
    bundle = msgspec.json.decode(_line(), type=Bundle)
    line = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what kernels say outside their cells is no word
    lock = threading.Lock()

    def send(word: Word) -> None:
        with lock, contextlib.suppress(OSError):  # nobody listens any more: then standard input is over too
            line.write(f"{SAYS} ".encode() + msgspec.json.encode(word) + b"\n")
            line.flush()

    follower = Follower(bundle, send)
    if bundle.held:
        threading.Thread(target=_mind, args=(follower,), daemon=True).start()
    for word in words(run(bundle, follower)):
        send(word)
    return 0


def _line() -> bytes:
    """The first line of standard input. Nothing is read ahead, and no buffer of Python's is held by a thread when all ends: that would abort us."""
    parts: list[bytes] = []
    while not parts or not parts[-1].endswith(b"\n"):
        if not (part := os.read(0, 1 << 16)):
            break
        parts.append(part)
    return b"".join(parts)


def _mind(follower: Follower) -> None:
    """Have the run end when nobody wants it any more."""
    with contextlib.suppress(OSError):
        while os.read(0, 1 << 16):
            pass
    follower.end()


if __name__ == "__main__":
    sys.exit(main())
