"""What is known of a notebook before it runs."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from qcity_nb.decide.notebook import MOST, imports


def test_imports_of_cells_with_magics_and_of_cells_that_are_no_python():
    cells = [
        "%matplotlib inline\nimport pandas as pd, os.path\n!pip list",
        "from plotly import graph_objects as go\nfrom . import x\nfrom .y import z\nimport pandas",
        "this is no python",
        "%%bash\nimport nothing here",
        "if True:\n    import not_at_the_top",
    ]
    assert imports(cells) == ["pandas", "os.path", "plotly"]


def test_there_is_a_limit():
    assert len(imports([f"import m{n}" for n in range(99)])) == MOST


@given(st.lists(st.text(max_size=60), max_size=5))
def test_no_text_breaks_it(cells):
    assert len(imports(cells)) <= MOST
