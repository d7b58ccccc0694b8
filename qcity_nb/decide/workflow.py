"""Reading a GitHub workflow file: what a push asks of it, which jobs it has, and which of them this machine has to leave out, and why.

A file that cannot be used gives a plan with one sentence in `problem`; a file that does not answer to the push gives nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import yaml

from ..model.work import BuildPlan, JobPlan
from . import jobs, nodes, triggers


@dataclass(frozen=True, kw_only=True)
class Source:
    """Where a workflow file was found: commit, ref, path, and the commit's own words."""

    sha: str
    ref: str
    path: str
    repository: str = "local/repository"
    subject: str = ""
    author: str = ""
    changed: Sequence[str] | None = None


def read(text: str, source: Source, *, available: Callable[[str], bool]) -> BuildPlan | None:
    """What a push asks of the workflow `text`; None when it does not answer to it.

    Args:
        available: whether a step's `uses` of a remote action can be answered on this machine.
    """
    plan = BuildPlan(sha=source.sha, ref=source.ref, workflow=source.path, name=source.path, subject=source.subject, author=source.author)
    try:
        root = nodes.parse(text)
        if not triggers.answers(root, ref=source.ref, changed=source.changed):
            return None
        return _build(root, plan, source, available)
    except nodes.Fault as fault:
        return replace(plan, problem=f"{source.path}:{fault.line}: {fault.what}" if fault.line else f"{source.path} {fault.what}")


def too_large(size: int, source: Source) -> BuildPlan:
    """The plan for a file of `size` bytes that is not even read."""
    return unusable(source, f"{source.path} is {size / 1e6:.1f} MB long; a workflow may have {nodes.MAX_SIZE >> 20} MB")


def unusable(source: Source, problem: str) -> BuildPlan:
    """The plan for a file that cannot be used."""
    return BuildPlan(
        sha=source.sha, ref=source.ref, workflow=source.path, name=source.path, subject=source.subject, author=source.author, problem=problem
    )


def contexts(source: Source, name: str) -> dict[str, Any]:
    """What expressions may speak of before a job runs."""
    kind = "tag" if source.ref.startswith("refs/tags/") else "branch"
    github = {
        "ref": source.ref,
        "ref_name": source.ref.split("/", 2)[-1],
        "ref_type": kind,
        "sha": source.sha,
        "workflow": name,
        "repository": source.repository,
        "repository_owner": source.repository.partition("/")[0],
        "actor": source.author,
        # A number of its own for each commit and file is all that a group made of it needs.
        "event_name": "push",
        "head_ref": "",
        "base_ref": "",
        "run_id": f"{source.sha[:12]}:{source.path}",
        "triggering_actor": source.author,
        "event": {"ref": source.ref, "after": source.sha, "head_commit": {"id": source.sha, "message": source.subject}},
    }
    return {"github": github}


def _build(root: yaml.MappingNode, plan: BuildPlan, source: Source, available: Callable[[str], bool]) -> BuildPlan:
    name = nodes.scalar(nodes.get(root, "name")) or source.path
    known = contexts(source, name)
    warnings: list[str] = []
    group, cancel = jobs.concurrency(nodes.get(root, "concurrency"), known, warnings, where=source.path)
    context = jobs.Context(path=source.path, known=known, available=available, warnings=warnings)
    return replace(plan, name=name, group=group, cancel_in_progress=cancel, jobs=_jobs(root, context), warnings=tuple(warnings))


def _jobs(root: yaml.MappingNode, context: jobs.Context) -> tuple[JobPlan, ...]:
    given = nodes.get(root, "jobs")
    found = list(nodes.entries(given))
    if not found:
        key = next((key for name, key, _ in nodes.entries(root) if name == "jobs"), None)
        raise nodes.Fault(nodes.line(key) if key else 0, "has no jobs")
    lines = {name: nodes.line(key) for name, key, _ in found}
    plans: dict[str, tuple[JobPlan, ...]] = {}
    for name, key, body in found:
        plans[name] = jobs.read(name, body, line=nodes.line(key), context=context)
    needs = {name: legs[0].needs for name, legs in plans.items()}
    _check_needs(needs, lines)
    refused = _refused(plans, needs)
    out: list[JobPlan] = []
    for name, legs in plans.items():
        for leg in legs:
            out.append(leg if leg.refusal or name not in refused else replace(leg, refusal=f"{context.path}:{lines[name]}: {refused[name]}"))
    return tuple(out)


def _check_needs(needs: Mapping[str, tuple[str, ...]], lines: Mapping[str, int]) -> None:
    for name, wanted in needs.items():
        for one in wanted:
            if one not in needs:
                raise nodes.Fault(lines[name], f'job "{name}" needs "{one}", and there is no such job')
    state: dict[str, int] = {}
    for start in needs:
        path: list[str] = []
        stack = [(start, iter(needs[start]))] if start not in state else []
        if stack:
            state[start], path = 1, [start]
        while stack:
            name, rest = stack[-1]
            below = next(rest, None)
            if below is None:
                state[name] = 2
                stack.pop()
                path.pop()
            elif state.get(below) == 1:
                circle = " -> ".join([*path[path.index(below) :], below])
                raise nodes.Fault(lines[below], f"the jobs need each other in a circle: {circle}")
            elif below not in state:
                state[below] = 1
                path.append(below)
                stack.append((below, iter(needs[below])))


def _refused(plans: Mapping[str, tuple[JobPlan, ...]], needs: Mapping[str, tuple[str, ...]]) -> dict[str, str]:
    """The jobs that fall with another one that was left out, with the words for it."""
    out = {name for name, legs in plans.items() if any(leg.refusal for leg in legs)}
    words: dict[str, str] = {}
    while True:
        more = {name: next(one for one in wanted if one in out) for name, wanted in needs.items() if name not in out and out & set(wanted)}
        if not more:
            return words
        words |= {name: f'job "{name}" needs "{other}", which was left out' for name, other in more.items()}
        out |= set(more)
