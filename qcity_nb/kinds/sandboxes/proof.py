"""Proving a sandbox: a small attack is run inside it, and its level is what the attack could not do.

A level is never derived from what is installed; what could not be proved is said in words.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path

from ...io.files import walkable
from ...model.service import Sandbox
from ...ports import Cage, SandboxKind
from . import release

# Each line prints one word for something that must not be possible. The shell's own redirections are tried, so that no tool has to be there.
ATTACK = r"""
[ "$(id -u)" = 0 ] && echo root
(: < "$1/secret") 2>/dev/null && echo secret
(: > "$1/written") 2>/dev/null && echo write
(: > /etc/qcity-probe) 2>/dev/null && echo system
(read -r v < /proc/sys/vm/stat_interval && echo "$v" > /proc/sys/vm/stat_interval) 2>/dev/null && echo sysctl
(: < "/proc/$2/environ") 2>/dev/null && echo environ
(kill -0 "$2") 2>/dev/null && echo kill
[ "$3" != 0 ] && (: < "/dev/tcp/127.0.0.1/$3") 2>/dev/null && echo loopback
(echo proof > proof) 2>/dev/null && echo worked
"""
WORDS = {
    "root": "it runs as root",
    "secret": "private files of the home can be read",
    "write": "files outside of the work folder can be written",
    "system": "the system can be written",
    "sysctl": "kernel settings can be changed",
    "environ": "the environment of other processes can be read",
    "kill": "other processes can be ended",
    "loopback": "services of this machine can be reached",
}
SPARE_UID = 60099
# What `partial` may still allow: everything else keeps a kind from that level too.
PARTIAL_MAY = frozenset({"loopback"})


def prove(kind: SandboxKind, claim: Sandbox, label: str, *, explain: Callable[[str], str] | None = None) -> tuple[Sandbox, str]:
    """Attack `kind` and return the level it deserves, `claim` at most, with what is missing for more.

    Args:
        explain: makes a clause for a person of the last words of a sandbox that does not work at all.
    """
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        folder = Path(tempfile.mkdtemp(prefix="qcity-proof-", dir=_where(claim)))
        try:
            if claim is Sandbox.PARTIAL:
                folder.chmod(0o711)  # another uid has to walk through, and no mount helps it here
            succeeded = _attack(kind, folder, listener.getsockname()[1])
        except subprocess.TimeoutExpired as error:
            succeeded = f"it has not answered in {error.timeout:.0f} s"
        except OSError as error:
            succeeded = error.strerror or str(error)
        finally:
            release(folder / "work")
            shutil.rmtree(folder, ignore_errors=True)
    if isinstance(succeeded, str):
        return Sandbox.NONE, explain(succeeded) if explain else f"{label} does not work here ({succeeded})"
    if not succeeded:
        return claim, ""
    words = f"{label}: " + ", ".join(WORDS[one] for one in WORDS if one in succeeded)
    if claim.rank >= Sandbox.PARTIAL.rank and succeeded <= PARTIAL_MAY:
        return Sandbox.PARTIAL, words
    return Sandbox.NONE, words


def _where(claim: Sandbox) -> str | None:
    """Where the attack takes place: like a job of another uid, in a folder that it can reach. Root's own for temporary files may be closed."""
    closed = claim is Sandbox.PARTIAL and not walkable(Path(tempfile.gettempdir()))
    return "/var/tmp" if closed else None  # noqa: S108 - a fresh folder of our own in it


def _attack(kind: SandboxKind, folder: Path, port: int) -> frozenset[str] | str:
    work = folder / "work"
    work.mkdir()
    (folder / "secret").write_text("secret")
    (folder / "secret").chmod(0o600)
    uid = SPARE_UID if os.geteuid() == 0 else None
    if uid is not None:
        try:
            os.chown(work, uid, uid)
        except OSError as error:
            return f"root may not give a folder away, {str(error.strerror).lower()}: run qcity as an ordinary user, or as root of the machine itself"
    cage = Cage(work=work, uid=uid, env={"PATH": os.defpath})
    argv = kind.wrap(["/bin/bash", "-c", ATTACK, "attack", str(folder), str(os.getpid()), str(port)], cage=cage)
    done = subprocess.run(argv, env=dict(cage.env), stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=20, check=False)
    words = done.stdout.split()
    if "worked" not in words or not (work / "proof").exists():
        return (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
    return frozenset(words) & frozenset(WORDS)
