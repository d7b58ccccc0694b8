"""cloudflared: a quick tunnel of Cloudflare's by the agent that is installed here. No account is needed.

What counts is `/ready` of its metrics, because it prints an address, and names it in `/quicktunnel`, before a single connection is there.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import shutil
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

from ...decide import cloudflared as decide
from ...decide import providers
from ...errors import TunnelError
from ...io.agents import Agent, ask, digest, digested, ending, free_port, in_thread
from ...model.tunnel import Fault, Reach
from ...ports import Target, TunnelProvider

OPTIONS = ("path", "sha256", "protocol", "quick-service", "edge")
LOOK_SECONDS, ANSWER_SECONDS = 0.05, 1.0
EVERY_SECONDS = 300.0
VERSION = re.compile(r"\bVersion (\d\S*)")
INSTALL = "Install cloudflared (Cloudflare's package, or its release page) and put it on PATH; or name it: path"


class CloudflaredSession:
    """A quick tunnel's agent, for as long as it lives."""

    reach, every = Reach.PUBLIC, EVERY_SECONDS

    def __init__(self, agent: Agent, metrics: str, folder: Path) -> None:
        self.url, self.binary = "", ""
        self.headers: Mapping[str, str] = {}
        self.agent, self._metrics, self._folder = agent, metrics, folder

    async def lost(self) -> TunnelError:
        """Its process ended."""
        await self.agent.ended.wait()
        return self.died()

    async def unwell(self) -> TunnelError | None:
        """Whether it has a connection, as it says itself."""
        if self.agent.ended.is_set():
            return self.died()
        status, _ = await ask(self._metrics, "/ready", seconds=ANSWER_SECONDS)
        if status == 200:
            return None
        said = "has no connection to Cloudflare" if status else "does not answer"
        return TunnelError(f"cloudflared {said}", "It reconnects by itself where it can", fault=Fault.SILENT)

    async def close(self) -> None:
        """End the agent and remove its files."""
        with contextlib.suppress(OSError):
            await self.agent.end()
        shutil.rmtree(self._folder, ignore_errors=True)

    async def named(self, known: asyncio.Future[str]) -> None:
        """Show which program it is, its digest as soon as that is known."""
        found = next(filter(None, map(VERSION.search, self.agent.lines())), None)
        path, version = self.agent.argv[0], found[1] if found else ""
        await digested(known, lambda sha256: setattr(self, "binary", providers.shown(path, version, sha256)))

    async def begun(self) -> None:
        """Wait until it has an address and a connection.

        Raises:
            TunnelError: its process ended first.
        """
        while not self.agent.ended.is_set():
            if not self.url:
                status, body = await ask(self._metrics, "/quicktunnel", seconds=ANSWER_SECONDS)
                with contextlib.suppress(ValueError, AttributeError):
                    host = json.loads(body).get("hostname") if status == 200 else ""
                    self.url = (host if "://" in host else f"https://{host}").rstrip("/") if host else ""
            if self.url and (await ask(self._metrics, "/ready", seconds=ANSWER_SECONDS))[0] == 200:
                return
            with contextlib.suppress(asyncio.TimeoutError, TimeoutError):
                await asyncio.wait_for(self.agent.ended.wait(), LOOK_SECONDS)
        raise self.died()

    def died(self) -> TunnelError:
        """Why its process ended, by its last words."""
        lines = self.agent.lines()
        words = decide.last_words(lines) or (ending(self.agent.process) if self.agent.process else "")
        return decide.error(lines) or TunnelError(f"cloudflared ended ({words})", "It is started anew", fault=Fault.DIED)

    def late(self, seconds: float) -> TunnelError:
        """Why there is no address yet, by its last words."""
        said = "an address but no connection to Cloudflare" if self.url else "no address"
        known = decide.error(self.agent.lines())
        todo = known.todo if known else "Check that this machine may reach Cloudflare (TCP 443, TCP and UDP 7844)"
        return TunnelError(f"cloudflared has {said} after {seconds:g} s", todo, fault=Fault.DEADLINE)


class Cloudflared:
    """Tunnels of the kind `cloudflared`."""

    secrets: tuple[str, ...] = ()

    def check(self, options: Mapping[str, str]) -> None:
        """`path`: the program. `sha256`: what its file has to be. `protocol`: auto, http2 where UDP is closed, or quic."""
        providers.known_options("cloudflared", options, OPTIONS)
        providers.choice("cloudflared", options, "protocol", ("auto", "http2", "quic"))
        providers.matching("cloudflared", options, "sha256", providers.DIGEST, "64 hexadecimal digits")

    async def open(self, target: Target) -> CloudflaredSession:
        """Start the agent and wait until it is ready."""
        self.check(target.options)
        began = time.monotonic()
        path = _program(target.options)
        known = in_thread(lambda: digest(path))
        wanted = target.options.get("sha256", "").lower()
        if wanted and (found := await known) != wanted:
            todo = "Look where it came from, or change the option sha256"
            raise TunnelError(f"{path} is not the program that was named: its SHA-256 is {found}", todo, fault=Fault.REFUSED)
        session = _prepared(path, target)
        try:
            session.agent.start()
            await asyncio.wait_for(session.begun(), max(0.05, target.deadline - (time.monotonic() - began)))
        except BaseException as error:
            late = session.late(target.deadline) if isinstance(error, (asyncio.TimeoutError, TimeoutError)) else None
            await session.agent.end(grace=0)
            await session.close()
            if late is not None:
                raise late from None
            if isinstance(error, OSError):
                raise TunnelError(f"{path} cannot be started ({error.strerror})", INSTALL, fault=Fault.MISSING) from None
            raise
        await session.named(known)
        return session


def _program(options: Mapping[str, str]) -> str:
    asked = options.get("path", "")
    path = shutil.which(str(Path(asked).expanduser()) if asked else "cloudflared")
    if path is None:
        raise TunnelError(f"there is no program {asked}" if asked else "cloudflared is not installed here", INSTALL, fault=Fault.MISSING)
    return path


def _prepared(path: str, target: Target) -> CloudflaredSession:
    target.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix="cloudflared-", dir=target.folder))
    config = folder / "config.yml"
    config.write_text("{}\n")  # an own, empty one: a person's config.yml with ingress rules keeps quick tunnels from starting
    metrics = f"127.0.0.1:{free_port()}"
    argv = [path, "tunnel", "--config", str(config), "--no-autoupdate", "--metrics", metrics]
    for name in ("protocol", "quick-service", "edge"):
        if name in target.options:
            argv += [f"--{name}", target.options[name]]
    argv += ["--url", f"http://127.0.0.1:{target.port}"]
    env = {name: value for name, value in os.environ.items() if not name.startswith("TUNNEL_")}  # each is a flag: TUNNEL_TOKEN makes another tunnel
    return CloudflaredSession(Agent(argv, log=folder / "log", env=env), metrics, folder)


KIND: TunnelProvider = Cloudflared()
