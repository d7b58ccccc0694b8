"""A machine that has less: `python lesser.py SPEC ARGV...` runs a command in namespaces of its own, which end with what runs in them. For root.

SPEC is JSON: `hide` are paths of files that are not there, `disk` are folders, each a small disk of its own with these options, `map` says which
uids there are, `userns` how many user namespaces may be made, `uid` who runs the command, `open` what that uid has to reach.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path

LIBC = ctypes.CDLL(None, use_errno=True)
CLONE_NEWNS, CLONE_NEWUSER, MS_BIND, MS_REC, MS_PRIVATE = 0x20000, 0x10000000, 4096, 0x4000, 1 << 18
NOT_PERMITTED = 77


def check(result: int) -> None:
    if result:
        print(f"namespaces and mounts of one's own are not permitted here: {os.strerror(ctypes.get_errno())}")
        sys.exit(NOT_PERMITTED)


def mount(source: str, target: Path, kind: str | None = None, flags: int = 0, options: str | None = None) -> None:
    check(LIBC.mount(source.encode(), os.fsencode(target), kind.encode() if kind else None, flags, options.encode() if options else None))


def open_up(trees: Sequence[Path]) -> None:
    """Make each tree reachable for everybody: what lies in the way and is closed gets covered by an open folder that holds only these trees."""
    handles = {tree: os.open(tree, os.O_PATH) for tree in trees}
    covered: list[Path] = []
    for tree in trees:
        closed = next((one for one in (*reversed(tree.parents), tree) if not one.stat().st_mode & 1), None)
        if closed is not None:
            mount("tmpfs", closed, "tmpfs", 0, "mode=755")
            covered.append(closed)
        if any(tree.is_relative_to(one) for one in covered):
            tree.mkdir(parents=True, exist_ok=True)
            mount(f"/proc/self/fd/{handles[tree]}", tree, None, MS_BIND | MS_REC)


def enter(uids: str, most: str) -> None:
    """Go on in a user namespace with these uids, in which no more than `most` further ones can be made."""
    here, there = os.pipe(), os.pipe()
    child = os.fork()
    if child == 0:
        check(LIBC.unshare(CLONE_NEWUSER))
        os.write(here[1], b"!")
        os.read(there[0], 1)
        Path("/proc/sys/user/max_user_namespaces").write_text(most)
        return
    os.read(here[0], 1)
    with contextlib.suppress(OSError):
        for name in ("uid_map", "gid_map"):
            Path(f"/proc/{child}/{name}").write_text(uids)
    os.write(there[1], b"!")
    sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))


def main() -> None:
    spec, argv = json.loads(sys.argv[1]), sys.argv[2:]
    check(LIBC.unshare(CLONE_NEWNS))
    mount("none", Path("/"), None, MS_REC | MS_PRIVATE)
    for path in spec.get("hide", ()):
        mount("/dev/null", Path(path), None, MS_BIND)
    for path, options in spec.get("disk", {}).items():
        mount("tmpfs", Path(path), "tmpfs", 0, options)
    open_up([Path(path) for path in spec.get("open", ())])
    if "userns" in spec:
        enter(spec.get("map", "0 0 65537"), str(spec["userns"]))
    if uid := spec.get("uid"):
        os.setgroups([])
        os.setresgid(uid, uid, uid)
        os.setresuid(uid, uid, uid)
    os.execv(argv[0], argv)


if __name__ == "__main__":
    main()
