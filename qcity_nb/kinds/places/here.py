"""The machine that we are on, as a place: its own home, the package as it is installed here."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from ...decide import places
from ...decide.remote import Said, Site
from ...errors import PlaceError
from ...model.fleet import PlaceConfig
from ...model.home import Home
from ...model.place import Ruling, Sighting
from .hosted import LOOK_SECONDS, Hosted

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


def ruling(config: PlaceConfig) -> Ruling:
    """What the terms of wherever this process is allow."""
    paths = frozenset({"/kaggle/input"} if Path("/kaggle/input").is_dir() else ())
    return places.policy(places.detect(os.environ, paths=paths), places.tier_of(config.options))


class Here:
    """Places of the kind `here`."""

    def open(self, config: PlaceConfig, *, home: Home, sightings: Sequence[Sighting] = ()) -> Hosted:
        """The machine that we are on, with this home."""
        places.known_options(config, ("repo", "tier"))
        root = shlex.quote(str(home.root))
        qcity = f"{shlex.quote(sys.executable)} -c {shlex.quote(COMMAND)}"
        return Hosted(config, LocalShell(), Site(base=root, home=root, qcity=qcity, python=sys.executable, installs=False), ruling(config))


KIND = Here()
