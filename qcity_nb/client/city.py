"""`QCity`: one place, seen and commanded from a script, a notebook cell or the command line. Nothing here blocks for long without saying so."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from ..decide.wording import line
from ..errors import EngineError, NotFound
from ..io.files import is_locked
from ..model.place import Tier, Venue
from ..store import services
from ..store.database import Store
from ..store.services import Flip
from . import doctor, resume, served, status, up
from .doctor import Finding
from .domains import Domains
from .fleet import Fleet
from .health import Health, Painter
from .hosts import Host
from .incidents import Incidents
from .jobs import Builds, Jobs
from .life import Watch, here
from .link import Link
from .links import Links
from .notebooks import Notebooks
from .past import History
from .places import Places
from .platforms import Platforms
from .resume import Resumption
from .runners import Runners
from .served import Page
from .status import Status
from .tables import Shown
from .tunnels import Tunnels
from .vaults import Vaults, configured

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
        actor: who asks for what is asked here, as the audit says; empty means this process's user.
    """

    def __init__(self, store: Store, host: Host, *, say: Callable[[str], None], painter: Painter, actor: str = "") -> None:
        self.link = Link(store, host, say, actor=actor)
        self._store, self._painter = store, painter
        self.runners = Runners(self.link, painter)
        self.fleet = Fleet(self.link)
        self.jobs = Jobs(self.link, painter)
        self.builds = Builds(self.link)
        self.notebooks = Notebooks(self.link, painter)
        self.incidents = Incidents(self.link)
        self.places = Places(self.link)
        self.platforms = Platforms(self.link)
        self.vaults = Vaults(self.link)
        self.links = Links(self.link)
        self.tunnels = Tunnels(self.link)
        self.domains = Domains(self.link, self.tunnels)
        self._boards: list[Any] = []

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

    @property
    def health(self) -> Health:
        """The beats of all runners over the last day; `city.health(48)` is two."""
        return Health(self.link, self._painter, hours=24)

    def history(self, days: float = 7) -> History:
        """The jobs of the last days together: how often each succeeds, how long it waits and takes, which are flaky, and pages of figures."""
        return History(self.link, self._painter, days=days)

    def dashboard(self, *, name: str = "board", every: float = 1.0) -> Any:
        """Everything at a glance, live in a notebook's cell: what needs you first, with what to do about it, and buttons that ask before they act.

        The last line of a cell shows it, as does `display()`. Beside it stands a static copy, for where nobody is live: a saved notebook, an
        export, a run without a browser. `.static()` is that copy alone, `.close()` ends the live view. A cell that is run again replaces it.

        Args:
            name: two dashboards of one place stay apart by their names.
            every: seconds between two looks; at least 0.25.
        """
        self._boards.append(board := self._painter.dashboard(self, name=name, every=every))
        return board

    def resume(
        self,
        kind: str = "",
        target: str | Path = "",
        *,
        name: str = "",
        sealed: bool = False,
        key_file: str | Path | None = None,
        every: str | float | None = None,
        **options: str,
    ) -> Resumption:
        """Go on from a vault: restore the newest copy if this home does not come from it, start the engine, say what was done. Twice is once.

        Args:
            kind, target: where the vault is, as `city.vaults.add` takes it; nothing means the one that is known here.
            name: what it is called here; without one, after its kind.
            sealed, key_file, every, options: as `city.vaults.add` takes them.

        Raises:
            HomeError: an engine runs here, and the vault holds a newer copy of another machine.
            Refused: the newest copy is damaged (the one before it is named), or sealed with another passphrase.
        """
        config = configured(name or kind, kind, target, sealed=sealed or key_file is not None, every=every, options=options) if kind else None
        return resume.take_up(self, config, name=name, key_file=key_file)

    def keep_alive(
        self,
        hours: float = 8,
        *,
        checkpoint: str = "",
        fallback: str = "",
        margin: float = 15,
        limit: float | None = None,
        until_idle: bool = False,
        unassign: bool = False,
    ) -> Awaitable[str]:
        """Keep what runs here alive, in a visible cell: `await city.keep_alive(hours=8)`. In a script: `asyncio.run(city.keep_alive(hours=8))`.

        The cell says until when this machine lives, how old the last copy in a vault is, and where the work goes before the end. It ends by itself,
        never later than the terms of this machine allow; Interrupt ends the cell only, and a last copy is put into the vaults either way.

        Args:
            hours: for how long, from now on.
            checkpoint: the vault that is written at the end; empty means all of them.
            fallback: the place that takes the work over before this machine ends, or a runner of the kind `place`; empty means those that are the
                fallback of a runner here. A claim of a fleet goes to whoever is next. Where nobody takes it, the work stays, for the next machine.
            margin: so many minutes before the end the work goes.
            limit: how many hours this machine lives in all, if you know better than what is known of it.
            until_idle: end when no work is left.
            unassign: give a Colab machine back at the end, so that it costs nothing more.

        Raises:
            Refused: the terms of this machine forbid it; the sentence names the clause, and what works instead.
        """
        watch = Watch(self, hours=hours, limit=limit, margin=margin, checkpoint=checkpoint, fallback=fallback)
        return self._painter.keep_alive(watch, self.link.host.pump, until_idle=until_idle, unassign=unassign)

    @property
    def forms(self) -> Any:
        """Forms that start a runner, open a tunnel or schedule a notebook: `city.forms.runner()`. Under each stands the line that does the same."""
        return self._painter.forms(self)

    def serve(self, *, port: int = 0) -> Page:
        """The dashboard as a page for people without this notebook, from a process of its own; a page that is served already is the same one.

        `.link(role)` gives a link that lets somebody in, `.close()` ends it.

        Args:
            port: where it listens, on this machine only; 0 takes a free one.

        Raises:
            QCityError: it did not come up.
        """
        return served.start(self._store, port=port)

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
        """Give the store back. A detached engine goes on; one inside this process ends, and so do dashboards."""
        for board in self._boards:
            board.close()
        self.link.host.close()
        self._store.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def __repr__(self) -> str:
        venue, tier = here()
        where = "" if venue in (Venue.BARE, Venue.JUPYTER) else f" · on {venue.value}" + (f" ({tier.value})" if tier is not Tier.UNKNOWN else "")
        return f"<QCity {self.home}{where} · {line(self.status().headline)}>"

    def _html(self) -> str:
        return self.status()._html()  # noqa: SLF001 - the same picture

