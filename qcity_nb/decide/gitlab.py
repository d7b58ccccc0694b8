"""Turning what gitlab-ci-local tells of a `.gitlab-ci.yml` (its list of jobs, and the file with everything expanded) into job plans.

Nothing is evaluated here: rules, includes and `extends` are the tool's. What a shell on this machine cannot do is refused with the line it is on.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

import yaml

from ..model.work import DEFAULT_TIMEOUT, JobPlan
from . import nodes

_UNITS = {"week": 604800, "day": 86400, "hour": 3600, "hr": 3600, "min": 60, "minute": 60, "sec": 1, "second": 1}
_SHORT = {"w": 604800, "d": 86400, "h": 3600, "m": 60, "s": 1}
_PIECE = re.compile(r"(\d+(?:\.\d+)?)\s*([a-z]*)")
MOST_RETRIES = 2  # GitLab's own bound
MANUAL = ("manual", "never")


@dataclass(frozen=True, kw_only=True)
class Listed:
    """What the tool says: its list of jobs, and the expanded file as plain data."""

    jobs: tuple[Mapping[str, Any], ...]
    file: Mapping[str, Any]

    def key(self, name: str) -> str:
        """The job's name in the file: a leg's own name has the leg behind it."""
        if name in self.file:
            return name
        return next((key for key in sorted(self.file, key=len, reverse=True) if name.startswith(f"{key}: [")), name)

    def body(self, name: str) -> Mapping[str, Any]:
        """The expanded job."""
        found = self.file.get(self.key(name))
        return found if isinstance(found, dict) else {}

    @property
    def stages(self) -> list[str]:
        """The stages in their order."""
        given = self.file.get("stages")
        return [str(one) for one in given] if isinstance(given, list) else [".pre", "build", "test", "deploy", ".post"]

    @property
    def wanted(self) -> list[Mapping[str, Any]]:
        """The jobs that run by themselves: those without `when: manual` and those that no rule leaves out."""
        return [one for one in self.jobs if one.get("when") not in MANUAL]


def listed(jobs: str, file: str) -> Listed:
    """The tool's two answers, parsed. Raises `Fault` when they are not what they should be."""
    try:
        given = json.loads(jobs)
        assert isinstance(given, list)
        expanded = nodes.plain(nodes.parse(file))
    except (ValueError, AssertionError) as error:
        raise nodes.Fault(0, f"is listed by gitlab-ci-local in a way that cannot be read: {error}") from None
    return Listed(jobs=tuple(one for one in given if isinstance(one, dict)), file=expanded if isinstance(expanded, dict) else {})


def plans(told: Listed, root: yaml.Node, *, path: str) -> tuple[JobPlan, ...]:
    """The plans of all jobs that run by themselves, a matrix leg each.

    Args:
        root: the file as it is written, for the lines.
        path: its name, for the words.

    Raises:
        Fault: a timeout cannot be read.
    """
    return tuple(_plan(one, told, root, path) for one in told.wanted)


def _plan(one: Mapping[str, Any], told: Listed, root: yaml.Node, path: str) -> JobPlan:
    name, when = str(one["name"]), str(one.get("when") or "on_success")
    key, body = told.key(name), told.body(name)
    staged = not isinstance(one.get("needs"), list)
    needs, lacking = _needs(one, told)
    retry = body.get("retry")
    most = retry.get("max", 0) if isinstance(retry, dict) else retry
    tags = body.get("tags")
    plan = JobPlan(
        key=key,
        name=name,
        leg={"leg": name} if key != name else {},
        needs=needs,
        labels=tuple(str(tag) for tag in tags) if isinstance(tags, list) else (),
        timeout=_timeout(body.get("timeout"), root, key),
        fail_fast=False,
        group=str(body.get("resource_group") or ""),
        unconditional=not staged and when not in ("always", "on_failure"),
        condition=when if when == "on_failure" else "no_failure" if staged and when != "always" else "",
        allow_failure=one.get("allow_failure") is True,
        retries=min(most, MOST_RETRIES) if isinstance(most, int) and not isinstance(most, bool) else 0,
    )
    return replace(plan, refusal=_refusal(key, body, lacking, root, path))


def _needs(one: Mapping[str, Any], told: Listed) -> tuple[tuple[str, ...], str]:
    """The jobs it needs, and the first of them that does not run by itself although it has to."""
    there = {told.key(str(job["name"])) for job in told.wanted}
    given = one.get("needs")
    if isinstance(given, list):
        asked = [(str(need["job"]), need.get("optional") is True) for need in given if isinstance(need, dict) and need.get("job")]
        lacking = next((key for key, optional in asked if key not in there and not optional), "")
        return tuple(dict.fromkeys(key for key, _ in asked if key in there)), lacking
    order = told.stages
    rank = {stage: number for number, stage in enumerate(order)}
    mine = rank.get(str(one.get("stage")), 0)
    before = (told.key(str(job["name"])) for job in told.wanted if rank.get(str(job.get("stage")), 0) < mine)
    return tuple(dict.fromkeys(before)), ""


def _timeout(given: object, root: yaml.Node, key: str) -> timedelta:
    if given is None:
        return DEFAULT_TIMEOUT
    seconds = duration(str(given))
    if not 0 < seconds <= 35 * 86400:
        node = nodes.get(nodes.get(root, key), "timeout")
        raise nodes.Fault(nodes.line(node) if node else 0, f'job "{key}": timeout is "{given}", which is not a time like "1h 30m"')
    return timedelta(seconds=seconds)


def duration(text: str) -> float:
    """The seconds of a duration as GitLab writes it (`3600`, `90 minutes`, `1h 30m`); 0 when it is none."""
    rest, seconds = text.strip().lower().replace(" and ", " ").replace(",", " "), 0.0
    if _PIECE.sub("", rest).strip():
        return 0.0
    for number, unit in _PIECE.findall(rest):
        factor = 1 if not unit else _SHORT.get(unit) or _UNITS.get(unit.removesuffix("s"))
        if factor is None:
            return 0.0
        seconds += float(number) * factor
    return seconds


def _refusal(key: str, body: Mapping[str, Any], lacking: str, root: yaml.Node, path: str) -> str:
    """Why a shell on this machine must not run this job, or an empty text."""
    for word in ("image", "services"):
        if body.get(word):
            return f'{path}:{_line(root, key, word)}: job "{key}" uses `{word}:`, which needs containers; this machine has none'
    if body.get("trigger"):
        return f'{path}:{_line(root, key, "trigger")}: job "{key}" starts another pipeline, which this runner cannot do'
    if lacking:
        return f'{path}:{_line(root, key, "needs")}: job "{key}" needs "{lacking}", which does not run by itself'
    return ""


def _line(root: yaml.Node, key: str, word: str) -> int:
    """The line of a job's keyword: its own, that of the file's defaults, else that of the job."""
    for holder in (nodes.get(root, key), nodes.get(root, "default"), root):
        for name, node, _ in nodes.entries(holder):
            if name == word:
                return nodes.line(node)
    return next((nodes.line(node) for name, node, _ in nodes.entries(root) if name == key), 1)


def givers(told: Listed, name: str) -> Iterator[str]:
    """The names of the jobs (legs by themselves) whose artifacts a job is given: `dependencies`, else `needs`, else all earlier stages."""
    mine = next((one for one in told.jobs if one["name"] == name), {})
    body = told.body(name)
    keys: tuple[str, ...]
    if isinstance(body.get("dependencies"), list):
        keys = tuple(str(one) for one in body["dependencies"])
    elif isinstance(mine.get("needs"), list):
        keys = tuple(str(need.get("job")) for need in mine["needs"] if isinstance(need, dict) and need.get("artifacts") is not False)
    else:
        keys = _needs(mine, told)[0]
    for one in told.jobs:
        if told.key(str(one["name"])) in keys:
            yield str(one["name"])
