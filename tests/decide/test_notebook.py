"""What is known of a notebook before it runs."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from qcity_nb.decide.notebook import LATE, MOST, imports, needs


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


def test_what_a_library_imports_when_it_is_first_used_is_needed_too():
    assert needs(["import pandas as pd"]) == ["pandas"]
    found = needs(["import plotly.graph_objects as go", "import plotly.express"])
    assert found[:2] == ["plotly.graph_objects", "plotly.express"]
    assert found[2:] == list(LATE["plotly"])
