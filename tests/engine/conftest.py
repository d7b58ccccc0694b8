"""What tests of the engine share."""

from __future__ import annotations

import pytest

from qcity_nb.testing.fleet import FakeFleet


@pytest.fixture
def scene(tmp_path):
    made = FakeFleet(tmp_path)
    yield made
    made.close()
