"""The stand-in for rfc3987-syntax: it is not loaded until it is asked, and then it says what the real one says."""

from __future__ import annotations

import importlib.util
import subprocess
import sys

CODE = """
import sys
from qcity_nb.kinds.notebooks.lean import lighten
lighten()
import jsonschema
assert not [name for name in sys.modules if name.startswith("rfc3987_syntax.")]
check = jsonschema.FormatChecker()
print([check.conforms(text, "iri") for text in ("https://example.org/\u00e4", "no iri at all")], "rfc3987_syntax.syntax_helpers" in sys.modules)
"""


def test_a_format_is_checked_as_ever_and_loaded_when_it_is():
    done = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, check=True)
    there = importlib.util.find_spec("rfc3987_syntax") is not None
    assert done.stdout == ("[True, False] True\n" if there else "[True, True] False\n")


def test_after_a_while_with_it_others_import_the_real_one():
    code = CODE.replace("lighten()\nimport jsonschema", "with lightened():\n    import jsonschema").replace("import lighten\n", "import lightened\n")
    code += "import importlib.util\nif importlib.util.find_spec('rfc3987_syntax'):\n    import rfc3987_syntax.syntax_helpers\n"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    there = importlib.util.find_spec("rfc3987_syntax") is not None
    assert done.stdout == ("[True, False] True\n" if there else "[True, True] False\n")
