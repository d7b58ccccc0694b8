"""Agents that already stand on this machine and are not ours: found by their processes, told of, left as they are."""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import psutil

from .github import Program

_CONFIG = re.compile(r"(?:--config|-c)[= ]?(\S+)")
_VALUE = re.compile(r'^\s*(name|url|id) = "?([^"\n]+)"?$', re.MULTILINE)


@dataclass(frozen=True, kw_only=True)
class Found:
    """An agent of somebody else. `how`: by hand (run.sh), as a service, or alone."""

    forge: str
    pid: int
    folder: str
    name: str
    url: str = ""
    scope: str = ""
    id: int | None = None
    how: str = "by hand"


def agents(ours: set[int]) -> list[Found]:
    """Every listener and gitlab-runner that runs here, without those whose process (or its parent) is ours."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            words = process.cmdline()
            if not words or process.pid in ours or process.status() == psutil.STATUS_ZOMBIE:
                continue
            program = next((word for word in words[:3] if word.endswith(("Runner.Listener", "Runner.Listener.exe", "gitlab-runner"))), "")
            if program.endswith(("Runner.Listener", "Runner.Listener.exe")) and "configure" not in words:
                found.append(_listener(process, Path(program)))
            elif program and {"run", "run-single"} & set(words):
                found.append(_gitlab(process, words))
    return found


def name_of(found: Found, *, taken: Iterable[str]) -> str:
    """What to call it here: its own name, made fit, and not one of ours."""
    plain = "".join(letter if letter.isalnum() or letter in "._-" else "-" for letter in found.name).strip(".-")[:48] or found.forge
    return f"{plain}-{found.pid}" if plain in set(taken) else plain


def _listener(process: psutil.Process, program: Path) -> Found:
    bin_ = program if program.is_absolute() else Path(process.cwd()) / program
    root = bin_.parent.parent
    told = _json(root / ".runner")
    parts = urlsplit(str(told.get("githuburl") or ""))
    name = str(told.get("agentname") or root.name)
    return Found(
        forge="github",
        pid=process.pid,
        folder=str(root),
        name=name,
        url=f"{parts.scheme}://{parts.netloc}" if parts.netloc else "",
        scope=parts.path.strip("/"),
        id=Program().configured(root) or None,
        how=_how(process, root),
    )


def _gitlab(process: psutil.Process, words: list[str]) -> Found:
    given = _CONFIG.search(" ".join(words))
    path = Path(given[1]) if given else Path("/etc/gitlab-runner/config.toml")
    path = path if path.is_absolute() else Path(process.cwd()) / path
    values: dict[str, str] = {}
    with contextlib.suppress(OSError):
        values = dict(reversed(_VALUE.findall(path.read_text())))
    id_ = int(values["id"]) if values.get("id", "").isdigit() else None
    return Found(
        forge="gitlab",
        pid=process.pid,
        folder=str(path.parent),
        name=values.get("name") or "gitlab-runner",
        url=values.get("url", "").rstrip("/"),
        id=id_,
        how=_how(process, path.parent),
    )


def _how(process: psutil.Process, root: Path) -> str:
    parents = []
    with contextlib.suppress(psutil.Error):
        parents = [" ".join(parent.cmdline()) for parent in process.parents()]
    by_service = any("runsvc" in words or "RunnerService" in words for words in parents) or bool(parents and "systemd" in parents[0])
    return "as a service" if by_service or (root / ".service").exists() else "by hand"


def _json(path: Path) -> dict[str, object]:
    try:
        found = json.loads(path.read_text("utf-8-sig"))
    except (OSError, ValueError):
        return {}
    return {key.lower(): value for key, value in found.items()} if isinstance(found, dict) else {}
