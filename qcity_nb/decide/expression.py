"""A small evaluator for `${{ }}` expressions that can be known before a job runs: literals, contexts, comparisons, a few functions.

What it cannot know raises `Unknown`; it never guesses.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

_TOKEN = re.compile(
    r"\s*(?:(?P<text>'(?:[^']|'')*')|(?P<number>[-+]?(?:0x[0-9a-fA-F]+|\d+(?:\.\d+)?(?:[eE][-+]?\d+)?))"
    r"|(?P<name>[A-Za-z_][\w-]*)|(?P<sign>\|\||&&|==|!=|<=|>=|[!<>()\[\].,*]))"
)
_PLACE = re.compile(r"\{\{|\}\}|\{(\d+)\}")  # of format(): doubled braces stand for themselves
_EXPRESSION = re.compile(r"\$\{\{((?:'(?:[^']|'')*'|[^'}]|\}(?!\}))*)\}\}")


class Unknown(ValueError):
    """The expression cannot be evaluated here; the text says why."""


def has(text: str) -> bool:
    """Whether the text contains an expression."""
    return "${{" in text


def evaluate(text: str, contexts: Mapping[str, Any]) -> Any:
    """The value of a text: of the one expression that it is, or the text with its expressions filled in.

    Raises:
        Unknown: something in it is not known here.
    """
    whole = _EXPRESSION.fullmatch(text.strip())
    if whole:
        return _Parser(whole[1], contexts).value()
    if not has(text):
        return text
    filled = _EXPRESSION.sub(lambda match: string(_Parser(match[1], contexts).value()), text)
    if has(_EXPRESSION.sub("", text)):
        raise Unknown(f"`{text}` has an unfinished expression")
    return filled


def deep(value: Any, contexts: Mapping[str, Any]) -> Any:
    """The same data with every expression in it evaluated."""
    if isinstance(value, str):
        return evaluate(value, contexts)
    if isinstance(value, Mapping):
        return {name: deep(one, contexts) for name, one in value.items()}
    if isinstance(value, list):
        return [deep(one, contexts) for one in value]
    return value


def string(value: Any) -> str:
    """A value as GitHub prints it inside of a text."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() and abs(value) < 1e15 else f"{value:.15g}"
    if isinstance(value, Mapping):
        return "Object"
    return "Array" if isinstance(value, (list, tuple)) else str(value)


def truthy(value: Any) -> bool:
    """Whether a value counts as true: everything but false, 0, the empty text, null and NaN."""
    return not (value is None or value is False or value == "" or (isinstance(value, (int, float)) and (value == 0 or math.isnan(value))))


def _number(value: Any) -> float:
    if value is None or value is False:
        return 0.0
    if value is True:
        return 1.0
    if isinstance(value, (int, float)):
        return float(value)
    if isinstance(value, str):
        text = value.strip()
        try:
            return float(int(text, 16)) if text.startswith("0x") else float(text or 0)
        except ValueError:
            return math.nan
    return math.nan


def _same(left: Any, right: Any) -> bool:
    if isinstance(left, str) and isinstance(right, str):
        return left.casefold() == right.casefold()
    if isinstance(left, (Mapping, list)) or isinstance(right, (Mapping, list)):
        return left is right
    if left is None and right is None:
        return True
    return _number(left) == _number(right)


class _Parser:
    """Recursive descent over one expression; it evaluates as it goes."""

    def __init__(self, text: str, contexts: Mapping[str, Any]) -> None:
        self.text, self.contexts = text.strip(), contexts
        self.tokens: list[tuple[str, str]] = []
        at = 0
        while at < len(self.text):
            match = _TOKEN.match(self.text, at)
            if not match or match.lastgroup is None:
                if not self.text[at:].strip():
                    break
                raise Unknown(f"`{self.text}` is not an expression this runner can read")
            self.tokens.append((match.lastgroup, match[match.lastgroup]))
            at = match.end()
        self.at = 0

    def value(self) -> Any:
        found = self._either()
        if self.at != len(self.tokens):
            raise Unknown(f"`{self.text}` is not an expression this runner can read")
        return found

    def _sign(self, *signs: str) -> str:
        if self.at < len(self.tokens) and self.tokens[self.at][0] == "sign" and self.tokens[self.at][1] in signs:
            self.at += 1
            return self.tokens[self.at - 1][1]
        return ""

    def _need(self, sign: str) -> None:
        if not self._sign(sign):
            raise Unknown(f"`{self.text}` misses a `{sign}`")

    def _either(self) -> Any:
        left = self._both()
        while self._sign("||"):
            right = self._both()
            left = left if truthy(left) else right
        return left

    def _both(self) -> Any:
        left = self._compare()
        while self._sign("&&"):
            right = self._compare()
            left = right if truthy(left) else left
        return left

    def _compare(self) -> Any:
        left = self._unary()
        while sign := self._sign("==", "!=", "<", "<=", ">", ">="):
            right = self._unary()
            if sign in ("==", "!="):
                left = _same(left, right) == (sign == "==")
            else:
                a, b = _number(left), _number(right)
                left = {"<": a < b, "<=": a <= b, ">": a > b, ">=": a >= b}[sign]
        return left

    def _unary(self) -> Any:
        if self._sign("!"):
            return not truthy(self._unary())
        if self._sign("("):
            found = self._either()
            self._need(")")
            return self._access(found)
        if self.at >= len(self.tokens):
            raise Unknown(f"`{self.text}` ends too early")
        kind, text = self.tokens[self.at]
        self.at += 1
        if kind == "text":
            return text[1:-1].replace("''", "'")
        if kind == "number":
            return int(text, 16) if "x" in text else float(text) if re.search(r"[.eE]", text) else int(text)
        if kind != "name":
            raise Unknown(f"`{self.text}` is not an expression this runner can read")
        return self._named(text)

    def _named(self, name: str) -> Any:
        if self._sign("("):
            arguments: list[Any] = []
            while not self._sign(")"):
                arguments.append(self._either())
                if not self._sign(","):
                    self._need(")")
                    break
            return self._access(_call(name, arguments))
        words = {"true": True, "false": False, "null": None}
        if name in words:
            return words[name]
        if name not in self.contexts:
            raise Unknown(f"`{name}` is not known before the job runs")
        return self._access(self.contexts[name], name)

    def _access(self, value: Any, path: str = "") -> Any:
        while True:
            if self._sign("."):
                if self._sign("*") or self.at >= len(self.tokens) or self.tokens[self.at][0] != "name":
                    raise Unknown(f"`{self.text}` is not an expression this runner can read")
                key: Any = self.tokens[self.at][1]
                self.at += 1
            elif self._sign("["):
                key = self._either()
                self._need("]")
            else:
                return value
            path = f"{path}.{key}"
            value = _member(value, key, path)


def _member(value: Any, key: Any, path: str) -> Any:
    if isinstance(value, Mapping):
        if key not in value and path in ("github.token", "github.workspace", "github.run_number", "github.job", "github.action"):
            raise Unknown(f"`{path}` is not known before the job runs")
        return value.get(key)
    if isinstance(value, list) and isinstance(key, (int, float)) and 0 <= key < len(value):
        return value[int(key)]
    return None


def _call(name: str, arguments: Sequence[Any]) -> Any:
    lowered = name.lower()
    try:
        if lowered == "fromjson":
            return json.loads(string(arguments[0]))
        if lowered == "tojson":
            return json.dumps(arguments[0], indent=2)
        if lowered == "format":
            return _PLACE.sub(lambda match: string(arguments[int(match[1]) + 1]) if match[1] else match[0][0], string(arguments[0]))
        if lowered == "startswith":
            return string(arguments[0]).casefold().startswith(string(arguments[1]).casefold())
        if lowered == "endswith":
            return string(arguments[0]).casefold().endswith(string(arguments[1]).casefold())
        if lowered == "contains":
            inside, wanted = arguments[0], arguments[1]
            return any(_same(one, wanted) for one in inside) if isinstance(inside, list) else string(wanted).casefold() in string(inside).casefold()
        if lowered == "join":
            values = arguments[0] if isinstance(arguments[0], list) else [arguments[0]]
            return (string(arguments[1]) if len(arguments) > 1 else ",").join(map(string, values))
    except json.JSONDecodeError:
        raise Unknown(f"{name}() was given a text that is not JSON: {string(arguments[0])[:60]!r}") from None
    except IndexError:
        raise Unknown(f"{name}() was given too few values") from None
    raise Unknown(f"{name}() is not known before the job runs")
