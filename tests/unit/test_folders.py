"""Folders for kernels: held while their process lives, swept when it is gone."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time

from qcity_nb.kinds.sandboxes import folders

MAKE = """
import os, signal, sys
from pathlib import Path
from qcity_nb.kinds.sandboxes.folders import fresh
print(fresh(Path(sys.argv[1]))[0], flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_what_a_killed_process_left_is_swept_and_what_is_held_or_young_is_not(tmp_path):
    made = subprocess.run([sys.executable, "-c", MAKE, str(tmp_path)], capture_output=True, text=True, check=False)
    left = tmp_path / made.stdout.strip().rpartition("/")[2]
    (left / "deep").mkdir()
    held, handle = folders.fresh(tmp_path)
    stranger = tmp_path / "qk"
    stranger.mkdir()
    (tmp_path / "qk-link").symlink_to(stranger)
    folders.swept(tmp_path)
    assert left.is_dir()
    long_ago = time.time() - 3600
    for path in (left, held):
        os.utime(path, (long_ago, long_ago))
    folders.swept(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([held.name, "qk", "qk-link"])
    os.close(handle)
    folders.swept(tmp_path)
    assert not held.exists()


def test_a_socket_has_room_in_its_path_however_long_the_usual_folder_is(tmp_path, monkeypatch):
    long = tmp_path / ("x" * 100)
    long.mkdir()
    monkeypatch.setattr(folders.tempfile, "tempdir", str(long))  # what TMPDIR does when the process begins
    folder, handle = folders.fresh(folders.roomy())
    try:
        with socket.socket(socket.AF_UNIX) as made:
            made.bind(str(folder / "s-5"))
    finally:
        folders.remove(folder)
        os.close(handle)
