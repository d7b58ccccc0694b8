"""The first cell of a machine: go on from a vault. Restores its newest copy if this home does not come from it, starts the engine, says what it saw.

What is wanted up, what follows a tunnel, what was cut off and what is scheduled stands in the store, so the engine does all of that as after any
death. Here it is only looked at afterwards: nothing is said that was not seen.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from ..decide.wording import count, line, sentence
from ..errors import BadInput, HomeError, QCityError
from ..io import secrets
from ..io.files import is_locked
from ..model.agent import FORGES
from ..model.service import Desired, Phase
from ..model.tunnel import TunnelState, TunnelView
from ..model.vault import Copy, VaultConfig
from ..model.work import Status
from ..store import lease, runs, services, tunnels, work
from ..store.tunnels import FollowerRow
from . import credentials
from .link import now
from .tables import Shown, escape
from .vaults import PASSPHRASE, told
from .view import HELPERS

if TYPE_CHECKING:
    from .city import QCity

SECONDS = 60.0
"""How long what begins is waited for; what is not there by then is said to be under way."""


@dataclass(frozen=True)
class Resumption(Shown):
    """What a resume did and found, in a few lines."""

    lines: tuple[str, ...]
    restored: Copy | None = None
    nothing: bool = False

    def __repr__(self) -> str:
        return "\n".join(self.lines)

    def _html(self) -> str:
        return "".join(f"<div>{escape(one)}</div>" for one in self.lines)


@dataclass(frozen=True, kw_only=True)
class Cut:
    """What was under way before the engine began: jobs and runs by their numbers, with their attempts, and the last word of each tunnel."""

    generation: int
    jobs: Mapping[int, int]
    runs: Mapping[int, int]
    views: Mapping[str, TunnelView]


def take_up(
    city: QCity, config: VaultConfig | None, *, name: str = "", key_file: str | Path | None = None, seconds: float = SECONDS
) -> Resumption:
    """Go on from a vault, see `QCity.resume`.

    Args:
        config: the vault as it is meant; None means the one of this name that is known here, or the only one.
    """
    said: list[str] = []
    vault, restored = "", None
    if city.link.store.embedded:
        vault, restored = _from_vault(city, config or _known(city, name), key_file, said)
    elif config is not None:
        said.append("The store is on PostgreSQL, which outlives this machine: nothing has to be restored.")
    cut, alive = _under_way(city), is_locked(city.link.store.home.lock)
    if not alive:
        said += _tokens(city)
    city.link.ensure()
    if not alive:
        _settle(city, cut, seconds)
        said += [f"The engine was started (generation {city.status().engine.generation}).", *_found(city, cut)]
    if vault and (restored or city.vaults[vault].state.saved is None):
        said.append(_first_copy(city, vault, taken=restored is not None))
    if not said:
        where = f", and nothing newer is in {vault}" if vault else ""
        return Resumption((f"Nothing was to do: the engine runs{where}.",), nothing=True)
    return Resumption(tuple(said), restored)


def _known(city: QCity, name: str) -> VaultConfig:
    vaults = [one.config for one in city.vaults]
    if not vaults:
        todo = 'Say where it is: qcity_nb.resume("folder", "/content/drive/MyDrive/qcity"), or qcity resume folder …'
        raise BadInput("no vault is known here", todo)
    if len(vaults) > 1 and not name:
        raise BadInput("several vaults are known here", f"Name one: {', '.join(one.name for one in vaults)}")
    return city.vaults[name or vaults[0].name].config


def _from_vault(city: QCity, config: VaultConfig, key_file: str | Path | None, said: list[str]) -> tuple[str, Copy | None]:
    """The vault's name, known from now on, and the copy that was restored from it."""
    vaults = city.vaults
    if secrets.find(PASSPHRASE)[0]:
        config = replace(config, sealed=True)  # who has a passphrase at hand has sealed them
    vaults.provide(config, key_file)
    vaults.note(config)
    newest = vaults.ahead(config.name)
    if newest is None:
        if vaults[config.name].state.saved is None:
            said.append(f"The vault {config.name} holds no copy yet: this home begins.")
        return config.name, None
    if is_locked(city.link.store.home.lock):
        what = f"an engine runs here, and the vault {config.name} holds a newer {told(newest, now())} of another machine"
        raise HomeError(what, "qcity engine stop --runners, then qcity resume takes the work back here")
    answer = vaults.restore(config.name)
    aside = f"; what was here is in {answer.aside}" if answer.aside else ""
    said.append(f"Restored {told(answer.copies[0], now())} from {config.name}{aside}.")
    return config.name, answer.copies[0]


def _first_copy(city: QCity, vault: str, *, taken: bool) -> str:
    """A copy at once: from now on the machine that was left behind is refused."""
    try:
        copy = city.vaults.save(vault)
    except QCityError as error:
        return f"No copy could be put into {vault}: {error}"
    after = ": a machine that was left behind can put none over it" if taken else ""
    return f"Copy {copy.number} is in {vault}{after}."


def _tokens(city: QCity) -> list[str]:
    """Take over the tokens of forges from where people keep them: none was in the copy."""
    lost = []
    with city.link.read() as connection:
        rows = services.all_of(connection, city.link.place)
    for row in rows:
        if row.spec.kind in FORGES and row.state.desired is Desired.UP:
            options = row.spec.options
            try:
                credentials.provide(city.link, row.spec.kind, str(options.get("url") or ""), str(options.get("token") or ""))
            except QCityError as error:
                lost.append(f"{row.name}: {error}")
    return lost


def _under_way(city: QCity) -> Cut:
    with city.link.read() as connection:
        jobs = work.latest_jobs(connection, city.link.place, limit=1000)
        known = runs.open_runs(connection, city.link.place)
        views = {row.name: row.view for row in tunnels.all_of(connection, city.link.place)}
        last = lease.current(connection, city.link.place)
    live = (Status.RUNNING, Status.ASSIGNED)
    return Cut(
        generation=last.generation if last is not None else 0,
        jobs={job.id: job.attempt for job in jobs if job.status in live},
        runs={run.id: run.attempt for run in known if run.started},
        views=views,
    )


def _settle(city: QCity, cut: Cut, seconds: float) -> None:
    """Wait until what is wanted up is up, or says why not, and what follows an address was told."""
    for _ in city.link.until(seconds):
        if not _waits(city, cut):
            return


def _waits(city: QCity, cut: Cut) -> bool:
    with city.link.read() as connection:
        rows = services.all_of(connection, city.link.place)
        views = {row.name: row.view for row in tunnels.all_of(connection, city.link.place)}
        told_ = tunnels.followers_of(connection, city.link.place)
        last = lease.current(connection, city.link.place)
    if last is None or last.generation == cut.generation or last.renewed <= last.taken:
        return True  # until its first beat it has not looked at everything: what stands here is of the machine before
    for row in rows:
        if row.state.desired is not Desired.UP or row.state.standby or row.spec.kind in ("notebooks", "attendant", "foreign"):
            continue
        if row.state.phase in (Phase.STARTING, Phase.STOPPING, Phase.STOPPED):
            return True
        if row.spec.kind == "tunnel" and row.state.phase is Phase.RUNNING and _asks(views[row.name], cut.views.get(row.name)):
            return True
    return any(views[row.tunnel].url and _untold(row, views[row.tunnel].generation) for row in told_ if row.tunnel in views)


def _asks(view: TunnelView, before: TunnelView | None) -> bool:
    """Whether a tunnel still asks for its address: what it said on the machine before counts for nothing."""
    return view == before or (not view.url and view.state in (TunnelState.STARTING, TunnelState.VERIFYING))


def _untold(row: FollowerRow, generation: int) -> bool:
    return row.last is None or row.last.generation < generation


def _found(city: QCity, cut: Cut) -> list[str]:
    """What there is after the engine began, by kind."""
    said = []
    with city.link.read() as connection:
        rows = [row for row in services.all_of(connection, city.link.place) if row.state.desired is Desired.UP and row.spec.kind not in HELPERS]
        opened = tunnels.all_of(connection, city.link.place)
        follow = tunnels.followers_of(connection, city.link.place)
        jobs = [job for id_ in cut.jobs if (job := work.get_job(connection, city.link.place, id_)) is not None]
        tried = [run for id_ in cut.runs if (run := runs.get_run(connection, city.link.place, id_)) is not None]
        total, upcoming, soon = runs.agenda(connection, city.link.place)
    up = [row.name for row in rows if row.state.phase is Phase.RUNNING]
    said += [f"{count(len(up), 'runner is', 'runners are')} up: {', '.join(up)}."] if up else []
    said += [sentence(f"{row.name} is not up: {line(row.state.reason) or row.state.phase.value}") for row in rows if row.name not in up]
    for row in opened:
        if row.view.url:
            said.append(f"The tunnel {row.name} is at {row.view.url} (generation {row.view.generation}).")
        elif row.view.state.value != "off":
            said.append(sentence(f"The tunnel {row.name} has no address yet: {line(row.view.reason) or row.view.state.value}"))
    right = sum(row.last is not None and row.last.ok for row in follow)
    said += [f"{count(right, 'follower was', 'followers were')} told where it leads."] if right else []
    said += [sentence(f"{row.key} was not told: {line(row.last.text)}") for row in follow if row.last is not None and not row.last.ok]
    again = [job for job in jobs if job.attempt > cut.jobs[job.id] or job.status in (Status.QUEUED, Status.RUNNING, Status.ASSIGNED)]
    said += [f"{count(len(again), 'job that was', 'jobs that were')} cut off: queued again."] if again else []
    lost = [job for job in jobs if job not in again]
    said += [f"Not run again, by its rule: {', '.join(line(job.plan.name) for job in lost)}."] if lost else []
    said += [f"{count(len(tried), 'notebook that was', 'notebooks that were')} cut off: tried again."] if tried else []
    if total:
        following = f": {line(upcoming)}, {soon:%Y-%m-%d %H:%M} UTC" if soon is not None else ""
        said.append(f"{count(total, 'schedule goes', 'schedules go')} on{following}.")
    return said

