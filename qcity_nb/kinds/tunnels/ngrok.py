"""ngrok, by pyngrok, which starts the agent and speaks its API of endpoints. How long that takes and whether it lives is watched by us.

None of pyngrok's calls that would start another agent or install one is used after the start. The token is in a file of mode 0600, never in an argv.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import shlex
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

from ...decide import providers
from ...errors import NotFound, TunnelError
from ...io import secrets
from ...io.agents import digest, in_thread
from ...io.files import write_atomic
from ...model.tunnel import Fault
from ...ports import Target, TunnelProvider
from .ngrok_session import NgrokSession

OPTIONS = ("path", "sha256", "domain", "region", "token", "download")
CREDENTIAL, VARIABLE = "ngrok", "NGROK_AUTHTOKEN"
REGION = re.compile(r"[a-z]{2}(-[a-z]{2,4}-\d)?")
SETTINGS = {"update_check": False, "log_level": "info", "heartbeat_interval": "3s", "heartbeat_tolerance": "5s"}
"""Of the agent. Its own heartbeat of 10 s and 15 s of patience would show a dead path after 25 s."""
INSTALL = 'Install ngrok (ngrok\'s package, or its download page) and put it on PATH, or name it: path; or let pyngrok download it: download = "yes"'


class Ngrok:
    """Tunnels of the kind `ngrok`."""

    secrets: tuple[str, ...] = ("token",)

    def check(self, options: Mapping[str, str]) -> None:
        """`path`, `sha256`: the agent and what its file has to be. `domain`: a domain of the account. `token`: the name of its credential.

        `region`: where it connects to. `download`: yes lets pyngrok fetch the agent when there is none.
        """
        providers.known_options("ngrok", options, OPTIONS)
        providers.matching("ngrok", options, "sha256", providers.DIGEST, "64 hexadecimal digits")
        providers.matching("ngrok", options, "domain", providers.HOST, "app.ngrok.app, without https://")
        providers.matching("ngrok", options, "region", REGION, "eu")
        providers.choice("ngrok", options, "download", ("yes", "no"))

    async def open(self, target: Target) -> NgrokSession:
        """Start an agent of our own and have it put up one endpoint."""
        self.check(target.options)
        end = time.monotonic() + target.deadline
        try:
            from pyngrok.conf import PyngrokConfig
        except ImportError:
            raise TunnelError("the tunnel provider ngrok needs the package pyngrok", 'pip install "qcity-nb[tunnel]"', fault=Fault.MISSING) from None
        token = _token(target)
        path = await _program(target.options, target.deadline)
        known = in_thread(lambda: digest(path))
        wanted = target.options.get("sha256", "").lower()
        if wanted and (found := await known) != wanted:
            todo = "Look where it came from, or change the option sha256"
            raise TunnelError(f"{path} is not the program that was named: its SHA-256 is {found}", todo, fault=Fault.REFUSED)
        folder = _prepared(path, token, target)
        config = PyngrokConfig(
            ngrok_path=str(folder / "ngrok"),  # pyngrok keeps one agent for each path: one of our own is an agent of our own
            config_path=str(folder / "ngrok.yml"),
            region=target.options.get("region"),
            monitor_thread=False,  # the session reads the log itself: pyngrok's thread leaves the last words of a dead agent unread
            startup_timeout=int(target.deadline) + 10,  # ours rules
            start_new_session=True,
        )
        config.auth_token = None  # else the environment's would be put into the agent's argv
        session = NgrokSession(config, folder, secret=token)
        try:
            await session.start(end, target.deadline)
            await session.put_up(target.port, target.options.get("domain", ""), end, target.deadline)
            await session.named(path, known)
        except BaseException:
            await session.close(grace=0)
            raise
        return session


def _token(target: Target) -> str:
    name = target.options.get("token", CREDENTIAL)
    with contextlib.suppress(NotFound):
        return secrets.load(target.home, name)
    token = os.environ.get(VARIABLE, "").strip()
    if not token or not token.isascii() or not token.isprintable() or " " in token:
        todo = f"Copy the authtoken from ngrok's page and set it in the environment ({VARIABLE}), or keep it as the credential {name}"
        raise TunnelError(f"there is no token for ngrok (credential {name})", todo, fault=Fault.MISSING)
    return token


def _found(options: Mapping[str, str]) -> tuple[str, str]:
    """The agent's path, empty when there is none; and where a download would put it."""
    from pyngrok import conf

    asked = options.get("path", "")
    usual = Path(asked or os.environ.get("PYNGROK_NGROK_PATH") or conf.DEFAULT_NGROK_PATH).expanduser()
    for path in (usual,) if asked else (usual, *(Path(one, "ngrok") for one in os.get_exec_path())):
        if path.is_file() and os.access(path, os.X_OK) and not _is_pyngrok(path):
            return str(path.absolute()), str(usual)
    return "", str(usual)


async def _program(options: Mapping[str, str], deadline: float) -> str:
    """The agent's path; it is downloaded only when that was allowed."""
    from pyngrok import installer
    from pyngrok.exception import PyngrokError

    path, where = _found(options)
    if path:
        return path
    if options.get("download") != "yes":
        what = f"there is no program {where}" if options.get("path") else "ngrok's agent is not installed here"
        raise TunnelError(what, INSTALL, fault=Fault.MISSING)
    loading = in_thread(lambda: installer.install_ngrok(where))
    try:
        await asyncio.wait_for(asyncio.shield(loading), deadline)
    except (asyncio.TimeoutError, TimeoutError):
        what = f"ngrok's agent is not downloaded after {deadline:g} s"
        raise TunnelError(what, "It goes on; try again in a minute", fault=Fault.DEADLINE) from None
    except (PyngrokError, OSError) as error:
        raise TunnelError(f"ngrok's agent cannot be downloaded ({error})", INSTALL, fault=Fault.MISSING) from None
    return where


def _is_pyngrok(path: Path) -> bool:
    """Whether it is pyngrok's own command of the same name, which is on PATH wherever pyngrok is and would download an agent."""
    with path.open("rb") as file:
        start = file.read(512)
    return start.startswith(b"#!") and b"pyngrok" in start


def _prepared(path: str, token: str, target: Target) -> Path:
    """A folder with the agent's configuration and a way to it that is this session's only."""
    target.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix="ngrok-", dir=target.folder))
    write_atomic(folder / "ngrok.yml", json.dumps({"version": "3", "agent": {"authtoken": token, **SETTINGS}}))  # JSON is YAML
    lines = ("#!/bin/sh", f"unset {VARIABLE} NGROK_API_KEY", f'exec {shlex.quote(path)} "$@"')  # the environment's token would win over the file's
    write_atomic(folder / "ngrok", "\n".join(lines) + "\n", mode=0o700)
    return folder



KIND: TunnelProvider = Ngrok()
