"""`QCity`: one place, seen and commanded from a script, a notebook cell or the command line. Nothing here blocks for long without saying so."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

from ..decide.wording import line
from ..errors import EngineError, NotFound
from ..io.files import is_locked
from ..store import services
from ..store.database import Store
from ..store.services import Flip
from . import doctor, status, up
from .doctor import Finding
from .fleet import Fleet
from .health import Health, Painter
from .hosts import Host
from .incidents import Incidents
from .jobs import Builds, Jobs
from .link import Link
from .notebooks import Notebooks
from .places import Places
from .runners import Runners
from .status import Status
from .tables import Shown

if TYPE_CHECKING:
    from typing_extensions import Self

STOP_SECONDS = 30.0


class QCity(Shown):
    """A place: its runners, builds, jobs and incidents. Made by `qcity_nb.open()`; closing it leaves the engine and the runners running.

    Args:
        store: the open store of the place.
        host: who starts the engine when there is none.
        say: told what a person should know although nobody asked.
        painter: who draws figures.
    """

    def __init__(self, store: Store, host: Host, *, say: Callable[[str], None], painter: Painter) -> None:
        self.link = Link(store, host, say)
        self._store, self._painter = store, painter
        self.runners = Runners(self.link, painter)
        self.fleet = Fleet(self.link)
        self.jobs = Jobs(self.link, painter)
        self.builds = Builds(self.link)
        self.notebooks = Notebooks(self.link, painter)
        self.incidents = Incidents(self.link)
        self.places = Places(self.link)

    @property
    def home(self) -> Path:
        """The folder that everything of this place is in."""
        return self._store.home.root

    def up(self, repo: str | Path | None = None, *, strict: bool = False) -> Status:
        """Start the engine and what `qcity.toml` in the repository asks for (without one: a `local` runner on the repository).

        Args:
            repo: a folder or an address; None means the repository around the current folder, if there is one.
            strict: refuse when a job of its workflows cannot run on this machine, instead of leaving the job out.

        Raises:
            BadConfig: the file has problems; all of them are in the sentence.
        """
        unusable = up.bring_up(self, repo, strict=strict)
        return replace(self.status(), unusable=unusable)

    def status(self) -> Status:
        """How everything is now. Asks the store only; never starts anything."""
        return status.take(self._store)

    def doctor(self) -> list[Finding]:
        """What is there and what is missing, one finding for each check."""
        return doctor.examine(self._store)

    def events(self, after: int = 0, *, limit: int = 200) -> list[Flip]:
        """The changes of state after the one with this number, oldest first."""
        with self.link.read() as connection:
            return services.flips_of(connection, self.link.place, after=after, limit=limit)

    def health(self, hours: float = 24) -> Health:
        """The beats of all runners over the last hours."""
        return Health(self.link, self._painter, hours=hours)

    def stop(self, *, runners: bool = True) -> None:
        """End the engine; with `runners` also everything that it keeps running.

        Raises:
            NotFound: there is no engine.
            EngineError: it has not ended in time.
        """
        if not is_locked(self._store.home.lock):
            raise NotFound(f"no engine runs for {self.home}", "There is nothing to stop")
        self.link.ask("engine.stop", "", {"runners": runners}, seconds=STOP_SECONDS, replace=False)
        self.link.host.close()  # an engine in this process ends here; a detached one is only let go of
        for _ in self.link.until(STOP_SECONDS, replace=False):
            if not is_locked(self._store.home.lock):
                return
        raise EngineError(f"the engine has not ended in {STOP_SECONDS:.0f} s", f"Look into {self._store.home.log}", permanent=False)

    def close(self) -> None:
        """Give the store back. A detached engine goes on; one inside this process ends."""
        self.link.host.close()
        self._store.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<QCity {self.home} · {line(self.status().headline)}>"

    def _html(self) -> str:
        return self.status()._html()  # noqa: SLF001 - the same picture

