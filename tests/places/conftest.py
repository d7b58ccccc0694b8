"""What tests of places share: a home, hosts on which the package's dependencies are at hand, a look at the engines below a folder."""

from __future__ import annotations

import os

import psutil
import pytest

from qcity_nb.testing import sshd


def engines_below(folder):
    """The engines whose homes are below the folder."""
    found = []
    for process in psutil.process_iter(["cmdline"]):
        line = process.info["cmdline"] or []
        if "qcity_nb.engine" in line and any(str(folder) in word for word in line):
            found.append(process)
    return found


@pytest.fixture
def host(tmp_path, dependencies):
    """A real sshd; its sessions have a home folder and the dependencies."""
    if not sshd.program():
        reason = "openssh-server is not installed: apt-get install openssh-server"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    there = tmp_path / "there"
    there.mkdir()
    with sshd.Sshd({"HOME": str(there), "PYTHONPATH": str(dependencies)}) as server:
        server.home = there
        yield server
    for engine in engines_below(there):  # what a test that failed left running
        engine.kill()
