"""Agents of forges, beyond starting and stopping: what stands here, how things are to what was asked for, and making them so."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..decide.health import Level
from ..decide.wording import count
from ..errors import BadInput, NotFound, QCityError
from ..model.agent import FORGES
from ..model.service import Desired
from . import credentials
from .settings import read
from .tables import Html, Shown, mark, table

if TYPE_CHECKING:
    from .city import QCity

ASK_SECONDS = 90.0
"""A platform may take its time, and be asked more than once."""
LEVELS = {"OK": Level.WELL, "DRIFT": Level.WARN, "BLOCKED": Level.BAD}


@dataclass(frozen=True, kw_only=True)
class Line:
    """A line of a plan: `where` is the platform and scope, `match` OK, DRIFT or BLOCKED, `act` what `apply` would do about it."""

    name: str
    where: str
    what: str
    match: str
    wanted: str
    found: str
    act: str = ""
    value: str = ""
    why: str = ""


class Plan(Shown):
    """What the configuration and the store ask for, against what the platforms say."""

    def __init__(self, lines: tuple[Line, ...], scopes: dict[str, dict[str, str]], wishes: list[dict[str, Any]]) -> None:
        self.lines, self.scopes, self.wishes = lines, scopes, wishes

    @property
    def ok(self) -> bool:
        """Whether everything is as it was asked for."""
        return all(line.match == "OK" for line in self.lines)

    def sentence(self) -> str:
        """The plan in one sentence."""
        numbers = {match: sum(line.match == match for line in self.lines) for match in LEVELS}
        if not self.lines:
            return "Nothing is asked for on GitHub or GitLab."
        if self.ok:
            return f"All {count(len(self.lines), 'thing is', 'things are')} as asked for." if len(self.lines) > 1 else "It is as asked for."
        return f"{numbers['OK']} OK, {numbers['DRIFT']} DRIFT, {numbers['BLOCKED']} BLOCKED."

    def __repr__(self) -> str:
        rows = [f"{line.match:<8} {line.name}: {line.what} {line.found}" + (f" ({line.why})" if line.why else "") for line in self.lines]
        return "\n".join([self.sentence(), *rows])

    def _html(self) -> str:
        rows = [
            (line.name, line.what, Html(mark(LEVELS[line.match], line.match)), line.wanted, line.found, line.act, line.why) for line in self.lines
        ]
        return table(self.sentence(), ("runner", "what", "is", "asked for", "found", "apply would", "why"), rows, empty="Nothing is asked for.")


def discover(city: QCity) -> list[dict[str, Any]]:
    """The agents on this machine that somebody else started; from now on they are watched. Nothing is done to them."""
    found = city.link.ask("runner.discover", "", seconds=ASK_SECONDS)
    return list(found.get("agents") or [])


def plan(city: QCity, repo: str | Path | None = None) -> Plan:
    """How things are to what `qcity.toml` and the store ask for.

    Args:
        repo: the folder with `qcity.toml`; None means the current one, if there is a file.
    """
    wishes = _wishes(city, Path(repo) if repo is not None else Path.cwd())
    for wish in wishes:
        options = wish["options"]
        try:
            credentials.provide(city.link, wish["kind"], str(options.get("url") or ""), str(options.get("token") or ""))
        except NotFound as error:
            city.link.say(str(error))  # its lines are BLOCKED, the others can be told
    if not wishes:
        return Plan((), {}, [])
    given = city.link.ask("runner.plan", "", {"asked": wishes}, seconds=ASK_SECONDS)
    return Plan(tuple(Line(**item) for item in given.get("items") or []), dict(given.get("scopes") or {}), wishes)


def apply(city: QCity, found: Plan) -> list[str]:
    """Do what the plan says and nothing else; one sentence for each thing done or refused."""
    told = []
    for line in found.lines:
        if line.match != "DRIFT" or not line.act:
            continue
        try:
            told.append(_apply(city, found, line))
        except QCityError as error:
            told.append(f"{line.name}: {error}")
    return told


def set_labels(city: QCity, name: str, labels: list[str]) -> None:
    """Give an agent other labels, on its platform and for its next lives.

    Raises:
        BadInput: it is no agent of a forge.
    """
    row = city.runners[name].row
    if row.spec.kind not in FORGES:
        raise BadInput(f"{name} has its labels from its start", f"qcity runner stop {name}, then start it with other --label")
    city.link.ask("runner.labels", name, {"labels": labels}, seconds=ASK_SECONDS)


def _wishes(city: QCity, folder: Path) -> list[dict[str, Any]]:
    """What is asked for: the runners of forges in the store, and those of `qcity.toml` that were never started."""
    wishes: dict[str, dict[str, Any]] = {}
    config = read(folder) if folder.is_dir() else None
    for one in config.runners if config else ():
        if one.kind in FORGES:
            wishes[one.name] = {"name": one.name, "kind": one.kind, "labels": list(one.labels), "options": dict(one.options), "claim": one.claim}
    for runner in city.runners:
        spec, state = runner.row.spec, runner.row.state
        if spec.kind in FORGES:
            asked = wishes.get(spec.name)
            labels = asked["labels"] if asked and asked["labels"] else list(spec.labels)
            wish: dict[str, Any] = {"name": spec.name, "kind": spec.kind, "labels": labels, "options": dict(spec.options), "claim": spec.claim}
            wishes[spec.name] = {**wish, "here": True, "up": state.desired is Desired.UP and not state.standby}
    return list(wishes.values())


def _apply(city: QCity, found: Plan, line: Line) -> str:
    wish = next((one for one in found.wishes if one["name"] == line.name), None)
    if line.act == "start" and wish is not None:
        city.runners.start(wish["kind"], line.name, labels=wish["labels"], claim=wish["claim"], **wish["options"])
        return f"{line.name}: started and registered."
    if line.act == "labels":
        set_labels(city, line.name, [label for label in line.value.split(",")[:-1] if label])
        return f"{line.name}: has the labels {line.wanted} now."
    city.link.ask("runner.delete", "", {"id": line.value, **found.scopes[line.where]}, seconds=ASK_SECONDS)
    return f"{line.name}: its registration {line.value} was deleted."
