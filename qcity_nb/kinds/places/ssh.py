"""A host over SSH, with asyncssh. Its key has to be known before; who we are is proved by a key or an agent, never by a password.

Every script is a connection of its own, so that one that breaks costs one script. Data (wheels, tokens) goes over standard input.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import shlex
import threading
from collections.abc import Callable, Coroutine, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...decide import places, remote
from ...decide.remote import Said
from ...errors import BadInput, MissingTool, PlaceError
from ...model.fleet import PlaceConfig
from ...model.home import Home
from ...model.place import Ruling, Sighting
from .hosted import LOOK_SECONDS, OPTIONS, Heard, Hosted

if TYPE_CHECKING:
    import asyncssh

CONNECT_SECONDS = 20.0
KEEPALIVE_SECONDS = 10
PIECE, LOOK = 1 << 16, 0.2
"""Bytes read at once, and seconds between two looks at whether what goes on is still wanted."""
HOST = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._:-]*")
USER = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._@-]*")


class SshShell:
    """The shell of a user on a host.

    Args:
        known_hosts: the file of keys that hosts may have.
        key: our private key's file; empty means those of `~/.ssh` and of an agent.
    """

    def __init__(self, host: str, port: int, user: str, *, known_hosts: Path, key: str) -> None:
        self._host, self._port, self._user, self._known, self._key = host, port, user, known_hosts, key

    def run(self, script: str, data: bytes = b"", *, seconds: float = LOOK_SECONDS) -> Said:
        """Run a script there."""
        return self._settled(lambda: asyncio.wait_for(self._run(script, data), seconds), seconds)

    def talk(self, script: str, data: bytes, heard: Heard, over: threading.Event) -> Said:
        """Run a script there for as long as it takes, its standard input open until it is over."""
        return self._settled(lambda: self._talk(script, data, heard, over), 0)

    def _settled(self, what: Callable[[], Coroutine[Any, Any, Said]], seconds: float) -> Said:
        try:
            import asyncssh
        except ImportError:
            raise MissingTool("places over SSH need the package asyncssh", 'pip install "qcity-nb[ssh]"') from None
        try:
            return asyncio.run(what())
        except asyncssh.HostKeyNotVerifiable:
            raise self._untrusted(asyncssh) from None
        except asyncssh.PermissionDenied:
            who = f"{self._user}@{self._host}" if self._user else self._host
            todo = f"ssh-copy-id -p {self._port} {who} puts your key there; or name another one: key = …"
            raise PlaceError(f"{who} does not take our key", todo, permanent=True) from None
        except (asyncssh.KeyImportError, asyncssh.KeyEncryptionError) as error:
            todo = "Name a private key's file; one with a passphrase belongs into an agent (ssh-add)"
            raise PlaceError(f"the key {self._key} cannot be used ({error})", todo, permanent=True) from None
        except FileNotFoundError as error:
            raise PlaceError(f"there is no {error.filename or self._key}", "Name the file of your private key: key = …", permanent=True) from None
        except (TimeoutError, asyncio.TimeoutError):
            raise PlaceError(f"{self._host} has not done what was asked within {seconds:.0f} s", "It may still go on there; try again") from None
        except (OSError, asyncssh.Error) as error:
            if "host key" in str(error).lower():
                raise self._untrusted(asyncssh) from None
            number = getattr(error, "errno", None) or 0
            why = os.strerror(number).lower() if isinstance(error, OSError) and number > 0 else str(error) or "the connection was closed"
            todo = "Check its name, its port and that its SSH server runs; what was done there is kept, so try again"
            raise PlaceError(f"{self._host} port {self._port} cannot be reached by SSH ({why})", todo) from None

    def _connecting(self) -> Any:
        import asyncssh

        known = str(self._known) if self._known.is_file() else b""
        return asyncssh.connect(
            self._host,
            self._port,
            **({"username": self._user} if self._user else {}),
            **({"client_keys": [self._key], "agent_path": None} if self._key else {}),
            known_hosts=known,
            preferred_auth="publickey",
            connect_timeout=CONNECT_SECONDS,
            login_timeout=CONNECT_SECONDS,
            keepalive_interval=KEEPALIVE_SECONDS,
        )

    async def _run(self, script: str, data: bytes) -> Said:
        import asyncssh

        async with self._connecting() as connection:
            done = await connection.run(_command(script), input=data, encoding=None, check=False)
        if done.exit_status is None or done.exit_status < 0:
            raise asyncssh.ConnectionLost("the connection ended in the middle")
        return Said(code=done.exit_status, out=_text(done.stdout), err=_text(done.stderr))

    async def _talk(self, script: str, data: bytes, heard: Heard, over: threading.Event) -> Said:
        import asyncssh

        async with self._connecting() as connection, connection.create_process(_command(script), encoding=None) as process:
            process.stdin.write(data)
            words, left = asyncio.ensure_future(process.stderr.read()), b""
            reading = asyncio.ensure_future(process.stdout.read(PIECE))
            while True:
                await asyncio.wait({reading}, timeout=LOOK)
                if over.is_set() and not process.stdin.is_closing():
                    process.stdin.write_eof()
                if not reading.done():
                    continue
                piece = reading.result()
                if not piece:
                    break
                reading = asyncio.ensure_future(process.stdout.read(PIECE))
                *lines, left = (left + piece).split(b"\n")
                for line in lines:
                    heard(_text(line))
            await process.wait_closed()
            if process.exit_status is None or process.exit_status < 0:
                raise asyncssh.ConnectionLost("the connection ended in the middle")
            return Said(code=process.exit_status, out="", err=_text(await words))

    def _untrusted(self, library: asyncssh) -> PlaceError:  # type: ignore[valid-type]  # the module itself
        """A host whose key is not known is another case than one whose key changed."""
        expected: Sequence[object] = ()
        with contextlib.suppress(OSError, ValueError):
            expected = library.match_known_hosts(library.read_known_hosts(str(self._known)), self._host, "", self._port)[0]  # type: ignore[attr-defined]
        name = self._host if self._port == 22 else f"[{self._host}]:{self._port}"
        if expected:
            what = f"{name} shows another key than the one in {self._known}: it was set up anew, or somebody stands in between"
            todo = f'Ask whoever runs it; if it is right: ssh-keygen -f {self._known} -R "{name}", then add the new key'
            return PlaceError(what, todo, permanent=True)
        todo = f"ssh-keyscan -p {self._port} {self._host} >> {self._known} adds it; compare it with what its owner says before you trust it"
        return PlaceError(f"the key of {name} is not known in {self._known}", todo, permanent=True)


def _command(script: str) -> str:
    return f"exec /bin/sh -c {shlex.quote(script)}"


def _text(raw: object) -> str:
    return raw.decode("utf-8", "replace") if isinstance(raw, bytes) else str(raw or "")


class Ssh:
    """Places of the kind `ssh`."""

    def open(self, config: PlaceConfig, *, home: Home, sightings: Sequence[Sighting] = ()) -> Hosted:
        """A host: `host`, and `user`, `port`, `key`, `known_hosts` where they are not the usual ones."""
        options = config.options
        places.known_options(config, ("host", "user", "port", "key", "known_hosts", *OPTIONS))
        host, user, port = places.asked(config, "host", "Name the machine"), options.get("user", ""), options.get("port", "22")
        if not HOST.fullmatch(host) or (user and not USER.fullmatch(user)) or not port.isdecimal() or not 0 < int(port) < 65536:
            what = f"{user + '@' if user else ''}{host} port {port} is no address (place {config.name})"
            raise BadInput(what, "Write host, user and port, each on its own")
        known = Path(options.get("known_hosts") or "~/.ssh/known_hosts").expanduser()
        key = str(Path(options["key"]).expanduser()) if options.get("key") else ""
        site = remote.site(options.get("folder") or f".qcity/{config.name}", python=options.get("python", ""))
        return Hosted(config, SshShell(host, int(port), user, known_hosts=known, key=key), site, Ruling())


KIND = Ssh()
