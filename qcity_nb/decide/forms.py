"""Forms: which fields each has, what cannot be meant, and the line of Python that means the same. Pure; the world is asked through what is given.

A form never does what its line does not say: what is run is what is shown.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from ..errors import BadInput
from ..model.schedule import RunPlan, Schedule
from . import schedule as times
from .config import NAME
from .wording import duration, line

Values = Mapping[str, Any]
Exists = Callable[[str], bool]
DURATIONS = ("ttl", "timeout")


@dataclass(frozen=True, kw_only=True)
class Field:
    """One thing to fill in.

    Args:
        key: what the call names it.
        label: what a person reads beside it.
        default: what is not said in the line; its type is the field's.
        choices: what may be chosen; without any it is typed.
        hint: shown in the empty field.
        only: the values of the form's first field for which it is there; none means all.
    """

    key: str
    label: str
    default: str | int | bool = ""
    choices: tuple[str, ...] = ()
    hint: str = ""
    only: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Form:
    """A call, its fields and the word on its button. `first` are the fields that the call takes by place."""

    name: str
    call: str
    button: str
    fields: tuple[Field, ...]
    first: tuple[str, ...]

    def asked(self, values: Values) -> list[Field]:
        """The fields that are there for these values."""
        lead = values.get(self.fields[0].key)
        return [one for one in self.fields if not one.only or lead in one.only]


RUNNER = Form(
    name="runner",
    call="city.runners.start",
    button="Start",
    first=("kind", "name"),
    fields=(
        Field(key="kind", label="Kind", default="local", choices=("local", "github", "gitlab", "command")),
        Field(key="name", label="Name", hint="empty: the next free one"),
        Field(key="repo", label="Repository", hint="a folder or an address", only=("local",)),
        Field(key="repo", label="Repository", hint="owner/name", only=("github",)),
        Field(key="project", label="Project", hint="group/name", only=("gitlab",)),
        Field(key="command", label="Command", hint="a program and its words", only=("command",)),
        Field(key="labels", label="Labels", hint="linux, gpu", only=("local", "github", "gitlab")),
        Field(key="slots", label="Jobs at once", default=2, only=("local",)),
        Field(key="sandbox", label="Sandbox, at least", default="none", choices=("none", "partial", "full"), only=("local",)),
        Field(key="network", label="Network in it", default=False, only=("local",)),
        Field(key="ephemeral", label="One job each", default=True, only=("github", "gitlab")),
    ),
)
TUNNEL = Form(
    name="tunnel",
    call="city.tunnels.open",
    button="Open",
    first=("port",),
    fields=(
        Field(key="port", label="Port", default=8888),
        Field(key="name", label="Name", hint="empty: after its port"),
        Field(key="chain", label="Providers", hint="ngrok,ssh — empty: what suits this place"),
        Field(key="ttl", label="Closes after", hint="2 h — empty: never"),
        Field(key="public", label="For everybody", default=False),
    ),
)
NOTEBOOK = Form(
    name="notebook",
    call="city.notebooks.schedule",
    button="Schedule",
    first=("notebook", "cron"),
    fields=(
        Field(key="notebook", label="Notebook", hint="report.ipynb"),
        Field(key="cron", label="When", default="", hint="0 3 * * *"),
        Field(key="tz", label="Time zone", default="UTC", hint="Europe/Berlin"),
        Field(key="name", label="Name", hint="empty: the notebook's"),
        Field(key="retries", label="Retries", default=0),
        Field(key="timeout", label="At most", hint="30m — empty: no limit"),
        Field(key="sandbox", label="Sandbox, at least", default="none", choices=("none", "partial", "full")),
    ),
)
FORMS = (RUNNER, TUNNEL, NOTEBOOK)


def call(form: Form, values: Values) -> tuple[list[Any], dict[str, Any]]:
    """What the form's call is given, by place and by name; what is as it would be anyway is left out.

    Raises:
        BadInput: a length of time is none, or a quotation does not end.
    """
    named = {one.key: _meant(one, values.get(one.key, one.default)) for one in form.asked(values)}
    needed = {key: named.pop(key, None) for key in form.first}
    while needed and next(reversed(needed.values())) in ("", None):
        needed.popitem()
    usual = {one.key: one.default for one in form.asked(values)}
    return list(needed.values()), {key: value for key, value in named.items() if value not in (usual[key], [])}


def fits(form: Form, given: Values) -> None:
    """See to it that values can stand in a form.

    Raises:
        BadInput: there is no such field, or it cannot hold that.
    """
    known = {one.key: one for one in form.fields}
    for key, value in given.items():
        if key not in known:
            raise BadInput(f"the form for a {form.name} has no field {key}", f"It has: {', '.join(sorted(known))}")
        one = known[key]
        if one.choices and value not in one.choices:
            raise BadInput(f'{one.label} cannot be "{line(str(value), limit=40)}"', f"It is one of: {', '.join(one.choices)}")
        if type(value) is not type(one.default):
            word = {bool: "yes or no (True, False)", int: "a whole number", str: "a text"}[type(one.default)]
            raise BadInput(f"{one.label} cannot be {value!r}", f"It is {word}")


def code(form: Form, values: Values) -> str:
    """The line of Python that does what the form would."""
    placed, named = call(form, values)
    words = [repr(value) for value in placed] + [f"{key}={value!r}" for key, value in named.items()]
    return f"{form.call}({', '.join(words)})"


def check(form: Form, values: Values, *, exists: Exists, names: Sequence[str] = (), now: datetime) -> str:
    """What is worth knowing of these values, as "runs next …"; empty when there is nothing.

    Args:
        exists: whether a path is there.
        names: of what there is already.

    Raises:
        BadInput: something cannot be meant; the first thing is said.
    """
    call(form, values)
    name = str(values.get("name") or "").strip()
    if name and not NAME.fullmatch(name):
        raise BadInput(f'"{line(name, limit=40)}" is no name', "Use letters, digits, dot, dash and underscore, at most 64")
    notes = {"runner": _runner, "tunnel": _tunnel, "notebook": _notebook}[form.name](values, exists, now)
    known = f'"{name}" is there already: it is changed' if name in names else ""
    return "; ".join(note for note in (notes, known) if note)


_NEEDS = {
    "local": ("a repository", "Name a folder, or an address"),
    "github": ("a repository", "Write it as owner/name"),
    "gitlab": ("a project", "Write it as group/name"),
    "command": ("a command", "Write a program and its words"),
}


def _runner(values: Values, exists: Exists, _now: datetime) -> str:
    kind = values["kind"]
    text = str(values.get({"gitlab": "project", "command": "command"}.get(kind, "repo")) or "").strip()
    if not text:
        what, todo = _NEEDS[kind]
        raise BadInput(f"a {kind} runner needs {what}", todo)
    if kind == "github" and (text.count("/") != 1 or not all(text.split("/"))):
        raise BadInput(f'"{line(text, limit=60)}" is no repository of GitHub', "Write it as owner/name")
    if kind == "gitlab" and ("/" not in text.strip("/")):
        raise BadInput(f'"{line(text, limit=60)}" is no project of GitLab', "Write it as group/name")
    if kind == "local" and "://" not in text and "@" not in text and not exists(text):
        raise BadInput(f"there is no folder {line(text, limit=80)}", "Name a folder, or the address of a repository")
    if kind == "local" and not 1 <= int(values.get("slots") or 0) <= 64:
        raise BadInput(f"{values.get('slots')} jobs at once cannot be", "1 to 64")
    return ""


def _tunnel(values: Values, _exists: Exists, _now: datetime) -> str:
    if not 1 <= int(values["port"] or 0) <= 65535:
        raise BadInput(f"{values['port']} is no port", "1 to 65535; 8888 is Jupyter's")
    return "whoever knows the address reaches this port" if values.get("public") else ""


def _notebook(values: Values, exists: Exists, now: datetime) -> str:
    text = str(values["notebook"]).strip()
    if not text:
        raise BadInput("a schedule needs a notebook", "Write its path, as report.ipynb")
    if not exists(text):
        raise BadInput(f"there is no notebook {line(text, limit=80)}", "Write its path, from this folder or from the root")
    if not 0 <= int(values.get("retries") or 0) <= 100:
        raise BadInput(f"{values.get('retries')} retries cannot be", "0 to 100")
    plan, cron = RunPlan(notebook=text), str(values["cron"]).strip()
    if not cron:
        raise BadInput("a schedule needs a cron line", "0 3 * * * is three in the morning; 0 9 * * mon is nine on Mondays")
    asked = times.check(Schedule(name="form", plan=plan, cron=cron, zone=str(values["tz"])), now=now)
    found = times.upcoming(asked, after=now)
    return "" if found is None else f"runs next {found.astimezone(times.zone_of(asked.zone)):%a %Y-%m-%d %H:%M}"


def _meant(one: Field, value: Any) -> Any:
    if one.key == "labels":
        return [word.strip() for word in str(value).split(",") if word.strip()]
    if one.key == "command":
        return _words(str(value))
    if one.key in DURATIONS and str(value).strip():
        return _seconds(one, str(value).strip())
    return value.strip() if isinstance(value, str) else value


def _words(text: str) -> list[str]:
    try:
        return shlex.split(text)
    except ValueError:
        raise BadInput(f"the command {line(text, limit=60)} has a quotation that does not end", "Close it") from None


def _seconds(one: Field, text: str) -> float:
    try:
        found = duration(float(text) if text.isdecimal() else text)
    except ValueError:
        raise BadInput(f'{one.label}: "{line(text, limit=40)}" is no length of time', "Write seconds, or 90 s, 30m, 6 h, 2 days") from None
    if found <= timedelta(0):
        raise BadInput(f"{one.label}: {line(text, limit=40)} is too little", "Leave it empty, or write 30m")
    return found.total_seconds()
