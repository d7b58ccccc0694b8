"""Homes on disks that are full, read-only or not of this machine: each is said in one sentence, and nothing is lost.

The scenes need to mount something; where that is not permitted (no root, no namespaces) they skip and say so.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from qcity_nb.errors import HomeError
from qcity_nb.store import database
from qcity_nb.store.database import prepare_home, refuse_remote

NOT_PERMITTED = 77
PROGRAM = Path(__file__).with_name("private_mount.py")


def play(scene: str, folder: Path) -> None:
    result = subprocess.run([sys.executable, PROGRAM, scene, folder], capture_output=True, text=True, timeout=60, check=False)
    if result.returncode == NOT_PERMITTED:
        pytest.skip(result.stdout.strip())
    assert result.returncode == 0, result.stdout + result.stderr


@pytest.mark.real
@pytest.mark.parametrize("scene", ["full_disk", "full_from_the_start", "read_only"])
def test_a_disk_that_takes_no_more(scene, tmp_path):
    play(scene, tmp_path / "mount")


@pytest.mark.real
@pytest.mark.parametrize("name", ["drive", "My Drive", "Größe ü", "tab\there"])
def test_a_store_on_a_fuse_mount_is_refused(name, tmp_path):
    play("remote", tmp_path / name)


@pytest.mark.parametrize("kind", ["nfs", "nfs4", "cifs", "9p", "fuse.gcsfuse", "fuse.drive", "fuse", "drvfs", "afs"])
def test_remote_kinds_are_refused(kind, home, monkeypatch):
    # patched because no test machine has them all: what is tried is the judgement
    monkeypatch.setattr(database, "mount_of", lambda _path: (kind, "/content/drive"))
    with pytest.raises(HomeError, match=r"/content/drive.*QCITY_HOME"):
        refuse_remote(home)


@pytest.mark.parametrize("kind", ["ext4", "xfs", "btrfs", "tmpfs", "overlay", "zfs", "apfs", ""])
def test_local_kinds_are_not(kind, home, monkeypatch):
    monkeypatch.setattr(database, "mount_of", lambda _path: (kind, "/"))  # see above
    refuse_remote(home)


def test_a_home_that_is_a_file_is_said(tmp_path):
    (tmp_path / "home").write_text("")
    with pytest.raises(HomeError, match="is a file"):
        prepare_home(tmp_path / "home")
    with pytest.raises(HomeError, match="QCITY_HOME"):
        prepare_home(tmp_path / "home" / "below")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere; the read-only mount covers it")
def test_a_home_without_the_right_to_write_is_said(tmp_path):
    (tmp_path / "home").mkdir(mode=0o500)
    with pytest.raises(HomeError, match="cannot be written"):
        prepare_home(tmp_path / "home")


@pytest.mark.parametrize("name", ["with space", "ünïcode ✓", "a%20b", "quote'd"])
def test_a_home_may_be_called_anything(name, tmp_path):
    store, said = database.prepare(prepare_home(tmp_path / name))
    store.close()
    assert said == ""
    assert (tmp_path / name / "qcity.db").exists()
