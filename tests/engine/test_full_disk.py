"""A full disk under the home: supervising goes on, nothing that was recorded is lost, and afterwards all is as before."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [pytest.mark.real, pytest.mark.slow]


def test_a_full_disk_does_not_stop_the_supervising(tmp_path: Path) -> None:
    scene = Path(__file__).with_name("full_disk.py")
    done = subprocess.run([sys.executable, str(scene), str(tmp_path)], check=False, capture_output=True, text=True, timeout=110)
    if done.returncode == 77:
        pytest.skip("mounting is not permitted here")
    assert done.returncode == 0, done.stdout + done.stderr
