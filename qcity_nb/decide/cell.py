"""A cell of somebody's notebook as a notebook of its own: checked before anything is written, the same text for the same cell."""

from __future__ import annotations

import ast
import hashlib
import itertools
import keyword
import re
from collections.abc import Mapping
from typing import Any

from ..errors import BadInput
from .wording import line

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._ -]{0,79}")
_CUT = re.compile(r"^# ?%%(?!%)", re.MULTILINE)
_BARE = re.compile(r"# ?%%[ \t]*(?:\n|$)")
FOLDER = "# where it was written\n"


def name_of(given: str, code: str) -> str:
    """What a cell's job is called: as asked for, else by its text, so that the same cell is the same job.

    Raises:
        BadInput: it cannot be the name of a file.
    """
    if not given:
        return f"cell-{hashlib.sha256(code.encode()).hexdigest()[:8]}"
    if not NAME.fullmatch(given) or given != given.strip():
        raise BadInput(f'a job cannot be called "{line(given, limit=60)}"', "Letters, digits, dots, dashes and blanks, at most 80, as nightly-report")
    return given


def parts(code: str) -> list[tuple[int, str]]:
    """The cells that a cell is cut into, each with the number of lines above it. Raises `BadInput` when there is nothing to run."""
    starts = [0, *(match.start() for match in _CUT.finditer(code)), len(code)]
    found = []
    for begin, end in itertools.pairwise(starts):
        text, above = code[begin:end], code[:begin].count("\n")
        if _BARE.match(text):  # a mark without a title is none
            text, above = text.partition("\n")[2], above + 1
        if text.strip():
            found.append((above + len(text) - len(text.lstrip("\n")), text.strip("\n")))
    if not any(line for _, text in found for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")):
        raise BadInput("the cell has no code below its first line", "Write what is to run there")
    return found


def check_code(plain: str, above: int) -> None:
    """See whether a part can run at all, now rather than at three in the morning.

    Args:
        plain: the part, its magics and shell commands as Python.
        above: so many lines of the cell stand above it.

    Raises:
        BadInput: it is no Python; the sentence says where.
    """
    try:
        compile(plain, "<cell>", "exec", flags=ast.PyCF_ONLY_AST | ast.PyCF_ALLOW_TOP_LEVEL_AWAIT, dont_inherit=True)
    except (SyntaxError, ValueError) as error:
        at = f"line {error.lineno + above}: " if isinstance(error, SyntaxError) and error.lineno else ""
        raise BadInput(f"the cell is no Python: {at}{getattr(error, 'msg', None) or error}", "Nothing was started") from None


def check_names(parameters: Mapping[str, object]) -> None:
    """See whether parameters can be set by a line of Python. Raises `BadInput`."""
    for name, value in parameters.items():
        if not name.isidentifier() or keyword.iskeyword(name):
            raise BadInput(f'-p {name}: "{name}" cannot be the name of a variable', "Write it as NAME=VALUE, with letters, digits and underscores")
        try:
            same = ast.literal_eval(repr(value)) == value
        except (ValueError, SyntaxError):
            same = False
        if not same:
            raise BadInput(f"-p {name}: its value cannot be written into a notebook", "Give a number, a text, a list or a mapping")


def notebook(code: str, *, parameters: Mapping[str, object], folder: str, kernel: str = "") -> dict[str, Any]:
    """The notebook that runs a cell.

    Args:
        code: lines that begin with `# %%` cut it into cells, so that a run shows which of them it is in, and goes on from the one that failed.
        parameters: what its cell tagged `parameters` sets; without any it has none.
        folder: where the code is at home; where that exists it runs there, so that its files are found.
    """
    cells = []
    if parameters:
        cells.append(_cell("\n".join(f"{name} = {value!r}" for name, value in parameters.items()), ["parameters"]))
    cells.append(_cell(f"{FOLDER}import os\n\nif os.path.isdir({folder!r}):\n    os.chdir({folder!r})", ["where"]))
    cells += [_cell(text, []) for _, text in parts(code)]
    for number, cell in enumerate(cells, 1):
        cell["id"] = f"cell-{number}"
    spec = {"name": kernel or "python3", "display_name": kernel or "Python 3", "language": "python"}
    return {"cells": cells, "metadata": {"kernelspec": spec, "language_info": {"name": "python"}}, "nbformat": 4, "nbformat_minor": 5}


def _cell(source: str, tags: list[str]) -> dict[str, Any]:
    return {"cell_type": "code", "execution_count": None, "metadata": {"tags": tags} if tags else {}, "outputs": [], "source": source}
