"""Every lease store keeps the same contract: one in memory, a git ref, a table of the shared store, a dataset."""

import os
import subprocess
from pathlib import Path

import pytest
import sqlalchemy as sa
from sqlalchemy.engine import URL, make_url

from qcity_nb.io import secrets
from qcity_nb.kinds.leases import open_lease
from qcity_nb.kinds.leases.store import StoreLease
from qcity_nb.model.home import Home
from qcity_nb.testing.hub import FakeHub
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


@pytest.mark.slow
@pytest.mark.timeout(300)
class TestStoreOnSqlite(LeaseContract):
    """A file is enough to try the statements, in threads; the kind itself refuses one. A place is cut off by the folder that it reaches it by."""

    @pytest.fixture(autouse=True)
    def _folder(self, tmp_path):
        self.folder, self.opened = tmp_path, []
        (tmp_path / "real").mkdir()
        yield
        for store in self.opened:
            store.close()

    def make(self, who):
        way = self.folder / f"way-{who}"
        if not way.is_symlink():
            way.symlink_to(self.folder / "real")
        self.opened.append(StoreLease(URL.create("sqlite", database=str(way / "leases.db")), "web", timeout=20.0))
        return self.opened[-1]

    def cut(self, who, *, off):
        way = self.folder / f"way-{who}"
        for store in self.opened:
            store.close()  # an open file stays reachable by any name
        way.unlink() if off else way.symlink_to(self.folder / "real")


@pytest.mark.real
@pytest.mark.slow
@pytest.mark.timeout(300)
class TestStoreOnPostgresql(LeaseContract):
    """Contenders in processes of their own. A place is cut off by an address where nobody answers."""

    @pytest.fixture(autouse=True)
    def _database(self, postgres_database, tmp_path):
        self.url, self.folder, self.opened = postgres_database, tmp_path, {}
        yield
        for store in self.opened.values():
            store.close()

    def make(self, who):
        if who not in self.opened:
            self.opened[who] = open_lease(f"store:{self.url}", "web", home=Home(self.folder), timeout=20.0)
        return self.opened[who]

    def cut(self, who, *, off):
        store = self.opened[who]
        store.close()
        url = make_url(self.url)
        store._engine = sa.create_engine(url.set(port=1) if off else url)

    def where(self):
        return f"store:{self.url}"


@pytest.mark.slow
@pytest.mark.timeout(600)
class TestHuggingface(LeaseContract):
    """A stand-in of the hub over loopback. A place is cut off by having nothing at its address."""

    @pytest.fixture(autouse=True)
    def _hub(self, tmp_path):
        self.home, self.opened = Home(tmp_path / "home"), {}
        secrets.keep(self.home, "huggingface", "hf_stand_in")
        with FakeHub() as hub:
            hub.dataset("ann/leases")
            self.hub = hub
            yield
            for store in self.opened.values():
                store.close()

    def make(self, who):
        if who not in self.opened:
            self.opened[who] = open_lease(f"huggingface:{self.hub.url}/datasets/ann/leases", "web", home=self.home, timeout=20.0)
        return self.opened[who]

    def cut(self, who, *, off):
        self.opened[who]._hub = "http://127.0.0.1:1" if off else self.hub.url


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
