"""The bench of tunnels over SSH: ours beside OpenSSH's own client, against one real sshd. `--quick`: fewer rounds.

It prints a table with ratios from this one run and asserts nothing. The start of Python is not counted for us, nor is that of `ssh` left out: it is
what a restart costs each of them. OpenSSH's client is taken twice, as it comes and with the options that make it notice.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import re
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from measures import WATCH, Row, first_byte, median, shown

from qcity_nb.errors import TunnelError
from qcity_nb.kinds.tunnels.ssh import SSH, Session
from qcity_nb.model.home import Home
from qcity_nb.ports import Target
from qcity_nb.testing import sshd
from qcity_nb.testing.edge import NonceApp

PLAIN, TUNED = "OpenSSH", "OpenSSH, tuned"
OPTIONS = {PLAIN: (), TUNED: ("ServerAliveInterval=1", "ServerAliveCountMax=2", "ConnectTimeout=1")}
"""What makes OpenSSH's client as watchful as ours."""


class SshScene:
    """One app, one server at a time, three contestants."""

    def __init__(self, folder: Path, app: NonceApp, rounds: int) -> None:
        self.folder, self.app, self.rounds = folder, app, rounds

    def rows(self) -> list[Row]:
        """All that is measured here."""
        with sshd.Sshd() as server:
            asyncio.run(self._warm(server))
            timed = {"ours": median(self.rounds, lambda: asyncio.run(self._ours(server)))}
            for who in OPTIONS:
                timed[who] = median(self.rounds, lambda who=who: self._theirs(server, who))  # type: ignore[misc]
        names = ("to the URL", "to the first verified byte", "killed session noticed")
        found: list[Row] = [(f"ssh: {name}", who, took[index]) for index, name in enumerate(names) for who, took in timed.items()]
        found.append(("ssh: frozen session noticed", "ours", asyncio.run(self._frozen())))
        found += [("ssh: frozen session noticed", who, self._frozen_theirs(who)) for who in OPTIONS]
        found.append(("ssh: a start that hangs, 1 s given", "ours", asyncio.run(self._mute())))
        return found + [("ssh: a start that hangs, 1 s given", who, self._mute_theirs(who)) for who in OPTIONS]

    def _open(self, options: dict[str, str], deadline: float = 15.0) -> asyncio.Future[Session]:
        target = Target(name="b", port=self.app.port, folder=self.folder, home=Home(self.folder), options=options, deadline=deadline)
        return asyncio.ensure_future(SSH.open(target))

    async def _warm(self, server: sshd.Sshd) -> None:
        """Modules are loaded once for each pilot."""
        await (await self._open(server.options)).close()

    async def _ours(self, server: sshd.Sshd) -> tuple[float, float, float]:
        began = time.monotonic()
        session = await self._open(server.options)
        there = time.monotonic() - began
        byte = await asyncio.to_thread(first_byte, session.url) - began
        losing = asyncio.ensure_future(session.lost())
        await asyncio.sleep(0)
        began = time.monotonic()
        await asyncio.to_thread(server.cut)
        await losing
        lost = time.monotonic() - began
        await session.close()
        return there, byte, lost

    def _theirs(self, server: sshd.Sshd, who: str) -> tuple[float, float, float]:
        began = time.monotonic()
        client, url = self._client(server, who)
        there = time.monotonic() - began
        byte = first_byte(url) - began
        began = time.monotonic()
        server.cut()
        client.wait(WATCH)
        return there, byte, time.monotonic() - began

    async def _frozen(self) -> float | None:
        with sshd.Sshd() as server:
            session = await self._open(server.options)
            server.freeze()
            began = time.monotonic()
            done, _ = await asyncio.wait({asyncio.ensure_future(session.lost())}, timeout=WATCH)
            took = time.monotonic() - began
            await session.close()
        return took if done else None

    def _frozen_theirs(self, who: str) -> float | None:
        with sshd.Sshd() as server:
            client, _ = self._client(server, who)
            server.freeze()
            return _ends(client)

    async def _mute(self) -> float:
        with _mute() as port:
            began = time.monotonic()
            with contextlib.suppress(TunnelError):
                await self._open({"host": "127.0.0.1", "port": str(port), "user": "x"}, 1.0)
            return time.monotonic() - began

    def _mute_theirs(self, who: str) -> float | None:
        with _mute() as port:
            argv = ["ssh", "-F", "none", "-N", "-T", "-o", "BatchMode=yes", *_set(who), "-p", str(port), "-R", "127.0.0.1:0:127.0.0.1:1"]
            return _ends(subprocess.Popen([*argv, "x@127.0.0.1"], stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL))

    def _client(self, server: sshd.Sshd, who: str) -> tuple[subprocess.Popen[str], str]:
        """OpenSSH's client with a remote port of the server's choice, and its address."""
        argv = ["ssh", "-F", "none", "-N", "-T", "-o", "BatchMode=yes", "-o", "ExitOnForwardFailure=yes", "-o", f"UserKnownHostsFile={server.known}"]
        argv += ["-o", "IdentitiesOnly=yes", "-i", str(server.key), "-p", str(server.port), *_set(who)]
        argv += ["-R", f"127.0.0.1:0:127.0.0.1:{self.app.port}", f"{server.user}@127.0.0.1"]
        client = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        assert client.stderr is not None
        for line in client.stderr:
            if found := re.search(r"Allocated port (\d+)", line):
                return client, f"http://127.0.0.1:{found[1]}"
        raise RuntimeError("ssh did not forward")


@contextlib.contextmanager
def _mute() -> Iterator[int]:
    """The port of a server that takes connections and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as listening:  # the kernel takes them; nobody answers
        yield int(listening.getsockname()[1])


def _set(who: str) -> list[str]:
    return [word for option in OPTIONS[who] for word in ("-o", option)]


def _ends(client: subprocess.Popen[str] | subprocess.Popen[bytes]) -> float | None:
    """Seconds until a client ends by itself; None: not within `WATCH`, then it is ended."""
    began = time.monotonic()
    try:
        client.wait(WATCH)
    except subprocess.TimeoutExpired:
        client.kill()
        client.wait()
        return None
    return time.monotonic() - began


def main() -> None:
    """Run the scene."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="three rounds of each instead of ten")
    folder, app = Path(tempfile.mkdtemp(prefix="qcity-ssh-")), NonceApp()
    try:
        shown(SshScene(folder, app, 3 if parser.parse_args().quick else 10).rows(), head=True)
    finally:
        app.close()
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
