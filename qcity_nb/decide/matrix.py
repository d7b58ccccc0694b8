"""Expanding a matrix into its legs by GitHub's rules for `include` and `exclude`, now or once the outputs it is made of are there.

Source: https://docs.github.com/actions/how-tos/write-workflows/choose-what-workflows-do/run-job-variations
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from ..model.work import JobPlan
from . import expression

MOST = 256


class MatrixError(ValueError):
    """The matrix cannot be expanded; the text says why."""


def legs(matrix: object) -> list[dict[str, Any]]:
    """The legs of a matrix without expressions, in GitHub's order. Raises `MatrixError`."""
    if not isinstance(matrix, Mapping):
        raise MatrixError("the matrix is not a mapping of names to lists")
    axes = {str(name): values for name, values in matrix.items() if name not in ("include", "exclude")}
    for name, values in axes.items():
        if not isinstance(values, list) or not values:
            raise MatrixError(f'"{name}" of the matrix has to be a list that is not empty')
    included, excluded = _entries(matrix, "include"), _entries(matrix, "exclude")
    product = [dict(zip(axes, values, strict=True)) for values in itertools.product(*axes.values())] if axes else []
    kept = [leg for leg in product if not any(_covers(one, leg) for one in excluded)]
    merged = [dict(leg) for leg in kept]
    added: list[dict[str, Any]] = []
    for one in included:
        fits = [number for number, leg in enumerate(kept) if all(same(one[name], leg[name]) for name in one if name in leg)]
        for number in fits:
            merged[number].update(one)
        if not fits:
            added.append(dict(one))
    found = merged + added
    if not found:
        raise MatrixError("the matrix has no legs")
    if len(found) > MOST:
        raise MatrixError(f"the matrix has {len(found)} legs; {MOST} are allowed")
    return found


def _entries(matrix: Mapping[Any, Any], name: str) -> list[dict[str, Any]]:
    given = matrix.get(name)
    if given is None:
        return []
    if not isinstance(given, list) or not all(isinstance(one, Mapping) for one in given):
        raise MatrixError(f"`{name}` of the matrix has to be a list of mappings")
    return [dict(one) for one in given]


def _covers(excluded: Mapping[str, Any], leg: Mapping[str, Any]) -> bool:
    """Whether an exclude entry takes a leg out: every key it has is in the leg, with that value."""
    return all(name in leg and same(value, leg[name]) for name, value in excluded.items())


def same(one: Any, other: Any) -> bool:
    """Whether two values are the same, kinds included: `1` is not `true`, `"1"` is not `1`."""
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    if isinstance(one, (int, float)) and isinstance(other, (int, float)):
        return one == other
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        return one.keys() == other.keys() and all(same(one[name], other[name]) for name in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(same, one, other))
    return type(one) is type(other) and bool(one == other)


def suffix(leg: Mapping[str, Any]) -> str:
    """What GitHub adds to a job's name for a leg: ` (3.12, linux)`."""
    texts: list[str] = []
    queue = list(leg.values())
    while queue:
        value = queue.pop(0)
        if isinstance(value, Mapping):
            queue = [*value.values(), *queue]
        elif isinstance(value, list):
            queue = [*value, *queue]
        elif text := expression.string(value):
            texts.append(text)
    shown = ", ".join(texts)
    return f" ({shown[:100]})" if shown else ""


def leg_plan(plan: JobPlan, leg: Mapping[str, Any], raw: Mapping[str, Any], contexts: Mapping[str, Any]) -> JobPlan:
    """One leg's plan.

    Args:
        raw: the job's `name`, `runs_on`, `group` and `allow` (its `continue-on-error`) as the file has them.
        contexts: what expressions may speak of, without `matrix`.
    """
    known = {**contexts, "matrix": dict(leg), "strategy": {}}
    return replace(
        plan,
        leg=dict(leg),
        dynamic="",
        name=_name(plan, leg, raw.get("name"), known),
        labels=tuple(_or_raw(label, known) for label in raw.get("runs_on", plan.labels)) or plan.labels,
        group=_or_raw(raw.get("group") or "", known),
        allow_failure=_allowed(raw.get("allow"), known),
    )


def _allowed(given: object, known: Mapping[str, Any]) -> bool:
    """Whether a job may fail: `continue-on-error`, which may speak of the matrix. What cannot be told forgives nothing."""
    if not isinstance(given, str):
        return given is True
    try:
        return expression.truthy(expression.evaluate(given, known))
    except expression.Unknown:
        return False


def _name(plan: JobPlan, leg: Mapping[str, Any], raw: str | None, known: Mapping[str, Any]) -> str:
    if raw is None:
        return plan.key + suffix(leg)
    text = _or_raw(raw, known)
    return text if expression.has(raw) else text + suffix(leg)


def _or_raw(text: str, known: Mapping[str, Any]) -> str:
    try:
        return expression.string(expression.evaluate(text, known))
    except expression.Unknown:
        return text


def expand(plan: JobPlan, needs_outputs: Mapping[str, Mapping[str, str]]) -> tuple[JobPlan, ...]:
    """The legs of a job whose matrix was left open, now that its needs have ended; one refused plan when it cannot be made.

    Args:
        needs_outputs: for each need its outputs.
    """
    raw = json.loads(plan.dynamic)
    contexts = {"github": raw["github"], "needs": {name: {"outputs": dict(values), "result": "success"} for name, values in needs_outputs.items()}}
    try:
        found = legs(expression.deep(raw["matrix"], contexts))
    except (expression.Unknown, MatrixError) as error:
        return (replace(plan, dynamic="", refusal=f'{raw["where"]}: the matrix of job "{plan.key}" cannot be made: {error}'),)
    return tuple(leg_plan(plan, leg, raw, contexts) for leg in found)
