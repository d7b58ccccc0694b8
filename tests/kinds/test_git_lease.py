"""Leases in a git remote: what is refused, what is said, and that one that hangs is given up on. tests/contracts has the contract."""

import subprocess
import time
from dataclasses import replace

import pytest

from qcity_nb.errors import BadInput, LeaseError
from qcity_nb.kinds.leases import open_lease
from qcity_nb.model.home import Home
from qcity_nb.testing.lease_contract import FIRST
from qcity_nb.testing.real_engine import alive, until


@pytest.fixture
def open_at(tmp_path):
    return lambda where, claim="web", timeout=5.0: open_lease(where, claim, home=Home(tmp_path / "home"), timeout=timeout)


@pytest.mark.parametrize(
    ("where", "claim", "says"),
    [
        ("git:https://ann:secret@git.example.org/r.git", "web", "holds a password"),
        ("git:", "web", "need a remote"),
        ("git:--upload-pack=evil", "web", "need a remote"),
        ("git:/r.git", "../web", "cannot be the name of a claim"),
        ("git:/r.git", "web.lock", "cannot be the name of a claim"),
        ("drive:/r", "web", "cannot be kept in"),
    ],
)
def test_what_cannot_be_used_is_said(open_at, where, claim, says):
    with pytest.raises(BadInput, match=says) as caught:
        open_at(where, claim)
    assert "secret" not in str(caught.value)


def test_a_remote_that_is_not_there_is_no_verdict(open_at, tmp_path):
    with pytest.raises(LeaseError, match="cannot be reached") as caught:
        open_at(f"git:{tmp_path / 'none.git'}").read()
    assert not caught.value.permanent


@pytest.mark.real
def test_a_remote_that_hangs_is_given_up_on_with_all_it_started(open_at, tmp_path, monkeypatch):
    ssh, pid = tmp_path / "ssh", tmp_path / "pid"
    ssh.write_text(f"#!/bin/sh\necho $$ > {pid}\nexec sleep 60\n")
    ssh.chmod(0o700)
    monkeypatch.setenv("GIT_SSH_COMMAND", str(ssh))
    begin = time.monotonic()
    with pytest.raises(LeaseError, match="has not answered within"):
        open_at("git:ssh://host.example/r.git", timeout=1.0).read()
    assert time.monotonic() - begin < 4
    until(lambda: not alive(int(pid.read_text())), seconds=30)  # it was told to end; that takes a moment


@pytest.mark.real
def test_a_lock_that_a_killed_push_left_in_the_remote_is_no_verdict(open_at, tmp_path):
    """Otherwise every place would believe that somebody else was first, and ask again at once, for ever."""
    remote = tmp_path / "remote.git"
    subprocess.run(["git", "init", "-q", "--bare", remote], check=True)
    store = open_at(f"git:{remote}")
    version = store.swap(None, FIRST)
    lock = remote / "refs" / "qcity" / "lease" / "web.lock"
    lock.touch()
    with pytest.raises(LeaseError, match="File exists") as caught:
        store.swap(version, replace(FIRST, renewed=1))
    assert not caught.value.permanent
    lock.unlink()
    assert store.swap(version, replace(FIRST, renewed=1))
