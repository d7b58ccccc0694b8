"""Every lease store keeps the same contract: one in memory, a git ref, a table of the shared store, a dataset."""

import os
import subprocess
from pathlib import Path

import pytest

from qcity_nb.kinds.leases import open_lease
from qcity_nb.model.home import Home
from qcity_nb.testing.lease_contract import LeaseContract
from qcity_nb.testing.leases import Belief, MemoryLease, MemoryRegister, doubles


class TestMemory(LeaseContract):
    @pytest.fixture(autouse=True)
    def _register(self):
        self.register, self.stores = MemoryRegister(), {}

    def make(self, who):
        self.stores[who] = MemoryLease(self.register)
        return self.stores[who]

    def cut(self, who, *, off):
        self.stores[who].away = off


@pytest.mark.real
@pytest.mark.slow
@pytest.mark.timeout(900)
class TestGit(LeaseContract):
    """A bare repository; each place reaches it by a link of its own, which can be taken away."""

    @pytest.fixture(autouse=True)
    def _remote(self, tmp_path):
        self.folder = tmp_path
        subprocess.run(["git", "init", "-q", "--bare", tmp_path / "remote.git"], check=True)

    def make(self, who):
        link = self.folder / f"way-{who}.git"
        if not link.is_symlink():
            link.symlink_to(self.folder / "remote.git")
        return open_lease(f"git:{link}", "web", home=Home(self.folder / f"home-{who}"), timeout=20.0)

    def cut(self, who, *, off):
        link = self.folder / f"way-{who}.git"
        link.unlink() if off else link.symlink_to(self.folder / "remote.git")

    def where(self):
        return f"git:{self.folder / 'remote.git'}"

    def test_no_work_tree_is_touched(self, tmp_path, monkeypatch):
        """Neither the one around the current folder nor one that the environment names."""
        work = tmp_path / "work"
        subprocess.run(["git", "init", "-q", work], check=True)
        monkeypatch.chdir(work)
        monkeypatch.setenv("GIT_DIR", str(work / ".git"))
        before = sorted(os.walk(work / ".git"))
        store = self.make("a")
        store.read()
        from qcity_nb.testing.lease_contract import FIRST

        assert store.swap(None, FIRST)
        assert sorted(os.walk(work / ".git")) == before
        assert [path.name for path in Path(work).iterdir()] == [".git"]


@pytest.mark.parametrize(
    "wrong",
    [
        [Belief(0.0, 2.0, "a", 1), Belief(1.0, 3.0, "b", 2)],
        [Belief(0.0, 1.0, "a", 1), Belief(1.5, 2.0, "b", 1)],
        [Belief(0.0, 9.0, "a", 1), Belief(1.0, 2.0, "a", 2), Belief(3.0, 4.0, "b", 3)],
    ],
)
def test_the_oracle_finds_a_double_holder(wrong):
    assert doubles(wrong)
