"""A real OpenSSH server on loopback, with keys and configuration of its own, for as long as a `with` block lasts. It never touches the machine's own.

Only Debian's `sshd` is needed. It runs as whoever runs the test and lets in that user by one key.
"""

from __future__ import annotations

import getpass
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import psutil
    from typing_extensions import Self

START_SECONDS = 20.0


def program() -> str:
    """Where sshd is; empty when it is not installed."""
    return shutil.which("sshd") or shutil.which("sshd", path="/usr/sbin:/usr/local/sbin") or ""


class Sshd:
    """The server.

    Args:
        env: what its sessions have in their environment; HOME and PATH too.
        user: who may come in; None means whoever runs this.
        command: what every session runs, whatever it asked for.

    Attributes:
        key: the private key that is let in; `stranger` is one that is not.
        known: a known_hosts file with this server's key.
    """

    def __init__(self, env: Mapping[str, str] | None = None, *, user: str | None = None, command: str = "") -> None:
        self.env, self.user, self.command = dict(env or {}), user or getpass.getuser(), command
        self.folder = Path(tempfile.mkdtemp(prefix="qcity-sshd-"))
        self.folder.chmod(0o755)
        self.key, self.stranger, self.known = self.folder / "key", self.folder / "stranger", self.folder / "known_hosts"
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = int(probe.getsockname()[1])
        self._server: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        for path in (self.key, self.stranger, self.folder / "host"):
            self._make_key(path)
        (self.folder / "authorized_keys").write_bytes(self.key.with_suffix(".pub").read_bytes())
        (self.folder / "authorized_keys").chmod(0o644)  # it is read as whoever comes in
        self.trust(self.folder / "host.pub")
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)

    @property
    def options(self) -> dict[str, str]:
        """The options of a place of the kind `ssh` that is this server."""
        return {"host": "127.0.0.1", "port": str(self.port), "user": self.user, "key": str(self.key), "known_hosts": str(self.known)}

    def trust(self, public: Path) -> None:
        """Make this public key the one that is known of the server."""
        self.known.write_text(f"[127.0.0.1]:{self.port} {' '.join(public.read_text().split()[:2])}\n")

    def start(self) -> None:
        """Listen, and wait until it does.

        Raises:
            RuntimeError: it did not begin; what it said is in the error.
        """
        sets = " ".join(f'"{key}={value}"' for key, value in self.env.items())
        lines = [
            f"ListenAddress 127.0.0.1:{self.port}",
            f"HostKey {self.folder / 'host'}",
            f"AuthorizedKeysFile {self.folder / 'authorized_keys'}",
            "PidFile none",
            "PasswordAuthentication no",
            "KbdInteractiveAuthentication no",
            "PermitRootLogin prohibit-password",
            "StrictModes no",
            f"UsePAM {'no' if self.user == getpass.getuser() else 'yes'}",  # without PAM, accounts that have no password may not come in
            "PrintMotd no",
            *([f"SetEnv {sets}"] if sets else []),
            *([f"ForceCommand {self.command}"] if self.command else []),
        ]
        (self.folder / "config").write_text("\n".join(lines) + "\n")
        if os.geteuid() == 0:
            Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)  # where it gives up its rights; Debian's service makes it
        with (self.folder / "log").open("ab") as log:
            command = [program(), "-D", "-e", "-f", str(self.folder / "config")]
            self._server = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)
        end = time.monotonic() + START_SECONDS
        while time.monotonic() < end and self._server.poll() is None:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            time.sleep(0.02)
        raise RuntimeError(f"sshd did not begin: {(self.folder / 'log').read_text()}")

    def kill(self) -> None:
        """End the server and every connection at once, as a crash would; what was started through it is in sessions of its own."""
        if self._server is None:
            return
        self.cut()
        os.kill(self._server.pid, signal.SIGKILL)
        self._server.wait()
        self._server = None

    def cut(self) -> int:
        """Cut the connections that are open, and nothing else; how many there were."""
        found = self._sessions()
        for one in found:
            one.kill()
        return len(found)

    def freeze(self) -> int:
        """Stop the connections that are open, as a machine that hangs would; how many there were. `kill` ends them all the same."""
        found = self._sessions()
        for one in found:
            one.suspend()
        return len(found)

    def _sessions(self) -> list[psutil.Process]:
        import psutil

        if self._server is None:
            return []
        return [one for one in psutil.Process(self._server.pid).children(recursive=True) if one.name().startswith("sshd")]  # sshd-session, since 9.8

    def _make_key(self, path: Path) -> None:
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(path)], check=True, stdin=subprocess.DEVNULL)
