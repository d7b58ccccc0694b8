"""Takes a second out of the start of our own processes: jsonschema imports rfc3987-syntax, which compiles grammars that nobody asks for.

For processes that are ours alone; what kernels are forked from has it only while it imports: what somebody imports there is what they get.
https://github.com/python-jsonschema/jsonschema/issues/1428
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import sys
from collections.abc import Iterator
from types import ModuleType
from typing import Any

NAME = "rfc3987_syntax"


def lighten() -> None:
    """Have rfc3987-syntax loaded when somebody first asks it something. Nothing happens where it is not installed, or loaded already."""
    if NAME not in sys.modules and importlib.util.find_spec(NAME) is not None:
        stand_in = ModuleType(NAME)
        stand_in.is_valid_syntax = _asked  # type: ignore[attr-defined]
        sys.modules[NAME] = stand_in


@contextlib.contextmanager
def lightened() -> Iterator[None]:
    """The same for a while: whoever imported it meanwhile may ask it for ever, whoever imports it later gets the real one."""
    before = sys.modules.get(NAME)
    lighten()
    ours = sys.modules.get(NAME)
    yield
    if before is None and ours is not None and sys.modules.get(NAME) is ours and not hasattr(ours, "__path__"):
        del sys.modules[NAME]


def _asked(rule: str, text: str) -> Any:
    if sys.modules.get(NAME) is not None and not hasattr(sys.modules[NAME], "__path__"):
        del sys.modules[NAME]
    return importlib.import_module(NAME).is_valid_syntax(rule, text)
