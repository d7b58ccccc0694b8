"""Whether a workflow answers to a push: `on:` in all its forms, with its filters for branches, tags and paths."""

from __future__ import annotations

import re
from collections.abc import Sequence

import yaml

from . import globs, nodes

_PAIRS = (("branches", "branches-ignore"), ("tags", "tags-ignore"), ("paths", "paths-ignore"))
_SKIP = re.compile(r"\[(?:skip ci|ci skip|no ci|skip actions|actions skip)\]")
_TRAILER = re.compile(r"^skip-checks: ?true\s*$", re.MULTILINE)


def skipped(message: str) -> bool:
    """Whether a commit message asks for no workflow at all.

    Source: https://docs.github.com/actions/how-tos/manage-workflow-runs/skip-workflow-runs
    """
    return bool(_SKIP.search(message) or _TRAILER.search(message.strip().rpartition("\n\n")[2]))


def answers(root: yaml.MappingNode, *, ref: str, changed: Sequence[str] | None) -> bool:
    """Whether the workflow wants a push of `ref` that changed these paths (None: unknown, so every path filter holds).

    Raises:
        Fault: the trigger is missing or wrong.
    """
    on = nodes.get(root, "on")
    if on is None:
        raise nodes.Fault(1, "has no `on:`, so nothing starts it")
    if not isinstance(on, yaml.MappingNode):
        return "push" in nodes.strings(on)
    if "push" not in [name for name, _, _ in nodes.entries(on)]:
        return False
    push = nodes.get(on, "push")
    if not isinstance(push, yaml.MappingNode):
        return True
    filters = _filters(push)
    return _ref(filters, ref) and (not ref.startswith("refs/heads/") or _paths(filters, changed))


def _filters(push: yaml.MappingNode) -> dict[str, list[str]]:
    found = {name: nodes.strings(value) for name, _, value in nodes.entries(push)}
    for name, key, value in nodes.entries(push):
        if name not in [one for pair in _PAIRS for one in pair]:
            raise nodes.Fault(nodes.line(key), f"`push` has no filter `{name}`")
        for pattern in found[name]:
            try:
                globs.compiled(pattern.removeprefix("!"))
            except re.error:
                raise nodes.Fault(nodes.line(value), f'"{pattern}" is not a valid pattern') from None
    for one, other in _PAIRS:
        if one in found and other in found:
            raise nodes.Fault(nodes.line(push), f"`{one}` and `{other}` cannot stand together; use `!` in `{one}`")
    return found


def _ref(filters: dict[str, list[str]], ref: str) -> bool:
    tag = ref.startswith("refs/tags/")
    name = ref.removeprefix("refs/tags/" if tag else "refs/heads/")
    mine, other = ("tags", "branches") if tag else ("branches", "tags")
    if mine in filters:
        return globs.selects(filters[mine], name)
    if f"{mine}-ignore" in filters:
        return not globs.selects(filters[f"{mine}-ignore"], name)
    return not (other in filters or f"{other}-ignore" in filters)


def _paths(filters: dict[str, list[str]], changed: Sequence[str] | None) -> bool:
    if changed is None:
        return True
    if "paths" in filters:
        return any(globs.selects(filters["paths"], path) for path in changed)
    if "paths-ignore" in filters and changed:
        return not all(globs.selects(filters["paths-ignore"], path) for path in changed)
    return True
