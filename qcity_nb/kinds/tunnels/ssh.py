"""Tunnels over SSH, with asyncssh: a server of one's own, and the services that speak the same protocol. No program is downloaded.

Its key has to be known before (known_hosts is obeyed), who we are is proved by a key or an agent. The port there is asked for anew each time:
an old one may still be held by a connection that nobody has noticed to be dead.
"""

from __future__ import annotations

import asyncio
import contextlib
import getpass
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...decide import providers
from ...errors import BadInput, MissingTool, TunnelError
from ...model.tunnel import Fault, Reach
from ...ports import Target

if TYPE_CHECKING:
    import asyncssh

KEEPALIVE, MISSES = 1.0, 2
"""A server that is frozen is given up by the connection after this, in seconds and times, if the probes have not said it earlier."""
KNOWN = "~/.ssh/known_hosts"
OPTIONS = ("host", "port", "user", "key", "known_hosts", "bind", "remote_port", "url")
HOST = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._:-]*")
URL = re.compile(rb"https?://[A-Za-z0-9][A-Za-z0-9.-]*\.[a-z]{2,}(?::\d+)?")


@dataclass(frozen=True, kw_only=True)
class Preset:
    """A service that gives an address to whoever asks for a port: how it is asked, and which of the addresses that it prints is ours."""

    host: str
    port: int = 22
    user: str = ""
    remote_port: int = 80
    command: str | None = None
    url: re.Pattern[bytes] = URL
    every: float = 60.0
    headers: Mapping[str, str]


PRESETS = {
    "localhost.run": Preset(
        host="localhost.run",
        user="nokey",
        command="--output json",
        url=re.compile(rb"https://[a-z0-9-]+\.(?:lhr\.life|lhr\.rocks|localhost\.run)"),
        headers={},
    ),
    "pinggy": Preset(
        host="a.pinggy.io",
        port=443,
        user="a",
        remote_port=0,
        url=re.compile(rb"https://[a-z0-9-]+(?:\.[a-z0-9-]+)*\.pinggy(?:-free)?\.(?:link|online|io)"),
        headers={"X-Pinggy-No-Screen": "1"},
    ),
    "serveo": Preset(
        host="serveo.net",
        url=re.compile(rb"https://[a-z0-9-]+\.(?:serveo\.net|serveousercontent\.com)"),
        headers={"serveo-skip-browser-warning": "1"},
    ),
    "ngrok-ssh": Preset(
        host="connect.ngrok-agent.com",
        user="v2",
        command="http",
        url=re.compile(rb"https://[a-z0-9-]+\.ngrok(?:-free)?\.(?:app|dev|io)"),
        every=300.0,
        headers={"ngrok-skip-browser-warning": "1"},
    ),
}
"""Written from what those services print, as their documentation and others' code has it; nobody could try them from here."""


class Session:
    """One connection and the port that it holds there."""

    binary = ""

    def __init__(self, connection: asyncssh.SSHClientConnection, url: str, *, reach: Reach, every: float, headers: Mapping[str, str]) -> None:
        self._connection, self.url, self.reach, self.every, self.headers = connection, url, reach, every, headers

    async def lost(self) -> TunnelError:
        """Until the connection ended."""
        await self._connection.wait_closed()
        return TunnelError("its connection ended", "Another one is made", fault=Fault.DIED)

    async def unwell(self) -> TunnelError | None:
        """The connection says it itself."""
        return None

    async def close(self) -> None:
        """End the connection, and the port there with it."""
        self._connection.abort()
        with contextlib.suppress(Exception):  # it is over, however it ended
            await asyncio.wait_for(self._connection.wait_closed(), 1)


class Ssh:
    """A tunnel through a server, one's own or a service's.

    Args:
        preset: the service.
    """

    secrets: tuple[str, ...] = ()

    def __init__(self, preset: Preset | None = None) -> None:
        self._preset = preset

    def check(self, options: Mapping[str, str]) -> None:
        """Options: host, port, user, key (a file), known_hosts (a file), bind and remote_port (there), url (its address there, with `{port}`)."""
        providers.known_options("ssh", options, OPTIONS)
        host = options.get("host") or (self._preset.host if self._preset else "")
        if host and not HOST.fullmatch(host):
            raise BadInput(f'ssh.host is "{host}"', "Write the name or the address of a machine")
        if not host:
            raise TunnelError("no server is named", "Name yours: --option ssh.host=HOST (and ssh.user, ssh.key)", fault=Fault.MISSING)
        for name in ("port", "remote_port"):
            if not options.get(name, "0").isdecimal() or not 0 <= int(options.get(name, "0")) < 65536:
                raise BadInput(f"ssh.{name} is {options[name]}", "A port is a number up to 65535")

    async def open(self, target: Target) -> Session:
        """Connect, and ask for a port there."""
        try:
            import asyncssh
        except ImportError:
            raise MissingTool("tunnels over SSH need the package asyncssh", 'pip install "qcity-nb[tunnel]"') from None
        self.check(target.options)
        preset, options = self._preset, target.options
        host = options.get("host") or (preset.host if preset else "")
        port = int(options.get("port") or (preset.port if preset else 22))
        try:
            connection = await self._connect(host, port, options, target.deadline)
        except (OSError, asyncssh.Error, asyncio.TimeoutError, TimeoutError) as error:
            raise _refusal(error, host, port, options) from None
        try:
            return await self._forward(connection, host, target)
        except BaseException as error:
            connection.abort()
            if isinstance(error, asyncssh.ChannelListenError):
                which = f" {options['remote_port']}" if options.get("remote_port") else ""
                text = f"{host} gives no port{which}: it is taken, or its server allows none"
                raise TunnelError(text, "AllowTcpForwarding in its sshd_config says what is allowed", fault=Fault.CONFLICT) from None
            if isinstance(error, (OSError, asyncssh.Error)):
                raise _refusal(error, host, port, options) from None
            raise

    async def _connect(self, host: str, port: int, options: Mapping[str, str], seconds: float) -> asyncssh.SSHClientConnection:
        import asyncssh

        known = _file(options.get("known_hosts") or KNOWN)
        user = options.get("user") or (self._preset.user if self._preset else "") or getpass.getuser()
        key: dict[str, Any] = {"client_keys": [str(_file(options["key"]))], "agent_path": None} if options.get("key") else {}
        return await asyncssh.connect(
            host,
            port,
            username=user,
            known_hosts=str(known) if known.is_file() else b"",
            preferred_auth=("none", "publickey", "keyboard-interactive") if self._preset else "publickey",
            connect_timeout=seconds,
            login_timeout=seconds,
            keepalive_interval=KEEPALIVE,
            keepalive_count_max=MISSES,
            **key,
        )

    async def _forward(self, connection: asyncssh.SSHClientConnection, host: str, target: Target) -> Session:
        options, preset = target.options, self._preset
        wanted = int(options.get("remote_port") or (preset.remote_port if preset else 0))
        bind = options.get("bind", "" if preset is None else "localhost")
        listener = await connection.forward_remote_port(bind, wanted, "127.0.0.1", target.port)
        if preset is not None:
            url = await _banner(connection, preset)
            return Session(connection, url, reach=Reach.PUBLIC, every=preset.every, headers=preset.headers)
        given = listener.get_port()
        url = options.get("url", "http://{host}:{port}").format(host=host, port=given).rstrip("/")
        reach = Reach.MACHINE if providers.is_loopback(bind) or providers.is_loopback(host) else Reach.PUBLIC
        return Session(connection, url, reach=reach, every=1.0, headers={})


def _file(given: str) -> Path:
    return Path(given).expanduser()


async def _banner(connection: asyncssh.SSHClientConnection, preset: Preset) -> str:
    """The address that a service prints once it has one."""
    process = await connection.create_process(preset.command, encoding=None, term_type=None)
    seen = b""
    while len(seen) < 64 << 10:
        piece = await process.stdout.read(4096)
        if not piece:
            break
        seen += piece
        if found := preset.url.search(seen):
            return found[0].decode()
    last = seen.decode("utf-8", "replace").strip().splitlines()[-1:] or ["nothing"]
    raise TunnelError(f"{preset.host} printed no address (its last word: {last[0][:120]})", fault=Fault.OTHER)


def _refusal(error: Exception, host: str, port: int, options: Mapping[str, str]) -> TunnelError:
    """What a connection that was not made means."""
    import asyncssh

    known = _file(options.get("known_hosts") or KNOWN)
    if isinstance(error, (asyncio.TimeoutError, TimeoutError)) or "timeout" in str(error).lower():
        text = f"{host} port {port} did not answer in time"
        return TunnelError(text, "Check its name and its port; a firewall in between says nothing, too", fault=Fault.DEADLINE)
    if isinstance(error, asyncssh.HostKeyNotVerifiable):
        todo = f"ssh-keyscan -p {port} {host} >> {known} adds it; compare it with what its owner says before you trust it"
        return TunnelError(f"the key of {host} port {port} is not the one known in {known}", todo, fault=Fault.REFUSED)
    if isinstance(error, asyncssh.PermissionDenied):
        todo = f"ssh-copy-id -p {port} {host} puts it there; or name another one: ssh.key=FILE"
        return TunnelError(f"{host} does not take our key", todo, fault=Fault.TOKEN)
    if isinstance(error, (asyncssh.KeyImportError, FileNotFoundError)):
        return TunnelError(f"the key {options.get('key', '')} cannot be used ({error})", "Name a private key's file: ssh.key=FILE", fault=Fault.TOKEN)
    why = (error.strerror or str(error)).lower() if isinstance(error, OSError) else str(error) or "the connection was closed"
    offline = isinstance(error, OSError) and ("unreachable" in why or "resolution" in why or "not known" in why)
    text = f"{host} port {port} cannot be reached by SSH ({why})"
    return TunnelError(text, "Check its name, its port and that its SSH server runs", fault=Fault.NETWORK if offline else Fault.DIED)


SSH = Ssh()
LOCALHOST_RUN, PINGGY, SERVEO, NGROK_SSH = (Ssh(PRESETS[name]) for name in ("localhost.run", "pinggy", "serveo", "ngrok-ssh"))
