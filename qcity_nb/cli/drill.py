"""`qcity fleet drill`: real places with real engines around one claim; its holder is killed, paused or cut off, and the takeover is timed.

Every place has a witness under the claim, which stamps a file of its own while it lives. All run on this machine, so their stamps share a clock
and show whether two ever lived at once. Whatever happens, Ctrl-C included, no process and no file is left.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TypeVar

from .. import open as open_city
from ..client import shapes
from ..client.city import QCity
from ..client.fleet import Round, Spell
from ..client.view import look
from ..decide.wording import count
from ..errors import EngineError, MissingTool
from ..model.fleet import PlaceConfig
from .demo import Terminated, living_in, own_store, sigterm
from .screen import out, put_json, put_table

T = TypeVar("T")

CLAIM = "drill"
RUNNER = "witness"
LIMIT = 2.0
"""A takeover has to be done in this many terms."""
PATIENCE = 20.0
"""Seconds that a slow machine may take on top of what the terms allow before a drill is given up."""
FRESH = 1.0
GONE_SECONDS = 10.0
WITNESS = """
import os, signal, sys, time
out = os.open(sys.argv[1], os.O_APPEND | os.O_CREAT | os.O_WRONLY, 0o600)
def stamp(what):
    os.write(out, f"{time.monotonic():.6f} {what} {os.environ['QCITY_EPOCH']} {os.getpid()}\\n".encode())
def end(*_):
    stamp("end")
    os._exit(0)
signal.signal(signal.SIGTERM, end)
stamp("begin")
while True:
    time.sleep(0.02)
    stamp("beat")
"""


@dataclass
class Place:
    """One home with its own way to the lease store."""

    name: str
    folder: Path
    city: QCity

    @property
    def way(self) -> Path:
        """A link to the lease store, which can be taken away from this place alone."""
        return self.folder / "way.git"

    @property
    def stamps(self) -> Path:
        """What its witness wrote."""
        return self.folder / "stamps"

    def holds(self) -> bool:
        """Whether it says that it holds the claim."""
        return any(claim.mine for claim in self.city.fleet.status().claims)

    def epoch(self) -> int:
        """The epoch that it last saw; 0 when its store did not answer last time."""
        return max((claim.epoch for claim in self.city.fleet.status().claims if not claim.trouble), default=0)

    def spells(self) -> list[Spell]:
        """The stretches of time in which its witness lived."""
        return spells_of(self.name, self.stamps.read_text().splitlines() if self.stamps.exists() else ())


class Drill:
    """The whole scene.

    Args:
        folder: an empty folder.
        places: how many.
        term: the lease term.
        say: told what happens.
    """

    def __init__(self, folder: Path, *, places: int, term: timedelta, say: Callable[[str], None]) -> None:
        self.folder, self.term, self._say = folder, term, say
        self._remote = folder / "leases.git"
        self._names = [f"place-{number}" for number in range(1, places + 1)]
        self.places: list[Place] = []

    def prepare(self) -> None:
        """Make the lease store and the places; one of them holds the claim afterwards, the others stand by."""
        if shutil.which("git") is None:
            raise MissingTool("git is not installed", "apt-get install git")
        subprocess.run(["git", "init", "--quiet", "--bare", str(self._remote)], check=True, capture_output=True)
        program = self.folder / "witness.py"
        program.write_text(WITNESS)
        named = [PlaceConfig(name=name) for name in self._names]
        for name in self._names:
            folder = self.folder / name
            folder.mkdir()
            place = Place(name, folder, open_city(folder / "home", say=lambda _text: None))
            self.places.append(place)
            self._open_way(place)
            place.city.fleet.join(f"git:{place.way}", term=self.term, me=name, places=named)
            command = [sys.executable, "-I", "-S", str(program), str(place.stamps)]
            place.city.runners.start("command", RUNNER, command=command, claim=CLAIM, grace=0.2)

    def round(self, number: int, fault: str) -> Round:
        """One takeover: wait until all is calm, strike the holder, see who is next, mend it."""
        holder = self._calm()
        end = time.monotonic() + self.term.total_seconds() * ((number * 0.37) % 1)  # at another moment of the term each time
        while time.monotonic() < end:
            time.sleep(0.01)
        self._say(f"round {number}: {holder.name} is {fault}")
        begin = time.monotonic()
        mend = self._strike(holder, fault)
        others = [place for place in self.places if place is not holder]

        def taken() -> Spell | None:
            found = [spell for place in others for spell in place.spells() if spell.begin > begin]
            return min(found, key=lambda spell: spell.begin, default=None)

        try:
            after = self._until(taken, f"nobody took over from {holder.name}, which was {fault}")
        finally:
            mend()
        last = max((spell.end for spell in holder.spells() if spell.begin < begin), default=begin)
        took = after.begin - begin
        return Round(
            fault=fault,
            holder=holder.name,
            taker=after.place,
            epoch=after.epoch,
            seconds=took,
            terms=took / self.term.total_seconds(),
            outlived=max(0.0, last - begin),
        )

    def clear(self) -> None:
        """End all processes of the drill. Nothing is asked any more: the folder goes, and nobody else knows of it."""
        for number in (signal.SIGINT, signal.SIGTERM):
            with contextlib.suppress(ValueError):  # not the main thread: no signals to ignore
                signal.signal(number, signal.SIG_IGN)
        deadline = time.monotonic() + GONE_SECONDS
        while (left := living_in(self.folder)) and time.monotonic() < deadline:
            for pid in left:
                _send(pid, signal.SIGKILL)
            time.sleep(0.02)
        for place in self.places:
            place.city.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _calm(self) -> Place:
        """The holder, once it is the only one and all places agree on its epoch."""

        def agreed() -> Place | None:
            for place in self.places:
                place.city.link.ensure()
            holders = [place for place in self.places if place.holds()]
            epochs = {place.epoch() for place in self.places}
            last = max((spell for place in self.places for spell in place.spells()), key=lambda spell: spell.begin, default=None)
            if last is None or len(holders) != 1 or epochs != {last.epoch}:
                return None
            lives = time.monotonic() - last.end < FRESH  # what an engine that is paused or dead said of itself may be long over
            return holders[0] if holders[0].name == last.place and lives else None

        return self._until(agreed, "the places did not come to agree on a holder")

    def _strike(self, place: Place, fault: str) -> Callable[[], None]:
        """Do it; gives what mends it."""
        if fault == "cut off":
            place.way.unlink()
            return lambda: self._open_way(place)
        engine, witness = look(place.city.link.store, uptime=False).engine.pid, place.city.runners[RUNNER].pid
        pids = [pid for pid in (engine, witness) if pid]
        number = signal.SIGKILL if fault == "killed" else signal.SIGSTOP
        for pid in pids:
            _send(pid, number)
        if fault == "killed":
            return lambda: None  # whoever looks for an engine starts another one

        def wake() -> None:
            for pid in set(pids) & set(living_in(self.folder)):  # a number may be another process' by now
                _send(pid, signal.SIGCONT)

        return wake

    def _open_way(self, place: Place) -> None:
        place.way.symlink_to(self._remote)

    def _until(self, what: Callable[[], T | None], otherwise: str) -> T:
        deadline = time.monotonic() + 4 * self.term.total_seconds() + PATIENCE
        while not (found := what()):
            if time.monotonic() > deadline:
                raise EngineError(otherwise, f"It was waited for {4 * self.term.total_seconds() + PATIENCE:.0f} s", permanent=False)
            time.sleep(0.02)
        return found


def run(*, places: int, term: timedelta, rounds: int, json: bool) -> int:
    """The drill; 0 only if every takeover was in time and never two places held the claim."""
    say: Callable[[str], None] = (lambda _text: None) if json else out
    folder = Path(tempfile.mkdtemp(prefix="qcity-drill-")).resolve()
    with own_store(), sigterm() as heard:
        drill = Drill(folder, places=places, term=term, say=say)
        try:
            say(f"{places} places, a lease term of {term.total_seconds():g} s, {count(rounds, 'round')}, in a folder that goes away")
            drill.prepare()
            faults = ("killed", "paused", "cut off")
            done = [drill.round(number, faults[(number - 1) % 3]) for number in range(1, rounds + 1)]
            doubles = doubled([spell for place in drill.places for spell in place.spells()])
        except KeyboardInterrupt as ended:
            heard()
            out("Stopped.")
            return 143 if isinstance(ended, Terminated) else 130
        finally:
            drill.clear()
    found = shapes.drill(done, doubles, places=places, term=term, limit=LIMIT)
    if json:
        put_json(found)
    else:
        head = ("round", "the holder", "was", "taken over by", "epoch", "after", "in terms", "it acted on for")
        rows = [
            (number, one.holder, one.fault, one.taker, one.epoch, f"{one.seconds:.2f} s", f"{one.terms:.2f}", f"{one.outlived:.2f} s")
            for number, one in enumerate(done, 1)
        ]
        put_table(head, rows, empty="")
        for first, second in doubles:
            out(f"✖ {first.place} (epoch {first.epoch}) and {second.place} (epoch {second.epoch}) both acted")
        out(f"{'✔' if found['ok'] else '✖'} {found['sentence']}")
    return 0 if found["ok"] else 1


def spells_of(place: str, lines: Iterable[str]) -> list[Spell]:
    """What a witness wrote, as stretches of time: one for each life of it. Half a line, of one that was killed, counts for nothing."""
    found: dict[tuple[int, int], Spell] = {}
    for line in lines:
        words = line.split()
        if len(words) != 4:
            continue
        at, epoch, pid = float(words[0]), int(words[2]), int(words[3])
        known = found.get((epoch, pid))
        found[epoch, pid] = Spell(begin=known.begin if known else at, end=at, place=place, epoch=epoch)
    return list(found.values())


def doubled(spells: Sequence[Spell]) -> list[tuple[Spell, Spell]]:
    """Pairs of different places that acted at the same time, in the same epoch, or in an epoch that came after a higher one."""
    wrong: list[tuple[Spell, Spell]] = []
    latest: Spell | None = None
    for spell in sorted(spells, key=lambda one: (one.begin, one.end)):
        if latest is not None and spell.place != latest.place and (spell.begin <= latest.end or spell.epoch <= latest.epoch):
            wrong.append((latest, spell))
        if latest is None or spell.end > latest.end:
            latest = spell
    return wrong


def _send(pid: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.kill(pid, number)
