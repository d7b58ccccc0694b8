"""What a machine says of itself that no program has to be asked for: since when it is there, and which folders tell where we are."""

from __future__ import annotations

from datetime import datetime, timezone
from pathlib import Path

import psutil

TELLING = ("/kaggle/input", "/home/studio-lab-user")
"""Folders whose presence says where we are."""


def born() -> datetime:
    """When this machine, or the container that we are in, began: its first process did."""
    try:
        first = psutil.Process(1).create_time()
    except psutil.Error:
        first = psutil.boot_time()
    return datetime.fromtimestamp(first, timezone.utc)


def telling() -> frozenset[str]:
    """Those of the folders that are there."""
    return frozenset(path for path in TELLING if Path(path).is_dir())
