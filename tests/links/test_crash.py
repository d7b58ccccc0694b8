"""A change that is killed in the middle leaves every file whole, and the next one to come finishes it."""

from __future__ import annotations

import importlib.util
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from qcity_nb.io import journal, rewrite

_spec = importlib.util.spec_from_file_location("links_scene", Path(__file__).with_name("conftest.py"))
scene = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(scene)
OLD, NEW = scene.OLD, scene.NEW
BEFORE, AFTER = f"see {OLD}/x\n", f"see {NEW}/x\n"
FILES = 12

pytestmark = pytest.mark.real

CHILD = """
import os, signal, sys
from pathlib import Path
from qcity_nb.decide import links
from qcity_nb.io import rewrite
from qcity_nb.model.home import Home
from qcity_nb.model.tunnel import Binding
root, home, call, when, commit, old, new = sys.argv[1:]
count = 0
def strike(name, real):
    def struck(*args, **kwargs):
        global count
        count += name == call
        if name == call and count == int(when):
            os.kill(os.getpid(), signal.SIGKILL)
        return real(*args, **kwargs)
    return struck
os.replace = strike("replace", os.replace)
os.open = strike("open", os.open)
os.fchmod = strike("fchmod", os.fchmod)
rewriter = links.Rewriter(aim=links.Aim(tunnel="app", new=new, old=(old,)), patterns=("**/*.md",))
binding = Binding(root=root, patterns=rewriter.patterns, commit=commit)
print("begun", flush=True)
rewrite.sync(Home(Path(home)), binding, rewriter, tunnel="app", new=new, why="it moved", actor="ann", durable=False)
"""


def start(folder, call, when, commit=""):
    argv = [sys.executable, "-c", CHILD, str(folder.root), str(folder.home.root), call, str(when), commit, OLD, NEW]
    return subprocess.Popen(argv, stdout=subprocess.PIPE, text=True)


def texts(folder):
    return [path.read_text() for path in sorted(folder.root.rglob("*.md"))]


@pytest.fixture
def full(folder):
    for number in range(FILES):
        folder.put(f"{number % 3}/{number}.md", BEFORE)
    return folder


# the first `replace` is the journal's, then one for each file, then what is remembered and the journal again
MOMENTS = [*(("replace", number) for number in (1, 2, 3, 7, FILES + 1, FILES + 2, FILES + 3)), ("fchmod", 1), ("fchmod", 9), ("open", 5)]


@pytest.mark.parametrize(("call", "when"), MOMENTS)
def test_whatever_moment_it_is_killed_at(full, call, when):
    with start(full, call, when) as child:
        child.wait(30)
    assert child.returncode == -signal.SIGKILL
    assert set(texts(full)) <= {BEFORE, AFTER}, "no file is half written"
    planned = journal.planned(full.home)
    recovered = rewrite.recover(full.home)
    assert recovered == [change.number for change in planned]
    assert len(set(texts(full))) == 1, "all of it or nothing"
    missing = texts(full).count(BEFORE)
    assert full.sync().links == missing
    assert texts(full) == [AFTER] * FILES
    assert [path for path in full.root.rglob("*") if path.is_file() and path.suffix != ".md"] == [], "no temporary file stays"
    assert rewrite.recover(full.home) == []
    rewrite.rollback(full.home, journal.numbers(full.home)[-1], actor="ann")
    assert texts(full) == [BEFORE] * FILES


def test_what_was_changed_after_the_crash_is_left_to_whoever_changed_it(full):
    with start(full, "replace", 5) as child:
        child.wait(30)
    undone = next(path for path in sorted(full.root.rglob("*.md")) if path.read_text() == BEFORE)
    undone.write_text("mine")
    rewrite.recover(full.home)
    assert sorted(texts(full)) == sorted([AFTER] * (FILES - 1) + ["mine"])
    change = journal.get(full.home, 1)
    assert (change.state, len(change.files)) == ("committed", FILES - 1)


def test_a_commit_that_was_cut_off_is_made(full):
    full.repository()
    with start(full, "replace", FILES + 1, "commit") as child:
        child.wait(30)
    head = full.git("rev-parse", "HEAD")
    rewrite.recover(full.home)
    assert full.git("rev-parse", "HEAD~1") == head
    assert full.git("status", "--porcelain") == ""
    assert journal.get(full.home, 1).sha == full.git("rev-parse", "HEAD")


@pytest.mark.parametrize("when", [2, 3])
def test_a_branch_has_all_of_a_change_that_was_cut_off_or_nothing(full, when):
    full.repository()
    with start(full, "replace", when, "branch:links") as child:  # 1: planned, 2: committed
        child.wait(30)
    rewrite.recover(full.home)
    assert journal.planned(full.home) == []
    full.sync(commit="branch:links")
    assert full.git("show", "links:0/0.md") == AFTER.strip()
    assert full.git("rev-list", "--count", "main..links") == "1"
    assert full.git("status", "--porcelain") == ""


def test_a_kill_from_outside_at_any_moment(full):
    """Killed when the first file is seen to have changed."""
    for number in range(12, 400):
        full.put(f"{number % 3}/{number}.md", BEFORE)
    with start(full, "none", 0) as child:
        deadline = time.monotonic() + 30
        while child.poll() is None and AFTER not in (full.root / "0/0.md").read_text() and time.monotonic() < deadline:
            pass
        child.kill()
    assert set(texts(full)) <= {BEFORE, AFTER}
    full.sync()
    assert set(texts(full)) == {AFTER}
    assert not list(full.root.rglob("*.tmp"))
