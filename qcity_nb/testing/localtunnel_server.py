"""A stand-in of a localtunnel server on loopback: the protocol of the npm package, with a public port for each tunnel instead of a name in the DNS.

Its script (`script.json` beside it, read again all the time): `status` and `body`: its answer to whoever wants a tunnel. `mute`: it answers nothing.
`slots`: connections that it allows. `shut`: it closes the ports of its tunnels. `closes`: it takes connections only to close them.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

from .edge import install, tell, told

START_SECONDS, LOOK_SECONDS, WAIT_SECONDS, PIECE = 15.0, 0.02, 5.0, 1 << 16


class LocaltunnelServer:
    """The server as a process of its own, from `start` to `kill`."""

    def __init__(self, folder: Path, **script: Any) -> None:
        self.folder = folder
        self._path = install(folder, "server", "localtunnel_server", **script)
        self.process: subprocess.Popen[bytes] | None = None
        self.url = ""

    def start(self) -> None:
        """Listen, and wait until it does.

        Raises:
            RuntimeError: it did not begin.
        """
        (self.folder / "port").unlink(missing_ok=True)
        self.process = subprocess.Popen([str(self._path)], stdin=subprocess.DEVNULL, start_new_session=True)
        end = time.monotonic() + START_SECONDS
        while time.monotonic() < end and self.process.poll() is None:
            if (self.folder / "port").exists():
                self.url = f"http://127.0.0.1:{(self.folder / 'port').read_text()}"
                return
            time.sleep(LOOK_SECONDS)
        raise RuntimeError("the stand-in of a localtunnel server did not begin")

    def tell(self, **script: Any) -> None:
        """Change what it is told."""
        tell(self.folder, **script)

    def kill(self) -> None:
        """End it as a crash would."""
        if self.process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.process.pid, signal.SIGKILL)
            self.process.wait()


class _Tunnel:
    """A relay port for the client's connections and a public port for visitors, paired one to one."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.idle: asyncio.Queue[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = asyncio.Queue()
        self.servers: list[asyncio.Server] = []

    async def open(self) -> tuple[int, int]:
        """Listen. Returns the relay port and the public one."""
        self.servers = [await asyncio.start_server(way, "127.0.0.1", 0) for way in (self._client, self._visitor)]
        relay, public = (int(server.sockets[0].getsockname()[1]) for server in self.servers)
        return relay, public

    async def _client(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if told(self.folder).get("closes"):
            writer.close()
            return
        await self.idle.put((reader, writer))

    async def _visitor(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                other, out = await asyncio.wait_for(self.idle.get(), WAIT_SECONDS)
                if not other.at_eof() and not out.is_closing():
                    break
            ways = {asyncio.ensure_future(_pump(reader, out)), asyncio.ensure_future(_pump(other, writer))}
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
            out.close()
        except (OSError, asyncio.TimeoutError):
            pass
        finally:
            writer.close()


class _Server:
    def __init__(self, folder: Path) -> None:
        self.folder, self.tunnels = folder, list[_Tunnel]()

    async def asked(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One request for a tunnel."""
        line = (await reader.readline()).decode()
        while (await reader.readline()).strip():
            pass
        while told(self.folder).get("mute"):  # noqa: ASYNC110  # a file tells, not an event
            await asyncio.sleep(LOOK_SECONDS)
        script, name = told(self.folder), line.split(" ")[1].strip("/?")
        tunnel = _Tunnel(self.folder)
        relay, public = await tunnel.open()
        self.tunnels.append(tunnel)
        said: Any = {"id": "stand-in" if name == "new" else name, "port": relay, "max_conn_count": script.get("slots", 10)}
        body = script.get("body", json.dumps({**said, "url": f"http://127.0.0.1:{public}"})).encode()
        writer.write(f"HTTP/1.1 {script.get('status', 200)} -\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n".encode() + body)
        await writer.drain()
        writer.close()

    async def run(self) -> None:
        """Listen, and do what the script says."""
        front = await asyncio.start_server(self.asked, "127.0.0.1", 0)
        temporary = self.folder / ".port"
        temporary.write_text(str(front.sockets[0].getsockname()[1]))
        temporary.rename(self.folder / "port")
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            if told(self.folder).get("shut"):
                for tunnel in self.tunnels:
                    for server in tunnel.servers:
                        server.close()
                    while not tunnel.idle.empty():
                        tunnel.idle.get_nowait()[1].close()


def main(folder: Path, _argv: list[str]) -> int:
    """The program; it ends with its process only."""
    asyncio.run(_Server(folder).run())
    return 0


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while piece := await reader.read(PIECE):
            writer.write(piece)
            await writer.drain()
