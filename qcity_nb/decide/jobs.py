"""Reading one job of a workflow file into its plans, one for each leg, with a refusal where act's host mode would silently do something else."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

import yaml

from ..model.work import JobPlan
from . import expression, nodes
from .matrix import MatrixError, leg_plan, legs

DEFAULT_MINUTES = 360.0
_ID = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*$")
_FOREIGN = re.compile(r"(?:windows|macos)(?:-|$)", re.IGNORECASE)


@dataclass(frozen=True, kw_only=True)
class Context:
    """What reading a job needs to know of its file and its machine; `warnings` is added to."""

    path: str
    known: Mapping[str, Any]
    available: Callable[[str], bool]
    warnings: list[str]


def read(name: str, body: yaml.Node, *, line: int, context: Context) -> tuple[JobPlan, ...]:
    """The plans of a job: one, or one for each leg of its matrix.

    Raises:
        Fault: the job is wrong, so that the file cannot be used.
    """
    if not _ID.match(name):
        raise nodes.Fault(line, f'"{name}" is not a name for a job; use letters, digits, - and _')
    if not isinstance(body, yaml.MappingNode):
        raise nodes.Fault(line, f'job "{name}" has to be a mapping of keys')
    plan = JobPlan(key=name, name=name, needs=tuple(nodes.strings(nodes.get(body, "needs"))), unconditional=nodes.get(body, "if") is None)
    reusable = nodes.get(body, "uses")
    if reusable is not None:
        words = "calls a reusable workflow, which this runner cannot do"
        return (replace(plan, refusal=f'{context.path}:{nodes.line(reusable)}: job "{name}" {words}'),)
    runs_on = _runs_on(name, body, line)
    _check_steps(name, body, line)
    plan = replace(plan, timeout=_timeout(name, body, context), labels=runs_on, refusal=_refusal(name, body, context))
    group, cancel = _job_group(body, context)
    raw: dict[str, Any] = {"name": nodes.scalar(nodes.get(body, "name")), "runs_on": list(runs_on), "group": group}
    raw["allow"] = nodes.plain(nodes.get(body, "continue-on-error"))
    plan = replace(plan, cancel_in_progress=cancel)
    plans = _expanded(plan, body, raw, context)
    at = _line(nodes.get(body, "runs-on"), line)
    return tuple(_not_elsewhere(one, at, context) for one in plans)


def _line(node: yaml.Node | None, otherwise: int) -> int:
    return nodes.line(node) if node is not None else otherwise


def _runs_on(name: str, body: yaml.MappingNode, line: int) -> tuple[str, ...]:
    node = nodes.get(body, "runs-on")
    if isinstance(node, yaml.MappingNode):
        node = nodes.get(node, "labels") or nodes.get(node, "group")
    labels = tuple(nodes.strings(node))
    if not labels:
        raise nodes.Fault(line, f'job "{name}" does not say what it `runs-on`')
    return labels


def _check_steps(name: str, body: yaml.MappingNode, line: int) -> None:
    steps = nodes.get(body, "steps")
    if not isinstance(steps, yaml.SequenceNode) or not steps.value:
        raise nodes.Fault(line, f'job "{name}" has no steps')
    ids: dict[str, int] = {}
    for number, step in enumerate(steps.value, 1):
        at = nodes.line(step)
        run, uses = nodes.get(step, "run"), nodes.get(step, "uses")
        if not isinstance(step, yaml.MappingNode) or (run is None and uses is None):
            raise nodes.Fault(at, f'step {number} of job "{name}" has neither `run` nor `uses`')
        if run is not None and uses is not None:
            raise nodes.Fault(at, f'step {number} of job "{name}" has both `run` and `uses`')
        if uses is not None and not nodes.scalar(uses):
            raise nodes.Fault(at, f'step {number} of job "{name}": `uses` is empty')
        own = nodes.scalar(nodes.get(step, "id"))
        if own is not None:
            if own in ids:
                raise nodes.Fault(at, f'step {number} of job "{name}" has the id "{own}" of the step on line {ids[own]}')
            ids[own] = at


def _timeout(name: str, body: yaml.MappingNode, context: Context) -> timedelta:
    node = nodes.get(body, "timeout-minutes")
    text = nodes.scalar(node)
    if node is None or text is None:
        return timedelta(minutes=DEFAULT_MINUTES)
    value: object = nodes.plain(node)
    if expression.has(text):
        try:
            value = expression.evaluate(text, context.known)
        except expression.Unknown as error:
            context.warnings.append(f'{context.path}:{nodes.line(node)}: the timeout of job "{name}" is taken as {DEFAULT_MINUTES:g} min: {error}')
            value = DEFAULT_MINUTES
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value <= 60 * 24 * 35:
        raise nodes.Fault(nodes.line(node), f'job "{name}": timeout-minutes is "{text}", which is not a number of minutes')
    return timedelta(minutes=value)


def _refusal(name: str, body: yaml.MappingNode, context: Context) -> str:
    """Why act's host mode must not run this job, or an empty text."""
    for key in ("services", "container"):
        node = next((key_node for one, key_node, value in nodes.entries(body) if one == key and nodes.plain(value) not in (None, "", {})), None)
        if node is not None:
            return f'{context.path}:{nodes.line(node)}: job "{name}" uses `{key}:`, which needs containers; this machine has none'
    steps = nodes.get(body, "steps")
    for step in steps.value if isinstance(steps, yaml.SequenceNode) else ():
        node = nodes.get(step, "uses")
        uses = nodes.scalar(node)
        if node is None or not uses or uses.startswith("./"):
            continue
        where = f"{context.path}:{nodes.line(node)}: job"
        if uses.startswith("docker://"):
            return f'{where} "{name}" uses `{uses}`, which needs containers; this machine has none'
        if not context.available(uses):
            return f'{where} "{name}" uses the action `{uses}`, which is neither bundled nor stored on this machine'
    return ""


def _not_elsewhere(plan: JobPlan, line: int, context: Context) -> JobPlan:
    foreign = next((label for label in plan.labels if _FOREIGN.match(label)), None)
    if foreign is None or plan.refusal:
        return plan
    return replace(plan, refusal=f'{context.path}:{line}: job "{plan.name}" runs on "{foreign}"; this machine is Linux')


def _job_group(body: yaml.MappingNode, context: Context) -> tuple[str, bool]:
    """The group as the file has it, because it may speak of the matrix, and whether it cancels."""
    node = nodes.get(body, "concurrency")
    group = nodes.get(node, "group") if isinstance(node, yaml.MappingNode) else node
    cancel = nodes.get(node, "cancel-in-progress") if isinstance(node, yaml.MappingNode) else None
    return nodes.scalar(group) or "", _flag(cancel, context.known, otherwise=False)


def concurrency(node: yaml.Node | None, known: Mapping[str, Any], warnings: list[str], *, where: str) -> tuple[str, bool]:
    """The group of a workflow and whether a new run cancels the one in progress. An unknown group stays as it is written, so that it still holds."""
    group = nodes.scalar(nodes.get(node, "group") if isinstance(node, yaml.MappingNode) else node) or ""
    cancel = nodes.get(node, "cancel-in-progress") if isinstance(node, yaml.MappingNode) else None
    try:
        text = expression.string(expression.evaluate(group, known))
    except expression.Unknown as error:
        warnings.append(f"{where}:{_line(node, 0)}: the concurrency group is taken as it is written: {error}")
        text = group
    return text, _flag(cancel, known, otherwise=False)


def _flag(node: yaml.Node | None, known: Mapping[str, Any], *, otherwise: bool) -> bool:
    value = nodes.plain(node)
    if isinstance(value, str):
        try:
            return expression.truthy(expression.evaluate(value, known))
        except expression.Unknown:
            return otherwise
    return value if isinstance(value, bool) else otherwise


def _expanded(plan: JobPlan, body: yaml.MappingNode, raw: Mapping[str, Any], context: Context) -> tuple[JobPlan, ...]:
    strategy = nodes.get(body, "strategy")
    matrix = nodes.get(strategy, "matrix")
    most = nodes.plain(nodes.get(strategy, "max-parallel"))
    if isinstance(most, str):
        most = _value(most, context)
    plan = replace(
        plan,
        fail_fast=_flag(nodes.get(strategy, "fail-fast"), context.known, otherwise=True),
        max_parallel=int(most) if isinstance(most, (int, float)) and not isinstance(most, bool) and most >= 1 else None,
    )
    if matrix is None:
        return (leg_plan(plan, {}, raw, context.known),)
    given = nodes.plain(matrix)
    try:
        return tuple(leg_plan(plan, leg, raw, context.known) for leg in legs(expression.deep(given, context.known)))
    except MatrixError as error:
        raise nodes.Fault(nodes.line(matrix), f'job "{plan.key}": {error}') from None
    except expression.Unknown as error:
        where = f"{context.path}:{nodes.line(matrix)}"
        if plan.needs and "needs." in json.dumps(given):
            dynamic = {**raw, "matrix": given, "github": context.known["github"], "where": where}
            return (replace(plan, dynamic=json.dumps(dynamic)),)
        refusal = f'{where}: the matrix of job "{plan.key}" cannot be made: {error}'
        return (replace(plan, refusal=plan.refusal or refusal),)


def _value(text: str, context: Context) -> object:
    try:
        return expression.evaluate(text, context.known)
    except expression.Unknown:
        return None
