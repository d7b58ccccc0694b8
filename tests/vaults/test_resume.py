"""A machine that is taken away in the middle of its work, and another one that goes on from the vault."""

from __future__ import annotations

import contextlib
import http.server
import os
import subprocess
import sys
import threading
from pathlib import Path

import msgspec
import nbformat
import psutil
import pytest
from nbformat import v4

import qcity_nb
from qcity_nb.client.vaults import configured
from qcity_nb.errors import BadInput, HomeError, Refused
from qcity_nb.model.vault import VaultAsk
from qcity_nb.store.database import VERSION
from qcity_nb.testing.real_engine import until
from qcity_nb.testing.sshd import Sshd

pytestmark = pytest.mark.real
SLEEP = "sleep 71234"
WORKFLOW = f"on: push\njobs:\n  slow:\n    runs-on: self-hosted\n    steps:\n      - run: {SLEEP}\n"


def repository(folder: Path) -> Path:
    (folder / ".github" / "workflows").mkdir(parents=True)
    (folder / ".github" / "workflows" / "ci.yml").write_text(WORKFLOW)
    git = ["git", "-C", str(folder), "-c", "user.name=n", "-c", "user.email=e@x"]
    subprocess.run(["git", "init", "-q", "-b", "main", str(folder)], check=True)
    subprocess.run([*git, "add", "-A"], check=True)
    subprocess.run([*git, "commit", "-q", "-m", "one"], check=True)
    return folder


def asleep() -> int:
    return sum(SLEEP in " ".join(one.info["cmdline"] or []) for one in psutil.process_iter(["cmdline"]))


@pytest.fixture
def app():
    handler = type("Quiet", (http.server.BaseHTTPRequestHandler,), {"log_message": lambda *_: None})
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    yield server.server_address[1]
    server.shutdown()
    server.server_close()


@pytest.mark.slow
def test_the_work_goes_on_elsewhere_and_the_old_machine_is_refused(machines, tmp_path, app):
    drive, docs = tmp_path / "drive", tmp_path / "docs"
    docs.mkdir()
    notebook = tmp_path / "nightly.ipynb"
    nbformat.write(v4.new_notebook(cells=[v4.new_code_cell("1")]), notebook)
    with Sshd() as server:
        a = machines.open("a")
        a.vaults.add("drive", "folder", drive)
        a.runners.start("local", "local-1", repo=repository(tmp_path / "repo"), sandbox="none")
        tunnel = a.tunnels.open(app, name="app", chain="ssh", options={f"ssh.{key}": value for key, value in server.options.items()})
        (docs / "README.md").write_text(f"The app: {tunnel.url}/start\n")
        a.links.bind("README.md", tunnel=tunnel, root=docs)
        a.notebooks.schedule(notebook, "0 3 * * *", name="nightly")
        until(lambda: [job for job in a.jobs if job.status.value == "running"] and asleep(), seconds=60)
        old, jobs, identity = tunnel.url, [job.id for job in a.jobs], (a.home / "place").read_text()
        a.vaults.save("drive")
        machines.take_away("a")
        assert not asleep()

        b = machines.resume("b", "folder", drive, name="drive")
        said = "\n".join(machines.said["b"])
        assert "Restored copy" in said
        assert "1 runner is up: local-1." in said
        assert f"The tunnel app is at {b.tunnels['app'].url} (generation 2)." in said
        assert "1 follower was told where it leads." in said
        assert "1 job that was cut off: queued again." in said
        assert "1 schedule goes on: nightly, " in said
        assert (b.home / "place").read_text() == identity
        assert b.tunnels["app"].url != old
        assert (docs / "README.md").read_text() == f"The app: {b.tunnels['app'].url}/start\n"
        until(lambda: [(job.id, job.row.attempt) for job in b.jobs if job.status.value == "running"] == [(jobs[0], 2)] and asleep(), seconds=60)
        assert len([one for one in b.runners if one.phase.value == "running"]) == 1
        assert b.link.store.place == identity

        assert b.resume().nothing
        assert machines.resume("b", "folder", drive, name="drive")
        assert machines.said["b"] == ["Nothing was to do: the engine runs, and nothing newer is in drive."]

        back = machines.open("a")  # the machine comes back from the dead
        with pytest.raises(Refused, match="another machine has gone on"):
            back.vaults.save("drive")
        how = back.vaults.condition()
        assert how.level.value == "bad"
        assert "saves no more" in how.text
        assert "saves no more" in str(back.status())
        assert b.vaults.save("drive")


def test_a_first_cell_begins_where_there_is_no_copy_yet(machines, tmp_path):
    """And the same cell goes on, once there is one; what is said was seen."""
    drive = tmp_path / "drive"
    machines.resume("a", "folder", drive)
    assert machines.said["a"] == [
        "The vault folder holds no copy yet: this home begins.",
        "The engine was started (generation 1).",
        machines.said["a"][2],
    ]
    assert machines.said["a"][2].startswith("Copy 1.")  # its engine may have put one, too
    machines.resume("a", "folder", drive)
    assert machines.said["a"] == ["Nothing was to do: the engine runs, and nothing newer is in folder."]


def test_an_engine_that_ends_leaves_its_last_word_in_the_vault(machines, tmp_path):
    """At SIGTERM too; what was stopped there is stopped here."""
    a = machines.open("a")
    a.vaults.add("drive", "folder", tmp_path / "drive")
    a.runners.start("command", "web", command=["sleep", "1000"])
    os.kill(a.status().engine.pid, 15)
    until(lambda: not a.status().engine.alive, seconds=30)
    machines.take_away("a")
    b = machines.resume("b", "folder", tmp_path / "drive")
    assert "1 runner is up: web." in machines.said["b"]
    assert [one.config.name for one in b.vaults] == ["folder"]  # that of the machine before, under the name that was said here
    assert "Another machine" not in repr(b.status())
    b.runners.stop("web")
    b.stop()
    c = machines.resume("c", "folder", tmp_path / "drive")
    assert [runner.phase.value for runner in c.runners] == ["stopped"]
    assert not [line for line in machines.said["c"] if "runner" in line]


def test_an_engine_saves_by_itself_what_has_changed(machines, tmp_path):
    a = machines.open("a")
    a.vaults.add("drive", "folder", tmp_path / "drive", every=1)
    first = a.vaults.copies("drive")[-1]
    a.runners.start("command", "web", command=["sleep", "1000"])
    until(lambda: a.vaults.copies("drive")[-1] > first, seconds=40)
    assert a.vaults.condition().level.value == "well"
    assert "Saved" in str(a.status())


def test_a_vault_that_cannot_be_written_is_said_where_people_look(machines, tmp_path):
    a = machines.open("a")
    (tmp_path / "mounted").mkdir()
    a.vaults.add("drive", "folder", tmp_path / "mounted" / "drive")
    (tmp_path / "mounted").rename(tmp_path / "gone")
    with pytest.raises(HomeError, match="Mount it first") as caught:
        a.vaults.save("drive")
    assert "no folder" in caught.value.what
    assert "could not be written just now" in str(a.status())
    assert [one.verdict for one in a.doctor() if one.check == "vaults"] == ["warn"]


def test_what_a_person_gets_wrong_is_a_sentence(machines, tmp_path, monkeypatch):
    a = machines.open("a")
    with pytest.raises(BadInput, match="no vault is known"):
        a.resume()
    with pytest.raises(BadInput, match="no kind"):
        a.vaults.add("x", "floppy", "/a")
    with pytest.raises(BadInput, match="holds a secret"):
        a.vaults.add("x", "git", "https://ghp_0123456789abcdefghijABCDEFGHIJ012345@github.com/a/b")
    with pytest.raises(qcity_nb.NotFound, match="no passphrase"):
        a.vaults.add("x", "git", str(tmp_path / "r.git"))
    key = tmp_path / "key"
    key.write_text("phrase")
    key.chmod(0o644)
    with pytest.raises(BadInput, match="can be read by others"):
        a.vaults.add("x", "folder", tmp_path / "v", key_file=key)
    assert not len(a.vaults)
    key.chmod(0o600)
    a.vaults.add("x", "folder", tmp_path / "v", key_file=key)
    assert b"sealed" in next((tmp_path / "v").iterdir()).read_bytes()[:30]
    assert "phrase" not in (a.home / "vaults.json").read_text()
    b = machines.open("b")
    with pytest.raises(Refused, match="not of this home"):
        b.vaults.add("x", "folder", tmp_path / "v", key_file=key)
    assert not len(b.vaults)
    monkeypatch.setenv("QCITY_VAULT_PASSPHRASE", "another")
    with pytest.raises(Refused, match="cannot be opened with this passphrase"):
        machines.resume("c", "folder", tmp_path / "v")


def test_a_save_that_is_killed_at_any_moment_leaves_whole_copies_only(machines, tmp_path):
    """And the next one goes on: nothing of it is taken for somebody else's, and nothing is left lying about."""
    a, drive = machines.open("a"), tmp_path / "drive"
    a.vaults.add("drive", "folder", drive, keep=50)
    ask = msgspec.json.encode(VaultAsk(verb="save", config=a.vaults["drive"].config, home=str(a.home), generation=1, schema=VERSION))
    for number in range(12):
        saving = subprocess.Popen([sys.executable, "-m", "qcity_nb.kinds.vaults"], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL)
        with contextlib.suppress(subprocess.TimeoutExpired):
            saving.communicate(ask, timeout=0.15 + number * 0.06)
        saving.kill()
        saving.wait()
    last = a.vaults.save("drive")
    assert last == a.vaults.copies("drive")[-1]
    assert not (a.home / "vaults" / "drive.part").exists()
    b = machines.open("b")
    b.vaults.note(a.vaults["drive"].config)
    for copy in a.vaults.copies("drive"):
        assert b.vaults.restore("drive", copy.number, force=True).copies == (copy,)


def test_a_store_that_outlives_the_machine_needs_no_vault(machines, tmp_path, monkeypatch):
    a = machines.open("a")
    monkeypatch.setattr(a.link.store, "embedded", False)  # as PostgreSQL's is; a server of one's own would say no more
    for call in (lambda: a.vaults.add("drive", "folder", tmp_path / "drive"), lambda: a.vaults.note(configured("x", "folder", "/x"))):
        with pytest.raises(Refused, match="outlives this machine") as caught:
            call()
        assert "needs no vault" in caught.value.todo
    assert a.vaults.condition() is None


@pytest.mark.parametrize("host", ["kernel", "once"])
def test_an_engine_inside_the_notebook_goes_on_too(machines, tmp_path, host):
    """It is that of the place whose copy was restored."""
    a = machines.open("a")
    a.vaults.add("drive", "folder", tmp_path / "drive")
    a.runners.start("command", "web", command=["sleep", "1000"])
    a.vaults.save("drive")
    machines.take_away("a")
    b = machines.resume("b", "folder", tmp_path / "drive", host=host)
    assert "1 runner is up: web." in machines.said["b"]
    assert b.status().engine.alive
    b.close()


def test_a_newer_copy_is_not_restored_under_an_engine_that_runs(machines, tmp_path):
    a = machines.open("a")
    a.vaults.add("drive", "folder", tmp_path / "drive")
    machines.resume("b", "folder", tmp_path / "drive", name="drive")
    a.link.ensure()
    with pytest.raises(HomeError, match="holds a newer copy"):
        a.resume()
    a.stop()
    assert "Restored" in a.resume().lines[0]
