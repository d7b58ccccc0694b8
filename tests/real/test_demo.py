"""`qcity demo` as a person runs it: all of it happens, and nothing is left behind, however it ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytestmark = pytest.mark.real

COMMAND = [sys.executable, "-c", "import sys; from qcity_nb.cli import main; sys.exit(main())", "demo"]


def alive(folder: Path) -> list[str]:
    """Every process that works in the folder, was given it, or has it in its environment."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            stat = (entry / "stat").read_text()
            words = (entry / "cmdline").read_bytes() + b"\0" + (entry / "environ").read_bytes()
            inside = str((entry / "cwd").readlink())
        except OSError:
            continue
        mine = os.fsencode(folder) in words or inside == str(folder) or inside.startswith(f"{folder}/")
        if mine and int(entry.name) != os.getpid() and stat.rpartition(")")[2].split()[0] != "Z":
            found.append(f"{entry.name} {words[:200]!r}")
    return found


def start(folder: Path, *options: str) -> subprocess.Popen[str]:
    env = {key: value for key, value in os.environ.items() if not key.startswith("QCITY_")} | {"PYTHONUNBUFFERED": "1"}
    out = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    return subprocess.Popen([*COMMAND, *options], cwd=folder, env=env, start_new_session=True, **out)


@pytest.mark.slow
def test_all_of_it_happens_within_a_minute_and_only_the_report_stays(tmp_path):
    begin = time.monotonic()
    demo = start(tmp_path)
    said, _ = demo.communicate(timeout=90)
    assert demo.returncode == 0, said
    assert time.monotonic() - begin < 60
    for part in ("killed by signal 9", "cause", "proof", "4 of 4 green", "assert 5 == 4", "not repaired", "./qcity-demo/report.html"):
        assert part in said
    assert "\x1b" not in said
    assert [path.name for path in (tmp_path / "qcity-demo").iterdir()] == ["report.html"]
    assert "killed from outside" in (tmp_path / "qcity-demo" / "report.html").read_text()
    assert alive(tmp_path) == []


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("marker", ["QCity demo", "repository", "engine ", "runner ", "test ▶", "died", "commit 2"])
def test_ended_at_any_point_no_process_is_left(tmp_path, number, marker):
    said = []
    with start(tmp_path) as demo:
        assert demo.stdout is not None
        for line in demo.stdout:
            said.append(line)
            if marker in line:
                demo.send_signal(number)
                break
        said += list(demo.stdout)
    assert demo.wait(60) == (130 if number == signal.SIGINT else 143), "".join(said)
    assert "No process is left" in said[-1]
    assert alive(tmp_path) == []
    assert list(tmp_path.iterdir()) == []


LOST = """
import gc, os, signal, sys, time, weakref
from qcity_nb.cli.demo import Terminated, sigterm
class Thing: pass
with sigterm() as heard:
    try:
        thing = Thing()
        kept = weakref.ref(thing, lambda _: os.kill(os.getpid(), signal.SIGTERM))
        del thing
        print("went on", flush=True)
        time.sleep(60)
    except Terminated:
        heard()
        time.sleep(2.5)
        print("cleared in peace")
"""


def test_a_signal_that_comes_while_python_runs_a_callback_is_not_lost():
    """Python ignores what is raised there."""
    begin = time.monotonic()
    done = subprocess.run([sys.executable, "-c", LOST], capture_output=True, text=True, check=False, timeout=60)
    assert done.stdout.splitlines() == ["went on", "cleared in peace"], done.stderr
    assert time.monotonic() - begin < 20


def test_a_folder_that_is_not_empty_is_left_alone(tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "file").write_text("precious")
    demo = start(tmp_path, "--dir", "mine")
    said, _ = demo.communicate(timeout=30)
    assert demo.returncode == 2
    assert "is there already and not empty" in said
    assert (tmp_path / "mine" / "file").read_text() == "precious"


def test_without_git_it_says_so_and_leaves_nothing(tmp_path):
    env = {key: value for key, value in os.environ.items() if not key.startswith("QCITY_")} | {"PATH": str(tmp_path / "no-programs")}
    done = subprocess.run([*COMMAND], cwd=tmp_path, env=env, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    assert "git is not installed" in done.stderr
    assert "Traceback" not in done.stderr
    assert list(tmp_path.iterdir()) == []
