"""What tests of places share: a home, hosts on which the package's dependencies are at hand, a look at the engines below a folder."""

from __future__ import annotations

import os
import shutil
import sys
import sysconfig
import tempfile
from pathlib import Path

import psutil
import pytest

from qcity_nb.testing import sshd

OURS = ("qcity_nb", "_editable_impl_qcity_nb")


def engines_below(folder):
    """The engines whose homes are below the folder."""
    found = []
    for process in psutil.process_iter(["cmdline"]):
        line = process.info["cmdline"] or []
        if "qcity_nb.engine" in line and any(str(folder) in word for word in line):
            found.append(process)
    return found


@pytest.fixture(scope="session")
def dependencies():
    """A folder for PYTHONPATH with all that the package needs and not the package itself, so that installing it takes seconds and no index."""
    folder = Path(tempfile.mkdtemp(prefix="qcity-lib-"))
    folder.chmod(0o755)
    for path in Path(sysconfig.get_paths()["purelib"]).iterdir():
        if not path.name.startswith(OURS) and path.suffix != ".pth":
            (folder / path.name).symlink_to(path)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture(scope="session")
def python():
    """A Python that makes virtual environments: the one below ours."""
    return str(Path(sys.base_prefix) / "bin" / f"python3.{sys.version_info[1]}")


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
