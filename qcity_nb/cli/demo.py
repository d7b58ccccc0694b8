"""`qcity demo`: sets the scene, plays it, clears it away. Whatever happens, Ctrl-C and SIGTERM included, no process is left behind."""

from __future__ import annotations

import argparse
import contextlib
import os
import shutil
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from ..client.city import QCity
from ..client.hosts import ProcessHost
from ..decide.wording import count
from ..errors import BadInput, HomeError, QCityError
from ..io.files import is_locked
from . import complaint
from .demo_scene import NotSeen, Scene, play
from .demo_stage import Stage

GONE_SECONDS = 10.0


AGAIN = 1.0
"""Seconds until the word that it is to end is said again, when nobody has heard it."""


class Terminated(KeyboardInterrupt):
    """SIGTERM came."""


def command(args: argparse.Namespace) -> int:
    """The command."""
    return run(Path(args.dir) if args.dir else None, keep=args.keep)


def run(folder: Path | None = None, *, keep: bool) -> int:
    """Play the demo in `folder` (default: the next free ./qcity-demo); 0 when all of it was seen to happen."""
    import sys

    from .. import open as open_city

    place = _make(folder)
    shown = _short(place)
    stage = Stage()
    fate = "kept" if keep else "removed at the end, but for the report; --keep keeps it"
    code, report, scene = 1, None, None
    with own_store(), sigterm() as heard:
        begin = time.monotonic()
        try:
            stage.plain(f"QCity demo · everything happens in {shown} ({fate})")
            scene = Scene(open_city(place / "home", say=stage.plain), stage, place)
            report = play(scene)
            code = 0
        except KeyboardInterrupt as ended:
            heard()
            code = 143 if isinstance(ended, Terminated) else 130
        except QCityError as error:
            stage.still()
            keep = keep or isinstance(error, NotSeen)
            print(complaint(error), file=sys.stderr)
            code = max(1, error.exit_code)
        finally:
            took = time.monotonic() - begin
            left = _clear(scene) if scene else []
        if left:
            print(f"qcity: {count(len(left), 'process', 'processes')} could not be ended: {', '.join(map(str, left))}.", file=sys.stderr)
            code = code or 1
    _remove(place, keep=keep, report=report)
    if report is not None and code == 0:
        _goodbye(stage, report, took=took, kept=shown if keep else "")
    elif code in (130, 143):
        stage.plain(f"Stopped. {'Some processes are' if left else 'No process is'} left; {shown} is {'kept' if keep else 'removed'}.")
    return code


def _goodbye(stage: Stage, report: Path, *, took: float, kept: str) -> None:
    stage.line("✔", "all of it", f"seen to happen in {took:.0f} s; 0 processes left" + (f"; kept: qcity --home {kept}/home status" if kept else ""))
    stage.more("report", _short(report))
    stage.more("next", "qcity up --repo PATH    run your own workflows on this machine")
    stage.more("", "jupyter lab notebooks/  the same with buttons and plots")


def _make(folder: Path | None) -> Path:
    try:
        if folder is not None:
            if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
                raise BadInput(f"{folder} is there already and not empty", "Give --dir a folder that is empty or new")
            folder.mkdir(parents=True, exist_ok=True)
            return folder.resolve()
        for number in range(1, 1000):
            place = Path("qcity-demo" if number == 1 else f"qcity-demo-{number}")
            with contextlib.suppress(FileExistsError):
                place.mkdir()
                return place.resolve()
    except OSError as error:
        raise HomeError(f"no folder can be made here ({error.strerror})", "qcity demo --dir DIR puts it elsewhere") from None
    raise BadInput("there are a thousand qcity-demo folders here", "Remove some of them")


def _clear(scene: Scene) -> list[int]:
    """End the engine and all it started; what could not be ended. A second Ctrl-C does not stop this."""
    with contextlib.suppress(ValueError):  # not the main thread: no signals to ignore
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    scene.stage.still()
    city = scene.city
    _settle(city)
    if is_locked(city.link.store.home.lock):
        with contextlib.suppress(QCityError):
            city.stop(runners=True)
    city.close()
    deadline = time.monotonic() + GONE_SECONDS
    while left := living_in(scene.folder):
        for pid in left:  # only what did not end by itself: its engine is gone, nobody else will do it
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        if time.monotonic() > deadline:
            break
        time.sleep(0.05)
    return left


def _settle(city: QCity) -> None:
    """An engine that is just starting is waited for: it could not be told to end yet."""
    host, deadline = city.link.host, time.monotonic() + GONE_SECONDS
    while isinstance(host, ProcessHost) and host.starting and time.monotonic() < deadline:
        time.sleep(0.01)


def living_in(folder: Path) -> list[int]:
    """The processes that live and work in a folder, or were given it."""
    place, me = str(folder), os.getpid()
    found = set()
    for entry in Path("/proc").glob("[0-9]*"):
        pid = int(entry.name)
        with contextlib.suppress(OSError):
            if pid == me or (entry / "stat").read_text().rpartition(")")[2].split()[0] == "Z":
                continue
            words = (entry / "cmdline").read_bytes().decode("utf-8", "replace").split("\0")
            inside = str((entry / "cwd").readlink())
            mine = any(word == place or word.startswith(f"{place}/") for word in words) and "qcity_nb" in " ".join(words)
            if mine or inside == place or inside.startswith(f"{place}/"):
                found.add(pid)
    return sorted(found)


def _remove(place: Path, *, keep: bool, report: Path | None) -> None:
    if keep:
        return
    for entry in place.iterdir():
        if entry != report:
            shutil.rmtree(entry, ignore_errors=True) if entry.is_dir() else entry.unlink(missing_ok=True)
    with contextlib.suppress(OSError):  # the report keeps its folder
        place.rmdir()


def _short(path: Path) -> str:
    try:
        return f"./{path.relative_to(Path.cwd())}"
    except ValueError:
        return str(path)


@contextlib.contextmanager
def own_store() -> Iterator[None]:
    """What happens here goes into a folder of its own, never into a shared store."""
    kept = os.environ.pop("QCITY_STORE", None)
    try:
        yield
    finally:
        if kept is not None:
            os.environ["QCITY_STORE"] = kept


@contextlib.contextmanager
def sigterm() -> Iterator[Callable[[], None]]:
    """SIGTERM ends it like Ctrl-C; the old handlers come back at the end. What is given is to be called when the end was heard of.

    An exception that is raised while Python runs a callback (of its import lock, of a weak reference) is ignored there, so it is raised again until
    somebody has heard it.
    """

    def end(_number: int, _frame: object) -> None:
        signal.signal(signal.SIGALRM, end)
        signal.setitimer(signal.ITIMER_REAL, AGAIN)
        raise Terminated

    def heard() -> None:
        if signal.getsignal(signal.SIGALRM) is end:
            signal.setitimer(signal.ITIMER_REAL, 0)

    try:
        before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT, signal.SIGALRM)}
        signal.signal(signal.SIGTERM, end)
    except ValueError:  # not the main thread
        yield lambda: None
        return
    try:
        yield heard
    finally:
        heard()
        for number, handler in before.items():
            signal.signal(number, handler)
