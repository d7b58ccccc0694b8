"""What can be known of a notebook from its text: before it runs, and of what it showed."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ..errors import BadInput
from .redact import redact
from .wording import did_you_mean, line

MOST = 40
LATE = {"plotly": ("plotly.graph_objs._figure", "plotly.graph_objs._layout", "plotly.io._json", "plotly.io._templates", "nbformat")}
"""What a library imports only when it is first used: a first figure costs tenths of a second, and two where jupyterlab brought its grammars."""
_SECRET = re.compile(r"(?i)(?:^|_)(?:token|secret|password|passwd|passphrase|(?:api|access|private)_?key|credentials?)$")


def imports(cells: Iterable[str]) -> list[str]:
    """The modules that a notebook's cells import at their top level: dotted names whole, each once, in order; what is no Python has none.

    Args:
        cells: the sources of its code cells; lines of magics and shell commands are left out.
    """
    found: dict[str, None] = {}
    for cell in cells:
        lines = ["" if line.lstrip().startswith(("%", "!", "?")) else line for line in cell.splitlines()]
        try:
            tree = ast.parse("\n".join(lines))
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            continue
        for node in tree.body:
            if isinstance(node, ast.Import):
                found |= dict.fromkeys(alias.name for alias in node.names)
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                found[node.module] = None
    return list(found)[:MOST]


def needs(cells: Iterable[str]) -> list[str]:
    """What a notebook will have imported once it has done its work: what its cells import, and what that imports when it is first used."""
    found = imports(cells)
    return [*found, *(late for name in dict.fromkeys(one.partition(".")[0] for one in found) for late in LATE.get(name, ()))]


FORMAT = 4
_HEADING = re.compile(r"^#+\s+(.+?)\s*#*\s*$", re.MULTILINE)
_BAR = re.compile(r"(\d{1,3})%\|")
_CHANGING = (
    (re.compile(r"0x[0-9a-fA-F]{6,}"), "0xADDRESS"),
    (re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d)?(\.\d+)?(Z|[+-]\d\d:?\d\d)?"), "TIME"),
    (re.compile(r"\d\d:\d\d:\d\d(\.\d+)?"), "TIME"),
    (re.compile(r"\b\d+(\.\d+)? ?(s|ms|µs|us|ns|seconds|minutes)\b"), "SPAN"),
    (re.compile(r"(?<=/)tmp/[^\s'\"<>]+|ipykernel_\d+"), "PATH"),
)


def read(text: str, name: str) -> dict[str, Any]:
    """A notebook's content.

    Args:
        name: what to call it.

    Raises:
        BadInput: it is none, or too old.
    """
    try:
        found = json.loads(text)
    except ValueError:
        raise BadInput(f"{name} is not a notebook: it is no JSON", "A notebook's name ends in .ipynb; jupyter lab opens and mends it") from None
    version = found.get("nbformat") if isinstance(found, dict) else None
    if not isinstance(version, int) or (version == FORMAT and not isinstance(found.get("cells"), list)):
        raise BadInput(f"{name} is not a notebook: it has no cells", "jupyter lab makes one")
    if version < FORMAT:
        raise BadInput(f"{name} is in the old format {version}", f"jupyter nbconvert --to notebook --inplace {name} brings it to format {FORMAT}")
    if version > FORMAT:
        raise BadInput(f"{name} is in format {version}, and this can read {FORMAT}", "pip install --upgrade qcity-nb")
    return dict(found)


def is_secret(name: str) -> bool:
    """Whether a variable or a parameter of this name is likely to hold a secret."""
    return bool(_SECRET.search(name))


def source(cell: Mapping[str, Any]) -> str:
    """A cell's text; in a file it may be a list of lines."""
    text = cell.get("source", "")
    return "".join(text) if isinstance(text, list) else str(text)


def tagged(nb: Mapping[str, Any], tag: str) -> int | None:
    """The number of the first cell with a tag, from 0."""
    for number, cell in enumerate(nb["cells"]):
        if tag in (cell.get("metadata") or {}).get("tags", ()):
            return number
    return None


def defaults(nb: Mapping[str, Any]) -> dict[str, object] | None:
    """What the cell tagged `parameters` sets, by name; `...` for what is no plain value. None when there is no such cell."""
    number = tagged(nb, "parameters")
    if number is None:
        return None
    found: dict[str, object] = {}
    try:
        tree = ast.parse(source(nb["cells"][number]))
    except (SyntaxError, ValueError):
        return found
    for node in tree.body:
        if isinstance(node, ast.Assign):
            targets, value = node.targets, node.value
        elif isinstance(node, ast.AnnAssign):
            targets, value = [node.target], node.value or ast.Constant(...)
        else:
            continue
        for target in targets:
            if isinstance(target, ast.Name):
                found[target.id] = _literal(value)
    return found


def is_python(nb: Mapping[str, Any]) -> bool:
    """Whether its cells are Python, as far as it says."""
    told = nb.get("metadata") or {}
    language = (told.get("kernelspec") or {}).get("language") or (told.get("language_info") or {}).get("name") or "python"
    return str(language).lower() == "python"


def check_parameters(nb: Mapping[str, Any], given: Mapping[str, object], name: str) -> None:
    """Hold parameters against what the notebook has.

    Raises:
        BadInput: one that it does not know, one of another type, or a secret.
    """
    for key, value in given.items():
        if _is_secret(key, value):
            todo = f'Name it: secrets=["{key.upper()}"]; the notebook reads os.environ["{key.upper()}"]'
            raise BadInput(f"{name}: the parameter {key} looks like a secret, and parameters are written into the notebook", todo)
    known = defaults(nb)
    if not given or (known is not None and not is_python(nb)):
        return
    if known is None:
        todo = "Tag the cell that sets its defaults: in JupyterLab the property inspector (the two cogs), Add tag, parameters"
        raise BadInput(f"{name} has no cell tagged parameters, so {_listed(given)} would change nothing", todo)
    for key, value in given.items():
        if key not in known:
            raise BadInput(f'{name} has no parameter "{key}"', did_you_mean(key, sorted(known), what="parameter"))
        if not _fits(known[key], value):
            what = f"{key} is {_typed(value)}, and {name} has {_typed(known[key])} there"
            raise BadInput(what, f"Give it as {_kind(known[key])}, as its default {known[key]!r} is")


def typed(nb: Mapping[str, Any], texts: Mapping[str, str]) -> dict[str, object]:
    """Parameters from a command line, read as what the notebook's defaults are."""
    known = defaults(nb) or {}
    return {key: text if isinstance(known.get(key), str) else _literal_text(text) for key, text in texts.items()}


def titles(cells: Sequence[Mapping[str, Any]]) -> list[str]:
    """What each cell is about: the heading above it, or its own first comment, or its first line."""
    found, heading = [], ""
    for cell in cells:
        text = source(cell)
        if cell.get("cell_type") == "markdown":
            match = _HEADING.search(text)
            heading = match.group(1) if match else heading
            found.append(heading)
            continue
        first = next((one.strip() for one in text.splitlines() if one.strip()), "")
        own = first.lstrip("#% ") if first.startswith("#") else ""
        found.append(line(own or heading or first, limit=60))
        heading = ""
    return found


def share(tail: str) -> float | None:
    """How far the last progress bar in a text is, from 0 to 1; None when there is none."""
    found = _BAR.findall(tail)
    return min(int(found[-1]), 100) / 100 if found else None


def first_changed(old: Sequence[Mapping[str, Any]], new: Sequence[Mapping[str, Any]], upto: int) -> int | None:
    """The number of the first cell before `upto` whose text is not what it was; None when all are the same. Injected parameters do not count."""
    for number in range(upto):
        if number >= len(old) or number >= len(new):
            return number
        injected = all("injected-parameters" in (cells[number].get("metadata") or {}).get("tags", ()) for cells in (old, new))
        if source(old[number]) != source(new[number]) and not injected:
            return number
    return None


def differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[int]:
    """The numbers, from 1, of the cells that show something else than they did. Times, addresses and temporary paths do not count."""
    pairs = zip(old["cells"], new["cells"], strict=False)
    found = [number for number, (one, other) in enumerate(pairs, 1) if _shown(one) != _shown(other)]
    return found + list(range(min(len(old["cells"]), len(new["cells"])) + 1, max(len(old["cells"]), len(new["cells"])) + 1))


def _shown(cell: Mapping[str, Any]) -> list[str]:
    shown = []
    for out in cell.get("outputs", ()):
        data = out.get("data") or {}
        text = out.get("text") or data.get("text/plain") or f"{out.get('ename', '')}: {out.get('evalue', '')}"
        plain = "".join(text) if isinstance(text, list) else str(text)
        for pattern, word in _CHANGING:
            plain = pattern.sub(word, plain)
        shown.append(plain)
    return shown


def _literal(node: ast.AST) -> object:
    try:
        return ast.literal_eval(node)
    except (ValueError, TypeError, SyntaxError, RecursionError):
        return ...


def _literal_text(text: str) -> object:
    plain = {"true": True, "false": False, "none": None, "null": None}
    if text.lower() in plain:
        return plain[text.lower()]
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError, RecursionError, MemoryError):
        return text


def _fits(default: object, value: object) -> bool:
    if default is ... or default is None or value is None:
        return True
    if isinstance(default, bool) or isinstance(value, bool):
        return isinstance(default, bool) and isinstance(value, bool)
    if isinstance(default, float):
        return isinstance(value, (int, float))
    if isinstance(default, (list, tuple, set)):
        return isinstance(value, (list, tuple, set))
    return isinstance(value, type(default))


def _kind(value: object) -> str:
    words = {"str": "a text", "int": "a whole number", "float": "a number", "bool": "true or false", "list": "a list", "dict": "a mapping"}
    name = type(value).__name__
    return words.get("list" if name in ("tuple", "set") else name, f"a {name}")


def _typed(value: object) -> str:
    return f"{_kind(value)} ({value!r})" if len(repr(value)) < MOST else _kind(value)


def _listed(given: Mapping[str, object]) -> str:
    return ", ".join(sorted(given))


def _is_secret(key: str, value: object) -> bool:
    return isinstance(value, str) and len(value) > 3 and (is_secret(key) or redact(value) != value)
