"""Places that work can go to, as a person names, looks at, starts and stops them. What was asked for is kept in `places.json` below the home.

Every look and act is a process of its own (`python -m qcity_nb.kinds.places`), asked on its standard input: a start takes minutes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path

import msgspec

from ..decide import places as rules
from ..decide import tenure
from ..decide.health import Level
from ..decide.redact import redact
from ..decide.wording import count, did_you_mean, line
from ..errors import BadInput, HomeError, NotFound, PlaceError, QCityError
from ..io import secrets
from ..io.files import write_atomic
from ..model.fleet import Candidate, FleetConfig, PlaceConfig
from ..model.place import SHARED_STORE, PlaceAnswer, PlaceAsk, PlaceReport, PlaceState, Running, Sighting
from ..store import commands, lease
from . import questions
from .link import Link, now
from .settings import read
from .tables import Html, Shown, clock, mark, table

SECONDS = {"check": 180.0, "status": 180.0, "stop": 600.0, "start": 3600.0}
TOKENS = {"huggingface": ("QCITY_HF_TOKEN", "HF_TOKEN", "HUGGING_FACE_HUB_TOKEN")}
"""Kinds that need a token, and where people keep it; it is kept as a credential of the kind's name."""
FAR = ("ssh", "colab", "huggingface")
LEVELS = {Running.UP: Level.WELL, Running.STARTING: Level.REPAIRING, Running.DOWN: Level.OFF, Running.ABSENT: Level.OFF, Running.UNKNOWN: Level.STALE}


@dataclass(frozen=True, kw_only=True)
class Noted:
    """A place and what was last heard of its engine, at which time."""

    config: PlaceConfig
    state: PlaceState | None = None
    at: datetime | None = None


@dataclass(frozen=True, kw_only=True)
class Notes:
    """What `places.json` holds: places that a person added, and what was last heard of any of them."""

    added: dict[str, PlaceConfig] = field(default_factory=dict)
    heard: dict[str, Noted] = field(default_factory=dict)


class Places(Shown):
    """The places of this home: those that were added here, and those of `[fleet]` in the current folder's `qcity.toml`."""

    def __init__(self, link: Link) -> None:
        self._link, self._path = link, link.store.home.root / "places.json"

    def add(self, config: PlaceConfig) -> None:
        """Note a place; one of that name is replaced.

        Raises:
            BadInput: its name cannot be used, or an option holds a secret.
        """
        rules.known_name(config.name)
        for name, value in config.options.items():
            if redact(f"{name}={value}") != f"{name}={value}" or redact(value) != value:
                todo = "Keep it as a credential or in the environment; nothing was stored"
                raise BadInput(f"the option {name} of the place {config.name} holds a secret", todo)
        notes = self._notes()
        self._keep(replace(notes, added={**notes.added, config.name: config}))

    @property
    def added(self) -> dict[str, str]:
        """The kinds of those that were added here, by name: what runs by itself, without a folder of settings, knows these only."""
        return {name: config.kind for name, config in self._notes().added.items()}

    def remove(self, name: str) -> None:
        """Forget a place that was added. What runs there goes on.

        Raises:
            NotFound: there is none.
        """
        notes = self._notes()
        if name not in notes.added:
            raise NotFound(f'no place "{name}" was added here', did_you_mean(name, notes.added, what="place", none="qcity place list shows all"))
        rest = {key: value for key, value in notes.added.items() if key != name}
        self._keep(Notes(added=rest, heard={key: value for key, value in notes.heard.items() if key != name}))

    def check(self, name: str) -> PlaceReport:
        """Look at a place: allowed, reachable, what is missing. Changes nothing there."""
        answer = self._ask("check", self[name].config)
        assert answer.report is not None
        return answer.report

    def status(self, name: str) -> PlaceState:
        """How its engine is now."""
        return self._act("status", name)

    def start(self, name: str) -> PlaceState:
        """Start an engine there, with the package brought along where it is not yet; one that is up stays as it is. Takes seconds to minutes.

        Raises:
            Refused: policy forbids it; the sentence names the clause.
            PlaceError: it cannot be reached, or something failed there. It may be asked again.
        """
        if self[name].config.kind in FAR:
            self._link.say(f"{name}: looking, bringing what is not there, starting an engine; the first time takes a minute or two.")
        return self._act("start", name)

    def stop(self, name: str) -> PlaceState:
        """End its engine and what that runs; a machine that was taken for it is given back."""
        return self._act("stop", name)

    def candidates(self) -> list[Candidate]:
        """The places that could take work over, the best first, after a look at each of them now."""
        configs = [noted.config for noted in self]
        refused, ill = rules.failing(self.check(config.name) for config in configs)
        return tenure.order(tenure.candidates(configs, refused=refused, ill=ill))

    def __getitem__(self, name: str) -> Noted:
        """One of them. Raises `NotFound`."""
        known = {noted.config.name: noted for noted in self}
        if name not in known:
            raise NotFound(f'there is no place "{name}"', did_you_mean(name, known, what="place", none="qcity place add NAME KIND notes one"))
        return known[name]

    def __iter__(self) -> Iterator[Noted]:
        notes = self._notes()
        for config in {**_of_fleet(), **notes.added}.values():
            heard = notes.heard.get(config.name)
            yield heard if heard is not None and heard.config == config else Noted(config=config)

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def __repr__(self) -> str:
        rows = [f"{noted.config.name}: {noted.config.kind}, {_heard(noted)}" for noted in self]
        return "\n".join([f"{count(len(rows), 'place')}.", *rows])

    def _html(self) -> str:
        rows = [
            (one.config.name, one.config.kind, Html(mark(LEVELS[one.state.running], one.state.running.value)) if one.state else "", _heard(one))
            for one in self
        ]
        return table("", ("place", "kind", "engine", "last heard"), rows, empty="No place but this one is known.")

    def _act(self, verb: str, name: str) -> PlaceState:
        config, at = self[name].config, now()
        try:
            answer = self._ask(verb, config)
        except QCityError as error:
            self._record(verb, config, at, status="refused", result={"error": error.what, "todo": error.todo})
            raise
        assert answer.state is not None
        self._record(verb, config, at, status="done", result={"running": answer.state.running.value, "sentence": answer.state.sentence})
        notes = self._notes()
        self._keep(replace(notes, heard={**notes.heard, name: Noted(config=config, state=answer.state, at=now())}))
        return answer.state

    def _ask(self, verb: str, config: PlaceConfig) -> PlaceAnswer:
        self.provide(config)
        store = self._link.store
        url = "" if store.embedded else store.url.render_as_string(hide_password=False)
        ask = PlaceAsk(verb=verb, config=config, home=str(store.home.root), store=url, sightings=self._sightings())
        return questions.put(
            "places",
            ask,
            PlaceAnswer,
            seconds=SECONDS[verb],
            late=PlaceError(f"{config.name} has not answered for {SECONDS[verb]:.0f} s", "Try again: what was done there is kept"),
            failed=lambda said: PlaceError(f"{config.name} could not be asked to {verb} ({said})", "Try again; qcity doctor says what is missing"),
            other=PlaceError,
        )

    def _record(self, verb: str, config: PlaceConfig, at: datetime, *, status: str, result: Mapping[str, object]) -> None:
        """The audit's row of an act, in one step with its outcome: no engine is asked, so none may find it new."""
        if verb not in ("start", "stop"):
            return
        with self._link.store.write() as connection:
            id_ = commands.ask(connection, self._link.place, f"place.{verb}", config.name, {"kind": config.kind}, at=at)
            commands.answer(connection, id_, status=status, result=result, at=now())

    def _sightings(self) -> tuple[Sighting, ...]:
        at, own = now(), self._link.place
        with self._link.read() as connection:
            rows = [row for row in lease.all_of(connection) if row.place != own]
        return tuple(
            Sighting(
                place=row.place,
                machine=row.holder.rpartition(":")[0],
                generation=row.generation,
                age=(at - row.renewed).total_seconds(),
                released=row.released is not None,
            )
            for row in rows
        )

    def provide(self, config: PlaceConfig) -> None:
        """Take over the token that a kind needs, from where people keep it, and the address of a store that is to be shared."""
        if config.options.get("store") == "shared" and not self._link.store.embedded:
            secrets.keep(self._link.store.home, SHARED_STORE, self._link.store.url.render_as_string(hide_password=False))
        home, name = self._link.store.home, config.options.get("token", config.kind)
        value, source = secrets.find(TOKENS[config.kind]) if config.kind in TOKENS else ("", "")
        if value and (not secrets.has(home, name) or secrets.load(home, name) != value):
            secrets.keep(home, name, value)
            self._link.say(f"The token for {config.name} (fingerprint {secrets.fingerprint(value)}) was taken from {source}.")

    def _notes(self) -> Notes:
        try:
            return msgspec.json.decode(self._path.read_bytes(), type=Notes)
        except FileNotFoundError:
            return Notes()
        except (OSError, msgspec.DecodeError) as error:
            raise HomeError(f"{self._path} cannot be read ({line(str(error))})", "Remove it: only the names of places are in it") from None

    def _keep(self, notes: Notes) -> None:
        write_atomic(self._path, msgspec.json.format(msgspec.json.encode(notes), indent=1))


def configs(link: Link, names: object, fleet: FleetConfig | None = None) -> list[dict[str, object]]:
    """The places of these names, as a runner of the kind `place` takes them.

    Args:
        fleet: whose places count beside those that were added.

    Raises:
        NotFound: one of them is not known.
    """
    places = Places(link)
    known = {noted.config.name: noted.config for noted in places}
    known |= {place.name: place for place in fleet.places} if fleet is not None else {}
    asked = [names] if isinstance(names, str) else [str(name) for name in names] if isinstance(names, (list, tuple)) else []
    for name in asked:
        if name not in known:
            raise NotFound(f'there is no place "{name}"', did_you_mean(name, known, what="place", none="qcity place add NAME KIND notes one"))
        places.provide(known[name])
    return [dict(msgspec.to_builtins(known[name])) for name in asked]


def _of_fleet() -> Mapping[str, PlaceConfig]:
    """The places of `[fleet]` in the current folder's `qcity.toml`."""
    asked = read(Path.cwd())
    return {place.name: place for place in asked.fleet.places} if asked is not None and asked.fleet is not None else {}


def _heard(noted: Noted) -> str:
    return f"{noted.state.sentence} ({clock(noted.at)} UTC)" if noted.state else "nothing was asked yet"
