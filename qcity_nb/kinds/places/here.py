"""The machine that we are on, as a place: its own home, the package as it is installed here."""

from __future__ import annotations

import contextlib
import os
import shlex
import subprocess
import sys
import tempfile
import threading
from collections.abc import Sequence
from typing import IO

from ...decide import places
from ...decide.remote import Said, Site
from ...errors import PlaceError
from ...io.machine import telling
from ...model.fleet import PlaceConfig
from ...model.home import Home
from ...model.place import Ruling, Sighting
from .hosted import LOOK_SECONDS, Heard, Hosted

LAST_WORDS = 4096
COMMAND = "import sys; from qcity_nb.cli import main; sys.exit(main())"


class LocalShell:
    """A shell on this machine."""

    def run(self, script: str, data: bytes = b"", *, seconds: float = LOOK_SECONDS) -> Said:
        """Run a script here."""
        try:
            done = subprocess.run(["/bin/sh", "-c", script], input=data, capture_output=True, timeout=seconds, check=False)
        except subprocess.TimeoutExpired:
            raise PlaceError(f"this machine has not done what was asked within {seconds:.0f} s", "It is busy; try again") from None
        return Said(code=done.returncode, out=done.stdout.decode("utf-8", "replace"), err=done.stderr.decode("utf-8", "replace"))

    def talk(self, script: str, data: bytes, heard: Heard, over: threading.Event) -> Said:
        """Run a script here, its standard input open until it is over."""
        with tempfile.TemporaryFile() as told:
            process = subprocess.Popen(["/bin/sh", "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=told)
            assert process.stdin is not None
            assert process.stdout is not None
            given = threading.Thread(target=_give, args=(process.stdin, data, over), daemon=True)
            given.start()
            with process.stdout as lines:
                for line in lines:
                    heard(line.decode("utf-8", "replace"))
            code = process.wait()
            over.set()
            given.join()
            told.seek(max(0, told.tell() - LAST_WORDS))
            return Said(code=code, out="", err=told.read().decode("utf-8", "replace"))


def _give(into: IO[bytes], data: bytes, over: threading.Event) -> None:
    """Write what it is to get, and close it when it is over."""
    with contextlib.suppress(OSError):  # it ended without reading
        into.write(data)
        into.flush()
    over.wait()
    with contextlib.suppress(OSError):
        into.close()


def ruling(config: PlaceConfig) -> Ruling:
    """What the terms of wherever this process is allow."""
    stated = {**config.options} if "tier" in config.options else {"tier": os.environ.get("QCITY_TIER") or "unknown"}
    return places.policy(places.detect(os.environ, paths=telling()), places.tier_of(stated))


class Here:
    """Places of the kind `here`."""

    def open(self, config: PlaceConfig, *, home: Home, sightings: Sequence[Sighting] = ()) -> Hosted:
        """The machine that we are on, with this home."""
        places.known_options(config, ("repo", "tier"))
        root = shlex.quote(str(home.root))
        qcity = f"{shlex.quote(sys.executable)} -c {shlex.quote(COMMAND)}"
        return Hosted(config, LocalShell(), Site(base=root, home=root, qcity=qcity, python=sys.executable, installs=False), ruling(config))


KIND = Here()
