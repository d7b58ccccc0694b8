"""Checks the text of a `qcity.toml`: every wrong key or value becomes one sentence with its line and the nearest right word, all at once. Pure.

    [runner.NAME]   kind labels silent_after grace env fallback claim, and for
                      local:   repo branches slots sandbox network poll canary limits = { memory, processes, file_size }
                      command: command cwd
                      place:   places
                      github:  repo or org, url ephemeral group version allow_root hooks canary
                      gitlab:  project or group_path, url ephemeral version allow_root hooks canary downloads
    [policy]        retries timeout restart = { burst, window, base, cap }
    [fleet]         lease term me places = { NAME = { kind, price, start, budget, and what the kind wants } }
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Mapping
from datetime import timedelta
from decimal import Decimal
from typing import Any

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib  # type: ignore[import-not-found,unused-ignore]

from ..model.config import CityConfig, Problem, RunnerConfig
from ..model.fleet import CLAIM, TERM, FleetConfig, PlaceConfig
from ..model.service import RestartPolicy
from .toml_lines import index, line_of
from .wording import bytes_of, duration, line, nearest

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
"""What a runner may be called: it becomes the name of a folder."""

Check = Callable[[object], object]


class _Wrong(Exception):
    """A value that cannot be; its text completes "KEY must be …"."""


def _text(value: object) -> str:
    if not isinstance(value, str) or not value.strip():
        raise _Wrong("a text")
    return value


def _texts(value: object) -> list[str]:
    if isinstance(value, str):
        value = [value]
    if not isinstance(value, list) or not all(isinstance(item, str) and item.strip() for item in value):
        raise _Wrong('a list of texts, like ["a", "b"]')
    return list(value)


def _argv(value: object) -> list[str]:
    if not isinstance(value, list) or not value or not all(isinstance(item, str) for item in value):
        raise _Wrong('a list: the program and its arguments, like ["buildbot-worker", "start"]')
    return list(value)


def _whole(low: int, high: int) -> Check:
    def check(value: object) -> int:
        if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
            raise _Wrong(f"a whole number from {low} to {high}")
        return value

    return check


def _flag(value: object) -> bool:
    if not isinstance(value, bool):
        raise _Wrong("true or false")
    return value


def _choice(*words: str) -> Check:
    def check(value: object) -> str:
        if value not in words:
            near = nearest(str(value), words)
            raise _Wrong(f"one of {', '.join(words)}" + (f'; did you mean "{near}"?' if near else ""))
        return str(value)

    return check


def _time(value: object) -> timedelta:
    try:
        return duration(value)
    except ValueError:
        raise _Wrong('a duration, like 30, "90 s", "10 min" or "6 h"') from None


def _seconds(value: object) -> float:
    seconds = _time(value).total_seconds()
    if not 0.05 <= seconds <= 86400:
        raise _Wrong("between 0.05 s and a day")
    return seconds


def _pause(value: object) -> float:
    return 0.0 if value is False else _time(value).total_seconds()


def _size(value: object) -> int:
    try:
        return bytes_of(value)
    except ValueError:
        raise _Wrong('a size, like "500 MB" or "4 GB"') from None


def _env(value: object) -> list[str]:
    if not isinstance(value, list) or not all(isinstance(item, str) and re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", item) for item in value):
        raise _Wrong('a list of names of variables, like ["LANG"]; values, which may be secret, never stand in a file')
    return list(value)


def _claim(value: object) -> str | bool:
    if value is True or (isinstance(value, str) and CLAIM.fullmatch(value)):
        return value
    raise _Wrong('true (its own name), or a name of letters, digits, dots, dashes and underscores, like "web"')


def _term(value: object) -> timedelta:
    term = _time(value)
    if not timedelta(seconds=1) <= term <= timedelta(hours=1):
        raise _Wrong("between 1 s and 1 h")
    return term


def _money(value: object) -> Decimal:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1_000_000:
        raise _Wrong("an amount of money, like 0 or 0.35")
    return Decimal(str(value))


COMMON: dict[str, Check] = {
    "kind": _text,
    "labels": _texts,
    "silent_after": _time,
    "grace": _time,
    "env": _env,
    "fallback": _text,
    "claim": _claim,
}
_AGENT: dict[str, Check] = {"url": _text, "ephemeral": _flag, "group": _text, "version": _text, "allow_root": _flag, "hooks": _flag, "canary": _pause}
KINDS: dict[str, dict[str, Check]] = {
    "local": {
        "repo": _text,
        "branches": _texts,
        "slots": _whole(1, 64),
        "sandbox": _choice("full", "partial", "none"),
        "network": _flag,
        "poll": _seconds,
        "canary": _pause,
        "limits": lambda value: value,  # a table of its own, checked key by key
    },
    "command": {"command": _argv, "cwd": _text},
    "place": {"places": _texts},
    "github": {"repo": _text, "org": _text, **_AGENT},
    "gitlab": {"project": _text, "group_path": _text, "downloads": _text, **_AGENT},
}
LIMITS: dict[str, Check] = {"memory": _size, "processes": _whole(1, 1_000_000), "file_size": _size}
POLICY: dict[str, Check] = {"retries": _whole(0, 10), "timeout": _time, "restart": lambda value: value}
FLEET: dict[str, Check] = {"lease": _text, "term": _term, "me": _text, "places": lambda value: value}
PLACE: dict[str, Check] = {"kind": _text, "price": _money, "start": _time, "budget": _money}
RESTART: dict[str, Check] = {"burst": _whole(0, 1000), "window": _time, "base": _time, "cap": _time}


TABLES = ("runner", "policy", "fleet")


def read(text: str) -> tuple[CityConfig, tuple[Problem, ...]]:
    """What a file asks for, and everything that is wrong with it; use the first only when there is none of the second."""
    text = text.removeprefix("\ufeff")
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        return CityConfig(), (_invalid(str(error), text),)
    return _Reader(text).city(data)


class _Reader:
    """One pass over one file: collects problems instead of stopping at the first."""

    def __init__(self, text: str) -> None:
        self.lines = index(text)
        self.problems: list[Problem] = []

    def city(self, data: Mapping[str, Any]) -> tuple[CityConfig, tuple[Problem, ...]]:
        """The whole file."""
        for name in data:
            if name not in TABLES:
                self._unknown((name,), TABLES, "this file")
        runners = [self._runner(name, table) for name, table in self._table(data, "runner", ()).items()]
        self._fallbacks(runners)
        values = self._checked(self._table(data, "policy", ()), POLICY, ("policy",), "the policy")
        restart = self._checked(self._table(values, "restart", ("policy",)), RESTART, ("policy", "restart"), "the restart policy")
        config = CityConfig(
            runners=tuple(runner for runner in runners if runner is not None),
            restart=RestartPolicy(**restart),
            retries=values.get("retries"),
            timeout=values.get("timeout"),
            fleet=self._fleet(self._table(data, "fleet", ())) if "fleet" in data else None,
        )
        return config, tuple(sorted(self.problems, key=lambda problem: problem.line))

    def _fleet(self, table: Mapping[str, Any]) -> FleetConfig:
        values = self._checked(table, FLEET, ("fleet",), "the fleet")
        if "lease" not in table:
            self._say(("fleet",), 'a fleet needs lease = "KIND:ADDRESS", like lease = "git:https://git.example.org/team/leases.git"')
        places = []
        for name, own in self._table(values, "places", ("fleet",)).items():
            path = ("fleet", "places", name)
            if not isinstance(own, dict):
                self._say(path, f"write [fleet.places.{name}] as a table, with its keys on the lines below it")
                continue
            options = {key: str(value) for key, value in own.items() if key not in PLACE and isinstance(value, str | int | float)}
            checked = self._checked({key: value for key, value in own.items() if key not in options}, PLACE, path, "a place")
            places.append(PlaceConfig(name=name, options=options, **checked))
        if places and values.get("me") and values["me"] not in [place.name for place in places]:
            near = nearest(values["me"], [place.name for place in places])
            self._say(("fleet", "me"), f'me = "{line(values["me"])}" is none of the places' + (f'; did you mean "{near}"?' if near else ""))
        return FleetConfig(lease=values.get("lease", ""), term=values.get("term", TERM), me=values.get("me", ""), places=tuple(places))

    def _runner(self, name: str, table: object) -> RunnerConfig | None:
        path = ("runner", name)
        if not NAME.fullmatch(name):
            self._say(path, f'a runner cannot be called "{line(name, limit=80)}": letters, digits, dots, dashes and underscores, 64 at most')
        if not isinstance(table, dict):
            self._say(path, f"write [runner.{name}] as a table, with its keys on the lines below it")
            return None
        kind = table.get("kind", "local")
        if kind not in KINDS and isinstance(kind, str) and (near := nearest(kind, KINDS)):
            self._say((*path, "kind"), f'there is no kind "{line(kind)}" of runner; did you mean "{near}"?')
            kind = near
        own = KINDS.get(kind) if isinstance(kind, str) else {}
        known = COMMON | (own if own is not None else {key: lambda value: value for key in table if key not in COMMON})
        values = self._checked(table, known, path, f"a {kind} runner")
        if kind == "command" and "command" not in table:
            self._say(path, 'a command runner needs its command, like command = ["my-agent", "--run"]')
        limits = self._checked(self._table(values, "limits", path), LIMITS, (*path, "limits"), "the limits")
        options = {key: value for key, value in values.items() if key not in COMMON and key != "limits"}
        options |= {key: value for key, value in (("limits", limits), ("env", values.get("env"))) if value}
        return RunnerConfig(
            name=name,
            kind=str(kind),
            labels=tuple(values.get("labels", ())),
            options=options,
            silent_after=values.get("silent_after"),
            grace=values.get("grace", timedelta(seconds=10)),
            claim=name if values.get("claim") is True else values.get("claim", ""),
            fallback=values.get("fallback", ""),
        )

    def _fallbacks(self, runners: list[RunnerConfig | None]) -> None:
        """Each fallback is another runner of the file."""
        names = [runner.name for runner in runners if runner is not None]
        for runner in runners:
            if runner is None or not runner.fallback:
                continue
            others = [name for name in names if name != runner.name]
            if runner.fallback not in others:
                near = nearest(runner.fallback, others)
                rest = f'did you mean "{near}"?' if near else f"there are: {', '.join(others) or 'none'}"
                self._say(("runner", runner.name, "fallback"), f'"{line(runner.fallback)}" is no other runner of this file; {rest}')

    def _checked(self, table: Mapping[str, Any], known: Mapping[str, Check], path: tuple[str, ...], what: str) -> dict[str, Any]:
        values: dict[str, Any] = {}
        for key, value in table.items():
            if key not in known:
                self._unknown((*path, key), known, what)
                continue
            try:
                values[key] = known[key](value)
            except _Wrong as wrong:
                self._say((*path, key), f"{key} = {_shown(value)} must be {wrong}")
        return values

    def _table(self, data: Mapping[str, Any], key: str, path: tuple[str, ...]) -> dict[str, Any]:
        value = data.get(key, {})
        if isinstance(value, dict):
            return value
        self._say((*path, key), f"{key} = {_shown(value)} must be a table")
        return {}

    def _unknown(self, path: tuple[str, ...], known: Mapping[str, Check] | tuple[str, ...], what: str) -> None:
        near = nearest(path[-1], known)
        rest = f'did you mean "{near}"?' if near else f"there are: {', '.join(known)}"
        self._say(path, f'"{line(path[-1], limit=80)}" is no key of {what}; {rest}')

    def _say(self, path: tuple[str, ...], text: str) -> None:
        self.problems.append(Problem(line=line_of(self.lines, path), text=text))


def _shown(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return f'"{line(value, limit=60)}"' if isinstance(value, str) else line(str(value), limit=60)


def _invalid(message: str, text: str) -> Problem:
    match = re.search(r"\(at line (\d+), column \d+\)", message)
    number = int(match[1]) if match else max(1, len(text.splitlines()))
    plain = message.partition(" (at ")[0]
    return Problem(line=number, text=f"this is not TOML: {plain[:1].lower()}{plain[1:]}")
