"""Makes what the platforms offer for download: archives of the scripted listener, evil ones too, and gitlab-runner with its checksums.

A program is its modules packed into one executable file that the interpreter which made it runs with `-I -S`: quick to start, and independent of any
environment.
"""

from __future__ import annotations

import hashlib
import io
import json
import platform
import py_compile
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Sequence
from enum import Enum
from functools import cache
from pathlib import Path
from typing import Any

VERSION, GITLAB_VERSION = "2.336.0", "19.4.0"
"""The versions of the agents when a test does not care."""
_HERE = Path(__file__).parent
_LISTENER = ("console", "jobs", "listener", "messages", "script", "settings", "update", "wire")
_LOOPS = ("console", "loops", "script")
_WORKER = ("console", "wire", "worker")
_GITLAB = ("console", "gljobs", "gllog", "glrunner", "script", "settings", "wire")
_CONFIG_SH = """#!/bin/bash
cd "$(dirname "$0")" || exit 1
if [ "$1" = remove ]; then exec bin/Runner.Listener "$@"; fi
exec bin/Runner.Listener configure "$@"
"""


class Evil(Enum):
    """What is wrong with an archive."""

    PARENT = "a member ../../evil"
    ABSOLUTE = "an absolute name"
    LINK = "a symbolic link that leads out"
    HARD_LINK = "a hard link that leads out"
    DEVICE = "a device"
    TRUNCATED = "it ends in the middle"
    GARBAGE = "it is no archive"


def archive(version: str = VERSION, *, script: Any = None, evil: Evil | None = None) -> bytes:
    """`actions-runner-linux-x64-VERSION.tar.gz`, as `FakeGitHub.offer` takes it.

    Args:
        script: what its listener is told to do wrong, packed beside it (see `script`).
        evil: what is wrong with the archive itself.
    """
    if evil is Evil.GARBAGE:
        return b"<html>not an archive</html>"
    files = {"bin/Runner.Listener": listener(version), "bin/Runner.Worker": worker(), "externals/node20/.keep": b""}
    files |= {"config.sh": _CONFIG_SH.encode(), "bin/runnerversion": version.encode()}
    files |= {"run.sh": executable(_LOOPS, "loops.run_sh()"), "runsvc.sh": executable(_LOOPS, "loops.service()")}
    if script is not None:
        files["bin/script.json"] = json.dumps(script).encode()
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz", compresslevel=1) as file:
        for name, content in files.items():
            _add(file, name, content)
        if evil is not None:
            _spoil(file, evil)
    whole = packed.getvalue()
    return whole[: len(whole) // 2] if evil is Evil.TRUNCATED else whole


def listener(version: str = VERSION) -> bytes:
    """bin/Runner.Listener: one executable file."""
    return executable(_LISTENER, f"listener.main({version!r})")


def worker() -> bytes:
    """bin/Runner.Worker."""
    return executable(_WORKER, "worker.main()")


def install(root: Path, version: str = VERSION, *, script: Any = None) -> Path:
    """Unpack an archive into a folder; the listener's path."""
    root.mkdir(parents=True, exist_ok=True)
    with tarfile.open(fileobj=io.BytesIO(archive(version, script=script))) as file:
        file.extraction_filter = lambda member, _: member  # our own archive: nothing to hold back, and Python 3.12 warns where nothing is said
        for member in file:
            file.extract(member, root)
    return root / "bin/Runner.Listener"


@cache
def executable(modules: Sequence[str], call: str) -> bytes:
    """Modules of this package in one file that runs `call`, an expression for the exit code."""
    entry = call.partition(".")[0]
    start = f"import os\nfrom agents import {entry}\ncode = {call}\nos._exit(code)\n"
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as file, tempfile.TemporaryDirectory() as folder:
        sources = {"__main__": start, "agents/__init__": ""} | {f"agents/{name}": (_HERE / f"{name}.py").read_text() for name in modules}
        for name, text in sources.items():
            plain, compiled = Path(folder) / "one.py", Path(folder) / "one.pyc"
            plain.write_text(text)
            py_compile.compile(str(plain), str(compiled), f"{name}.py", doraise=True, invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH)
            file.writestr(zipfile.ZipInfo(f"{name}.py"), text)
            file.writestr(zipfile.ZipInfo(f"{name}.pyc"), compiled.read_bytes())
    return f"#!{_interpreter()} -IS\n".encode() + packed.getvalue()


def gitlab_runner(version: str = GITLAB_VERSION) -> bytes:
    """gitlab-runner: one executable file. Its script lies beside it as `script.json`, or the environment names one."""
    return executable(_GITLAB, f"glrunner.main({version!r})")


def gitlab_release(version: str = GITLAB_VERSION, *, machine: str = "") -> dict[str, bytes]:
    """What GitLab publishes for a machine (this one, unless it is named), by its path below the downloads' address: the file, `release.sha256`."""
    machine = machine or ("arm64" if platform.machine() in ("aarch64", "arm64") else "amd64")
    name, program = f"gitlab-runner-linux-{machine}", gitlab_runner(version)
    return {f"binaries/{name}": program, "release.sha256": sums({name: program})}


def sums(files: dict[str, bytes]) -> bytes:
    """`release.sha256`: a line for each file below `binaries/`."""
    return "".join(f"{hashlib.sha256(content).hexdigest()} *binaries/{name}\n" for name, content in files.items()).encode()


def _interpreter() -> str:
    """The interpreter itself, not a virtual environment's link to it, which would look for its settings at every start."""
    return str(Path(sys.executable).resolve())


def _add(file: tarfile.TarFile, name: str, content: bytes) -> None:
    member = tarfile.TarInfo(name)
    member.size, member.mode = len(content), 0o755
    file.addfile(member, io.BytesIO(content))


def _spoil(file: tarfile.TarFile, evil: Evil) -> None:
    names = {Evil.PARENT: "../../evil", Evil.ABSOLUTE: "/tmp/evil"}  # noqa: S108 - a name that must be refused
    if evil in names:
        _add(file, names[evil], b"evil")
    kinds = {Evil.LINK: tarfile.SYMTYPE, Evil.HARD_LINK: tarfile.LNKTYPE, Evil.DEVICE: tarfile.CHRTYPE}
    if evil in kinds:
        member = tarfile.TarInfo("bin/evil")
        member.type, member.linkname = kinds[evil], "" if evil is Evil.DEVICE else "../../../etc/passwd"
        file.addfile(member)


