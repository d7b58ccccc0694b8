"""A place with a shell: the same scripts look at it, install there, start and stop the engine, whether the shell is here, behind SSH or in a Colab.

What has to be known about the way there is in the kinds; what is said there is in `decide.remote`.
"""

from __future__ import annotations

import io
import shlex
import tarfile
import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Protocol, runtime_checkable

from ...decide import remote
from ...decide.remote import Said, Site
from ...decide.wording import sentence
from ...errors import PlaceError, QCityError, Refused
from ...model.fleet import PlaceConfig
from ...model.place import Parcel, PlaceReport, PlaceState, Ruling, Running

Heard = Callable[[str], object]
OPTIONS = ("folder", "python", "repo", "config", "credentials", "store", "wheelhouse", "index")
"""What every place with a shell understands."""
LOOK_SECONDS, START_SECONDS, INSTALL_SECONDS, SEND_SECONDS = 60.0, 180.0, 1800.0, 600.0


class Shell(Protocol):
    """A way to a host's shell."""

    def run(self, script: str, data: bytes = b"", *, seconds: float = LOOK_SECONDS) -> Said:
        """Run a script with this standard input. Raises `PlaceError` when it cannot be reached, or not to the end."""

    def talk(self, script: str, data: bytes, heard: Heard, over: threading.Event) -> Said:
        """Run a script for as long as it takes; its lines are heard as they come, and its standard input stays open until `over` is set.

        Raises:
            PlaceError: it cannot be reached, or was lost in the middle.
        """


@runtime_checkable
class Executes(Protocol):
    """A place that executes notebooks for others, too. It may be asked several times at once.

    Attributes:
        holds: whether the notebook's standard input stays open there for as long as somebody wants the result.
    """

    holds: bool

    def execute(self, parcel: Parcel, data: bytes, heard: Heard, over: threading.Event) -> Said:
        """Bring what is not there, then execute the notebook that `data` is (`kinds.notebooks.far`).

        Args:
            heard: takes each line that comes back.
            over: set by whoever does not want it any more.

        Raises:
            Refused: policy forbids it.
            PlaceError: it cannot be reached, or was lost in the middle; then nothing more is known of it.
        """


class Hosted:
    """A place with a shell, as `ports.Place`."""

    holds = True

    def __init__(self, config: PlaceConfig, shell: Shell, site: Site, ruling: Ruling) -> None:
        self.config, self.shell, self.site, self.ruling = config, shell, site, ruling

    def check(self) -> PlaceReport:
        """Policy first; a place that may not be used is left alone."""
        name, kind = self.config.name, self.config.kind
        if not self.ruling.allowed:
            why, todo = sentence(f"{name} may not be used: {self.ruling.why}"), self.ruling.todo
            return PlaceReport(place=name, kind=kind, allowed=False, reachable=False, why=why, todo=todo)
        try:
            said = self.shell.run(remote.probe(self.site))
        except QCityError as error:
            return PlaceReport(place=name, kind=kind, reachable=False, why=sentence(error.what), todo=error.todo)
        return remote.report(self.config, said, installs=self.site.installs, asked=self.site.python)

    def start(self, parcel: Parcel) -> PlaceState:
        """Look, bring, install, start: what was done already costs a look only."""
        report = self.check()
        if not report.allowed:
            raise Refused(report.why, report.todo)
        if not report.healthy:
            raise PlaceError(report.why, report.todo)
        if self.site.installs:
            self.bring(parcel, report)
        options = self.config.options
        repo = shlex.quote(options["repo"]) if options.get("repo") else (f"{self.site.base}/config" if parcel.config else "")
        tag = parcel.tag if self.site.installs else shlex.quote(parcel.version)
        said = self.run("start the engine", remote.start(self.site, tag, repo), seconds=START_SECONDS)
        state = remote.state(self.config, said, version=parcel.version)
        if state.running is not Running.UP:
            raise PlaceError(f"the engine on {self.config.name} was started and is not up: {state.sentence}", f"qcity place check {self.config.name}")
        return state

    def status(self) -> PlaceState:
        """What `qcity status --json` says there."""
        return remote.state(self.config, self.shell.run(remote.status(self.site)))

    def stop(self) -> PlaceState:
        """End the engine there and what it runs."""
        self.run("stop the engine", remote.stop(self.site), seconds=START_SECONDS)
        return self.status()

    def execute(self, parcel: Parcel, data: bytes, heard: Heard, over: threading.Event) -> Said:
        """Have a notebook executed there, by the package that asks; it is brought to a folder of its own first. See `Executes`."""
        there = Hosted(self.config, self.shell, remote.aside(self.site), self.ruling)
        report = there.check()
        if not report.allowed:
            raise Refused(report.why, report.todo)
        if not report.healthy:
            raise PlaceError(report.why, report.todo, permanent=True)
        if there.site.installs:
            there.bring(replace(parcel, config="", store="", credentials={}), report, extra="run")
            there.run("remove old versions", remote.prune(there.site))
        return self.shell.talk(remote.far(there.site, parcel.tag), data, heard, over)

    def run(self, what: str, script: str, data: bytes = b"", *, seconds: float = LOOK_SECONDS) -> Said:
        """A script that has to end well.

        Raises:
            PlaceError: it did not.
        """
        said = self.shell.run(script, data, seconds=seconds)
        if said.code:
            todo = f"Look at it there, then try again: what was done already is kept. qcity place check {self.config.name} looks again"
            raise PlaceError(f"{self.config.name} could not {what}: {said.last}", todo)
        return said

    def bring(self, parcel: Parcel, report: PlaceReport, *, extra: str = "") -> None:
        """Bring what is not there yet. Raises `PlaceError`."""
        site = self.site
        if report.version != parcel.tag:
            if parcel.wheels:
                self.run("take the wheels", remote.unpack(site), _tar(parcel.wheels), seconds=SEND_SECONDS)
            name = f"wheels/{Path(parcel.wheel).name}"
            self.run("take the package", remote.put(site, name), Path(parcel.wheel).read_bytes(), seconds=SEND_SECONDS)
            python = report.python.split(" ", 1)[1]
            script = remote.install(site, parcel, python, index=self.config.options.get("index", ""), extra=extra)
            self.run("install the package", script, seconds=INSTALL_SECONDS)
        if parcel.config:
            self.run("take its qcity.toml", remote.put(site, "config/qcity.toml"), parcel.config.encode())
        if parcel.store:
            self.run("take the store's address", remote.put(site, "store"), parcel.store.encode())
        for name, value in parcel.credentials.items():
            self.run(f"take the credential {name}", remote.put(site, f"home/secrets/{name}"), value.encode())


def _tar(paths: Sequence[str]) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        for path in paths:
            archive.add(path, arcname=Path(path).name, recursive=False)
    return packed.getvalue()
