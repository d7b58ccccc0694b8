"""The sandbox `ownuid` keeps the contract of sandboxes."""

from __future__ import annotations

import pytest

from qcity_nb.kinds import load
from qcity_nb.testing.contracts import SandboxContract


@pytest.mark.real
class TestOwnuid(SandboxContract):
    def subject(self):
        return load("sandboxes", "ownuid")
