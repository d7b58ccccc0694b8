"""The log of the scripted gitlab-runner, in its three formats, and its configuration as it reads it. Standard library only.

`text` is logrus's own (`time="…" level=info msg="…" key=value`) and what this stand-in writes when nothing else is said; `runner` is what the
real one writes by default: colours, no time; `json` is one object per line.
"""

from __future__ import annotations

import importlib
import json
import re
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from .console import out

FORMATS = ("text", "runner", "json")
_COLOURS = {"warning": ("\x1b[0;33m", "WARNING: "), "error": ("\x1b[31;1m", "ERROR: "), "fatal": ("\x1b[31;1m", "FATAL: ")}
_PLAIN = re.compile(r"[A-Za-z0-9._/@^+-]+")


class Fatal(Exception):
    """A line of level fatal, and exit code 1."""


class Log:
    """Where lines go: stderr, as with logrus.

    Args:
        format: one of `FORMATS`.
    """

    def __init__(self, format: str = "text") -> None:  # noqa: A002 - the real option's name
        self.format, self.muted = format, False

    def write(self, level: str, text: str, **fields: object) -> None:
        """One line: info, warning, error or fatal."""
        if self.muted:
            return
        out(render(self.format, level, text, fields), to=2)

    def info(self, text: str, **fields: object) -> None:
        """Level info."""
        self.write("info", text, **fields)

    def warning(self, text: str, **fields: object) -> None:
        """Level warning."""
        self.write("warning", text, **fields)

    def error(self, text: str, **fields: object) -> None:
        """Level error."""
        self.write("error", text, **fields)


def render(format: str, level: str, text: str, fields: dict[str, object]) -> str:  # noqa: A002 - the real option's name
    """A line as the format has it."""
    at = f"{datetime.now(timezone.utc):%Y-%m-%dT%H:%M:%SZ}"
    if format == "json":
        return json.dumps({**fields, "level": level, "msg": text, "time": at})
    pairs = [f"{key}={_value(value)}" for key, value in sorted(fields.items())]
    if format == "text":
        return " ".join([f'time="{at}" level={level} msg={json.dumps(text, ensure_ascii=False)}', *pairs])
    colour, word = _COLOURS.get(level, ("", ""))
    line = f"{colour}{word}{text:<50}{chr(27) + '[0;m' if colour else ''}"
    return "  ".join([line, " ".join(f"{colour}{pair}{chr(27) + '[0;m' if colour else ''}" for pair in pairs)]).rstrip()


def _value(value: object) -> str:
    text = str(value)
    return text if _PLAIN.fullmatch(text) else json.dumps(text)


def load(path: Path) -> dict[str, Any]:
    """`config.toml`; every runner has name, url, token, limit and request_concurrency.

    Raises:
        OSError: it is not there.
        ValueError: it is no TOML.
    """
    text = path.read_text()
    try:
        found: dict[str, Any] = importlib.import_module("tomllib").loads(text)
    except ModuleNotFoundError:
        found = _lines(text)  # Python 3.10
    found.setdefault("runners", [])
    for runner in found["runners"]:
        for key, default in (("name", ""), ("url", ""), ("token", ""), ("limit", 0), ("executor", "")):
            runner.setdefault(key, default)
        runner["request_concurrency"] = max(1, int(runner.get("request_concurrency", 1)))
    return found


def _lines(text: str) -> dict[str, Any]:
    """As much TOML as configurations of runners hold: tables, lists of tables, and JSON's values."""
    whole: dict[str, Any] = {}
    here = whole
    for raw in text.splitlines():
        line = raw.strip()
        if not line or line.startswith("#"):
            continue
        if line.startswith("[["):
            here = {}
            whole.setdefault(line.strip("[]"), []).append(here)
        elif line.startswith("["):
            *above, last = line.strip("[]").split(".")
            parent = whole[above[0]][-1] if above and isinstance(whole.get(above[0]), list) else whole
            here = parent.setdefault(last, {})
        else:
            key, _, value = line.partition("=")
            here[key.strip().strip('"')] = json.loads(value.strip())
    return whole


def bottlenecks(config: dict[str, Any]) -> str:
    """What the real one warns of at each loading of its configuration (`checkConfigConcurrency`); empty when there is nothing."""
    runners = config["runners"]
    slow = [one for one in runners if one["request_concurrency"] == 1]
    tight = [one for one in slow if 0 < one["limit"] <= 2]
    found = []
    workers = config.get("concurrent", 0)
    if workers < len(runners):
        found.append(f"Worker starvation bottleneck: 'concurrent' setting ({workers}) is less than number of runners ({len(runners)})")
    if slow:
        found.append(f"Request bottleneck: {len(slow)} runners have request_concurrency=1, causing job delays during long polling")
    if tight:
        found.append(f"Build limit bottleneck: {len(tight)} runners have low 'limit' settings (≤2) with request_concurrency=1")
    return warning(found) if found else ""


def warning(issues: list[str]) -> str:
    """The text of that warning."""
    lines = ["CONFIGURATION: Long polling issues detected.", "Issues found:", *(f"  - {issue}" for issue in issues)]
    return "\n".join([*lines, "This can cause job delays matching your GitLab instance's long polling timeout."])
