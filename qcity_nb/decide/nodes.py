"""A YAML document as nodes that know their lines, read as GitHub reads it: YAML 1.2 scalars, so that `on` stays a word.

Refuses tabs, duplicate keys and broken documents with the line they are on.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import yaml

MAX_SIZE = 1 << 20
_INT = re.compile(r"[-+]?[0-9]+$|0o[0-7]+$|0x[0-9a-fA-F]+$")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?$")
_TABS = re.compile(r"^ *\t", re.MULTILINE)


class Fault(ValueError):
    """Something in a file is wrong: `what` says what, `line` where (0 when it is about the whole file)."""

    def __init__(self, line: int, what: str) -> None:
        super().__init__(what)
        self.line, self.what = line, what


def parse(text: str) -> yaml.MappingNode:
    """The document's top mapping. Raises `Fault`."""
    if len(text) > MAX_SIZE:
        raise Fault(0, f"is {len(text) / 1e6:.1f} MB long; a workflow may have {MAX_SIZE >> 20} MB")
    text = text.lstrip("\ufeff")
    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        found = _TABS.search(text)
        if found and ("\\t" in str(error.problem) or "tab" in str(error)):
            raise Fault(text.count("\n", 0, found.start()) + 1, "a tab indents this line; YAML allows spaces only") from None
        raise Fault(mark.line + 1 if mark else 0, f"not valid YAML: {error.problem or error.context}") from None
    except yaml.YAMLError as error:
        raise Fault(_line_of(text, error), f"not valid YAML: {str(error).splitlines()[0]}") from None
    except RecursionError:
        raise Fault(0, "is nested too deeply") from None
    if root is None:
        raise Fault(0, "is empty")
    if not isinstance(root, yaml.MappingNode):
        raise Fault(line(root), "the top level has to be a mapping of keys")
    _no_duplicates(root, set())
    return root


def _line_of(text: str, error: yaml.YAMLError) -> int:
    position = getattr(error, "position", None)
    return text.count("\n", 0, position) + 1 if isinstance(position, int) else 0


def _no_duplicates(root: yaml.Node, seen: set[int]) -> None:
    queue = [root]
    while queue:
        node = queue.pop()
        if id(node) in seen:
            continue
        seen.add(id(node))
        if isinstance(node, yaml.MappingNode):
            first: dict[str, int] = {}
            for key, value in node.value:
                if isinstance(key, yaml.ScalarNode) and key.value != "<<":
                    if key.value in first:
                        raise Fault(line(key), f"`{key.value}` is already given on line {first[key.value]}")
                    first[key.value] = line(key)
                queue.append(value)
        elif isinstance(node, yaml.SequenceNode):
            queue.extend(node.value)


def line(node: yaml.Node) -> int:
    """The line the node starts on, counted from 1."""
    return int(node.start_mark.line) + 1 if node.start_mark else 0


def entries(node: yaml.Node | None) -> Iterator[tuple[str, yaml.Node, yaml.Node]]:
    """The entries of a mapping as (key, key's node, value's node); merge keys are followed; nothing for any other node."""
    if not isinstance(node, yaml.MappingNode):
        return
    own = {key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode)}
    for key, value in node.value:
        if not isinstance(key, yaml.ScalarNode):
            continue
        if key.value == "<<":
            for merged in value.value if isinstance(value, yaml.SequenceNode) else [value]:
                yield from ((name, k, v) for name, k, v in entries(merged) if name not in own)
        else:
            yield key.value, key, value


def get(node: yaml.Node | None, name: str) -> yaml.Node | None:
    """The value under `name` of a mapping, or None."""
    return next((value for key, _, value in entries(node) if key == name), None)


def scalar(node: yaml.Node | None) -> str | None:
    """The raw text of a scalar that is not null, else None."""
    if not isinstance(node, yaml.ScalarNode) or plain(node) is None:
        return None
    return str(node.value)


def strings(node: yaml.Node | None) -> list[str]:
    """The texts of a scalar or of a list of scalars."""
    if isinstance(node, yaml.SequenceNode):
        return [text for one in node.value if (text := scalar(one)) is not None]
    text = scalar(node)
    return [] if text is None else [text]


def plain(node: yaml.Node | None) -> object:
    """The node as plain data: dict, list, str, bool, int, float or None."""
    if isinstance(node, yaml.MappingNode):
        return {name: plain(value) for name, _, value in entries(node)}
    if isinstance(node, yaml.SequenceNode):
        return [plain(one) for one in node.value]
    if not isinstance(node, yaml.ScalarNode):
        return None
    text = str(node.value)
    return _typed(text) if node.style is None else text


def _typed(text: str) -> object:
    if text in ("", "~", "null", "Null", "NULL"):
        return None
    if text.lower() in ("true", "false") and text in ("true", "True", "TRUE", "false", "False", "FALSE"):
        return text.lower() == "true"
    if _INT.match(text):
        return int(text, 0) if text[:2] in ("0o", "0x") else int(text)
    if _FLOAT.match(text):
        return float(text)
    return text
