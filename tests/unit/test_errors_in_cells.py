"""In a cell an error is its sentence, and no traceback."""

from __future__ import annotations

import subprocess
import sys

CODE = """
from IPython.core.interactiveshell import InteractiveShell
shell = InteractiveShell.instance()
shell.run_cell("import qcity_nb.errors as e; raise e.BadInput('the run 12 is gone', 'list them')")
"""


def test_an_error_in_a_cell_is_its_sentence():
    done = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "qcity: the run 12 is gone. List them."
