"""What the sandboxes have in common: the folders of the system that a job may read, and the keeper that ends what a job leaves behind."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence

from ...io import cage as launcher
from ...ports import Cage
from . import cgroup_name

SYSTEM = (
    *("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32", "/etc", "/opt", "/nix"),
    *("/var/lib/dpkg", "/sys/devices/system/cpu", "/run/systemd/resolve"),
)
READABLE = (*SYSTEM, "/var/lib", "/sys", "/run/resolvconf")


def kept(argv: Sequence[str], cage: Cage, *, uid: int | None) -> tuple[str, ...]:
    """The command that runs `argv` under the keeper, as `uid` when there is one."""
    spec = {
        "mode": "keep",
        "uid": uid,
        "work": str(cage.work),
        "readable": [str(one) for one in cage.readable],
        "limits": {"memory": cage.limits.memory, "processes": cage.limits.processes, "file_size": cage.limits.file_size},
        "cgroup": cgroup_name(cage.work) if os.geteuid() == 0 else "",
        "landlock": uid is not None,
        "system": list(READABLE),
    }
    return (sys.executable, "-I", "-S", launcher.__file__, json.dumps(spec), *argv)
