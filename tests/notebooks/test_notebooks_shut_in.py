"""Runs in a sandbox: a real kernel inside tries what it must not be able to do; what it needs and what it makes goes through."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import nbformat
import pytest

from qcity_nb.errors import BadInput, Refused
from qcity_nb.kinds import load, sandboxes
from qcity_nb.kinds.notebooks import service
from qcity_nb.model.schedule import RunState
from qcity_nb.model.service import Sandbox, ServiceSpec
from qcity_nb.testing.real_engine import until

pytestmark = [pytest.mark.real]

ATTACK = """
import json, os, pathlib, socket
got = {}
def attempt(name, act):
    try:
        act()
        got[name] = True
    except Exception as error:
        got[name] = False
attempt("secret", lambda: pathlib.Path(kept).read_text())
attempt("home", lambda: os.listdir(home))
attempt("own home", lambda: pathlib.Path(mine).read_text())
attempt("system", lambda: pathlib.Path("/etc/qcity-probe").write_text("x"))
attempt("notebook's folder", lambda: pathlib.Path("new").write_text("x"))
attempt("kill", lambda: os.kill(victim, 0))
attempt("network", lambda: socket.create_connection(("127.0.0.1", port), timeout=2))
attempt("data", lambda: pathlib.Path("data.csv").read_text())
attempt("own folder", lambda: pathlib.Path("~/x").expanduser().write_text("x"))
attempt("temp", lambda: __import__("tempfile").mkdtemp())
print(json.dumps(got))
"""


@pytest.fixture
def jobs(desk):
    """A folder of notebooks that holds nothing private."""
    folder = desk.folder / "jobs"
    folder.mkdir(exist_ok=True)
    (folder / "data.csv").write_text("a\n1\n")
    return folder


def shown(run, number: int = -1) -> str:
    nb = nbformat.read(run.output, as_version=4)
    return "".join(out.get("text", "") for out in nb.cells[number].outputs)


def test_a_shut_in_kernel_sees_its_folder_and_nothing_of_the_home(desk, jobs, monkeypatch):
    import socket

    home = desk.city.home
    secret = home / "secrets" / "attacked"
    secret.parent.mkdir(mode=0o700, exist_ok=True)
    secret.write_text("the home's secret")
    mine = Path.home() / f".qcity-attacked-{os.getpid()}"
    mine.write_text("of a person")
    victim = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    try:
        with socket.socket() as listener:
            listener.bind(("127.0.0.1", 0))
            listener.listen()
            given = {"kept": str(secret), "mine": str(mine), "home": str(home), "victim": victim.pid, "port": listener.getsockname()[1]}
            path = desk.write(ATTACK, name="jobs/attack.ipynb", parameters="kept = mine = home = ''\nvictim = port = 0")
            monkeypatch.setenv("SIGNING", "sig-0987654321")
            run = desk.city.notebooks.run(path, {**given}, sandbox="full", secrets=["signing"]).wait(90)
        assert victim.poll() is None
    finally:
        victim.kill()
        victim.wait()
        mine.unlink()
    row = run.row
    assert (row.state, row.reason, row.sandbox) == (RunState.DONE, "", "full")
    got = json.loads(shown(run))
    assert {name for name, there in got.items() if there} == {"data", "own folder", "temp"}
    assert sorted(one.name for one in jobs.iterdir() if one.suffix != ".ipynb") == ["data.csv"]


def test_its_environment_is_its_own_and_its_artifacts_are_kept(desk, jobs, monkeypatch):
    monkeypatch.setenv("SIGNING", "sig-1234567890")
    code = (
        "import os, pathlib\n"
        "pathlib.Path(os.environ['QCITY_ARTIFACTS'], 'model.json').write_text('{}')\n"
        "os.symlink('/etc/passwd', os.path.join(os.environ['QCITY_ARTIFACTS'], 'link'))\n"
        "print(sorted(os.environ), os.getuid(), os.environ['SIGNING'])"
    )
    run = desk.city.notebooks.run(desk.write(code, name="jobs/kept.ipynb"), sandbox="partial", secrets=["signing"]).wait(90)
    assert run.row.state is RunState.DONE, run.row.reason
    assert [path.name for path in run.artifacts] == ["model.json"]
    assert run.artifacts[0].stat().st_uid == os.geteuid()
    told = shown(run)
    assert "QCITY_HOME" not in told
    assert "sig-1234567890" not in told
    assert " 0 " not in told
    assert not [one for one in Path(tempfile.gettempdir()).glob("qk-*") if (one / "artifacts").exists()]


def test_a_run_that_is_not_shut_in_has_artifacts_too_and_no_tokens_of_ours(desk, jobs):
    code = (
        "import os, pathlib\n"
        "pathlib.Path(os.environ['QCITY_ARTIFACTS'], 'a.txt').write_text('x')\n"
        "print(sorted(os.environ), os.environ['QCITY_HOME'])"
    )
    run = desk.city.notebooks.run(desk.write(code, name="jobs/plain.ipynb")).wait(60)
    assert run.row.sandbox == "none"
    assert [path.name for path in run.artifacts] == ["a.txt"]
    assert str(desk.city.home) in shown(run)
    assert "QCITY_INCARNATION" not in shown(run)


def test_it_is_cancelled_timed_out_and_leaves_nothing(desk, jobs):
    code = "import subprocess, time\nsubprocess.Popen(['sleep', '4321'])\nprint('up', flush=True)\ntime.sleep(600)"
    path = desk.write(code, name="jobs/long.ipynb")
    run = desk.city.notebooks.run(path, sandbox="full")
    until(lambda: "up" in getattr(run.row.live, "tail", ""), seconds=60)
    assert run.cancel("enough").wait(30).row.state is RunState.CANCELLED
    late = desk.city.notebooks.run(path, sandbox="full", timeout="2 s").wait(60).row
    assert (late.state, late.reason) == (RunState.FAILED, "the run took longer than its 2 s")
    assert subprocess.run(["pgrep", "-f", "^sleep 4321"], capture_output=True, check=False).stdout == b""


def test_a_cell_that_takes_all_memory_ends_its_run_and_says_why(desk, jobs):
    path = desk.write("x = []\nwhile True:\n    x.append(bytearray(64 << 20))", name="jobs/greedy.ipynb")
    row = desk.city.notebooks.run(path, sandbox="full", timeout="90 s").wait(120).row
    assert row.state is RunState.FAILED
    assert "memory" in row.reason.lower(), row.reason


def test_a_notebook_beside_private_files_is_not_shut_in_with_them(desk):
    with pytest.raises(BadInput, match='sandbox is "ful"'):
        desk.city.notebooks.run(desk.write("1"), sandbox="ful")
    row = desk.city.notebooks.run(desk.write("1"), sandbox="full").wait(60).row
    assert row.state is RunState.FAILED
    assert "holds private files" in row.reason


def test_an_engine_may_demand_a_sandbox_of_every_run(tmp_path, desk_of, monkeypatch):
    monkeypatch.setenv("QCITY_NOTEBOOK_SANDBOX", "partial")
    with desk_of(tmp_path) as desk:
        (tmp_path / "jobs").mkdir()
        row = desk.city.notebooks.run(desk.write("1", name="jobs/one.ipynb")).wait(60).row
        assert (row.state, row.sandbox) == (RunState.DONE, "full")


def test_a_machine_without_a_sandbox_refuses_at_once(monkeypatch):
    # The choice alone is replaced: what each way of shutting in proves is tested with the sandboxes.
    monkeypatch.setattr(sandboxes, "_proved", lambda: (load("sandboxes", "bare"), Sandbox.NONE, "bubblewrap is not installed"))
    asked = ServiceSpec(name="notebooks", kind="notebooks", options={"sandbox": "full"})
    with pytest.raises(Refused, match='under sandbox "full" and this machine allows "none" at most: bubblewrap is not installed'):
        service.KIND.check(asked)
    assert service.KIND.check(replace(asked, options={"sandbox": "none"})).options["sandbox"] == "none"
    monkeypatch.setenv("QCITY_NOTEBOOK_SANDBOX", "parital")
    with pytest.raises(BadInput, match='QCITY_NOTEBOOK_SANDBOX is "parital"') as caught:
        service.KIND.check(replace(asked, options={}))
    assert "partial" in caught.value.todo
