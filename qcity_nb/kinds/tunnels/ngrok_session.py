"""One agent of ngrok's and its endpoint: the start with a deadline of our own, the log as it is printed, the end of the process as an event.

Of pyngrok 9.1: its start blocks while the agent prints nothing, its health stays good after the session is gone, and its calls that look at the agent
start a new one when it died. So its start runs in a thread whose agent is killed, and everything later is asked of the agent itself.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import shutil
import subprocess
import threading
import time
from collections import deque
from collections.abc import Mapping
from datetime import datetime, timezone
from http.client import HTTPException
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...decide import ngrok as decide
from ...decide import providers
from ...decide.ngrok import Event, Sign
from ...errors import TunnelError
from ...io.agents import GRACE_SECONDS, ask, digested, end, ending, in_thread, kill
from ...model.tunnel import Fault, Reach

if TYPE_CHECKING:
    from pyngrok.conf import PyngrokConfig
    from pyngrok.log import NgrokLog
    from pyngrok.process import NgrokProcess

EVERY_SECONDS = 300.0
"""A free account has 20,000 requests a month: one in five minutes is 8,640."""
AWAY_SECONDS = 3.0
"""How long its session may be gone, while it reconnects by itself, before its address is given up."""
ONLINE_SECONDS, AGAIN_SECONDS = 30.0, 1.0
"""How long the address of our own last life may be online still, and seconds between two tries."""
ANSWER_SECONDS, REQUEST_SECONDS, LOOK_SECONDS = 1.0, 4.0, 0.2
LINES, TRIES = 200, 5
"""Lines of the log that are kept, and how often the agent may try to reach ngrok at its start: the fifth comes after two to three seconds."""
_SECRETS: set[str] = set()
_STARTING = threading.Lock()
"""pyngrok holds a lock for as long as a start takes; whoever waits for it could not be stopped any more."""


class NgrokSession:
    """An agent and its endpoint."""

    reach, every = Reach.PUBLIC, EVERY_SECONDS
    headers: Mapping[str, str] = decide.SKIP

    def __init__(self, config: PyngrokConfig, folder: Path, *, secret: str) -> None:
        self.url, self.binary = "", ""
        self.pid = 0
        self.lines: deque[str] = deque(maxlen=LINES)
        self._config, self._folder, self._secret = config, folder, secret
        self._loop = asyncio.get_running_loop()
        self._over: asyncio.Future[TunnelError] = self._loop.create_future()
        self._given_up, self._in_vain = False, 0
        self._process: subprocess.Popen[str] | None = None
        self._api = ""
        self._away: asyncio.TimerHandle | None = None
        config.log_event_callback = self._hear

    async def start(self, deadline: float, seconds: float) -> None:
        """Start the agent, by `deadline` (of `time.monotonic`).

        Raises:
            TunnelError: it did not start; nothing of it is left.
        """
        _hide(self._secret)
        starting = in_thread(self._start)
        try:
            await asyncio.wait({starting}, timeout=deadline - time.monotonic())
        finally:
            if not starting.done():
                await self._stop_starting(starting)
        if self._given_up:
            raise self._failed("", late=f" within {seconds:g} s")
        try:
            process = starting.result()
        except TunnelError:
            raise
        except Exception as error:  # noqa: BLE001  # pyngrok's own, OSError, what its parsers raise: all are a start that failed
            raise self._failed(str(error)) from None
        self._api = str(process.api_url).removeprefix("http://")
        in_thread(lambda: self._read(process.proc)).add_done_callback(lambda _done: self._ended())

    async def put_up(self, port: int, domain: str, deadline: float, seconds: float) -> None:
        """Have the agent put up an endpoint that leads to `port`, by `deadline`.

        Raises:
            TunnelError: ngrok refused, with the class of its code, or did not answer.
        """
        wanted: dict[str, Any] = {"name": f"qcity-{port}", "upstream": {"url": f"http://127.0.0.1:{port}"}}
        if domain:
            wanted["url"] = f"https://{domain}"
        patience = time.monotonic() + ONLINE_SECONDS
        while True:
            error, again = await self._asked(wanted, max(0.1, min(REQUEST_SECONDS, deadline - time.monotonic())))
            if self.url:
                self.lines.clear()  # what was refused on the way says nothing about a later end
                return
            if error is not None and not (decide.code(str(error)) == decide.ALREADY_ONLINE and time.monotonic() < patience):
                raise error
            await asyncio.wait({self._over}, timeout=max(0.0, min(again, deadline - time.monotonic())))
            if self._over.done():
                raise self._over.result()
            if time.monotonic() >= deadline:
                raise error or TunnelError(f"ngrok gave no address within {seconds:g} s", "It is tried again", fault=Fault.DEADLINE)

    async def named(self, path: str, known: asyncio.Future[str]) -> None:
        """Show which program it is, its digest as soon as that is known."""
        version = ""
        _, body = await ask(self._api, "/api/status", seconds=ANSWER_SECONDS)
        with contextlib.suppress(ValueError, AttributeError):
            version = str(json.loads(body).get("agent_version") or "")
        said = decide.support(version, datetime.now(timezone.utc).date())
        await digested(known, lambda sha256: setattr(self, "binary", providers.shown(path, version, sha256, said)))

    async def lost(self) -> TunnelError:
        """Its process ended, or its session is gone and does not come back."""
        return await asyncio.shield(self._over)

    async def unwell(self) -> TunnelError | None:
        """What the log said last, and the agent's own status."""
        if self._over.done():
            return self._over.result()
        if self._away is not None:
            return _away()
        status, body = await ask(self._api, "/api/status", seconds=ANSWER_SECONDS)
        if status != 200:
            return TunnelError("ngrok's agent does not answer", "It is started anew where that lasts", fault=Fault.SILENT)
        with contextlib.suppress(ValueError, AttributeError):
            return None if json.loads(body).get("status", "online") == "online" else _away()
        return None

    async def close(self, *, grace: float = GRACE_SECONDS) -> None:
        """End the agent, so that ngrok takes the address down at once, and remove its files."""
        self._given_up = True
        if self._away is not None:
            self._away.cancel()
        if self._process is not None:
            await end(self._process, grace=grace)
        with contextlib.suppress(Exception):  # it only forgets what is dead; whatever it raises changes nothing
            from pyngrok import process

            process.kill_process(self._config.ngrok_path)
        shutil.rmtree(self._folder, ignore_errors=True)

    def _start(self) -> NgrokProcess:
        """In a thread: pyngrok's start, and what it left unread when the agent ended."""
        from pyngrok import process

        while not _STARTING.acquire(timeout=LOOK_SECONDS):
            if self._given_up:
                raise TimeoutError
        try:
            if self._given_up:
                raise TimeoutError
            _spare_loopback()
            return process.get_process(self._config)
        except Exception:
            if self._process is not None and self._process.stdout is not None:
                kill(self._process)
                for line in self._process.stdout.read().splitlines():
                    self._keep(line)
            raise
        finally:
            _STARTING.release()

    async def _stop_starting(self, starting: asyncio.Future[NgrokProcess]) -> None:
        """Kill the agent that is being started, until the thread that waits for its words has returned."""
        self._given_up = True
        for _ in range(20):
            self._find()
            if self._process is not None:
                kill(self._process)
            await asyncio.wait({starting}, timeout=0.02)
            if starting.done():
                return

    def _find(self) -> None:
        """The process that pyngrok has started: it has no public name before the start is over, and a start that hangs is never over."""
        from pyngrok import process

        found = getattr(process, "_current_processes", {}).get(self._config.ngrok_path)
        if found is not None:
            self._process = found.proc
            self.pid = found.proc.pid

    def _hear(self, log: NgrokLog) -> None:
        """A line, in the thread of the start: the callback of pyngrok."""
        if self._process is None:
            self._find()
        said = decide.event(self._keep(log.line))
        self._in_vain += said is not None and said.sign is Sign.RECONNECTING
        if self._in_vain >= TRIES and self._process is not None:
            kill(self._process)  # which ends the start: the next provider need not wait for the whole deadline of this one

    def _keep(self, line: str) -> str:
        line = line.replace(self._secret, "…")  # 105 quotes the token
        self.lines.append(line)
        return line

    def _read(self, process: subprocess.Popen[str]) -> None:
        """In a thread: the log after the start, until the process ended."""
        while process.stdout is not None:
            try:
                raw = process.stdout.readline()
            except ValueError:  # no UTF-8
                continue
            if not raw:
                break
            said = decide.event(self._keep(raw.strip()))
            if said is not None:
                with contextlib.suppress(RuntimeError):  # the loop is closed
                    self._loop.call_soon_threadsafe(self._note, said)
        process.wait()

    def _note(self, said: Event) -> None:
        """What a line means for the session."""
        if said.sign is Sign.ESTABLISHED and self._away is not None:
            self._away.cancel()
            self._away = None
        elif said.sign in (Sign.CLOSED, Sign.HEARTBEAT, Sign.RECONNECTING) and self._away is None:
            self._away = self._loop.call_later(AWAY_SECONDS, lambda: self._end(_away()))
        if self._away is not None and (known := decide.error(said.text)) is not None and known.fault is not Fault.NETWORK:
            self._end(known)

    def _ended(self) -> None:
        words = next((said.text for said in map(decide.event, reversed(self.lines)) if said and said.sign is Sign.ERROR), "")
        how = words[:120].rstrip(" .") or (ending(self._process) if self._process else "")
        self._end(decide.error(*reversed(self.lines)) or TunnelError(f"ngrok's agent ended ({how})", "It is started anew", fault=Fault.DIED))

    def _end(self, error: TunnelError) -> None:
        if not self._over.done():
            self._over.set_result(error)

    def _failed(self, said: str, *, late: str = "") -> TunnelError:
        """Why a start failed, from all that was printed; `late` when it was ended because its time was over."""
        if known := decide.error(*self.lines, said):
            return known
        found = [one for one in map(decide.event, list(self.lines)) if one and one.text and one.sign in (Sign.ERROR, Sign.RECONNECTING)]
        words = (found[0].text if found else said.replace(self._secret, "…"))[:160].rstrip(" .")
        what = f"ngrok's agent did not start{late}" + (f" ({words})" if words else ": it said nothing" if late else "")
        if any(one.sign is Sign.RECONNECTING for one in found):
            return TunnelError(what, "Check that this machine may reach ngrok (TCP 443): ngrok diagnose", fault=Fault.NETWORK)
        return TunnelError(what, "Run it by hand to see more: ngrok diagnose", fault=Fault.DEADLINE if late else Fault.OTHER)

    async def _asked(self, wanted: dict[str, Any], seconds: float) -> tuple[TunnelError | None, float]:
        """One request for the endpoint: its error, or None where it may be tried again, and in how many seconds."""
        from pyngrok import ngrok
        from pyngrok.exception import PyngrokError, PyngrokNgrokHTTPError

        asked = in_thread(lambda: ngrok.api_request(f"http://{self._api}/api/endpoints", "POST", data=wanted, timeout=seconds))
        first: set[asyncio.Future[Any]] = {asked, self._over}
        await asyncio.wait(first, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        if self._over.done():
            raise self._over.result()
        if not asked.done():
            return None, 0.0
        try:
            said = asked.result()
            self.url = str(said.get("url") or said.get("public_url") or "").rstrip("/")
        except PyngrokNgrokHTTPError as error:
            headers = {str(name): str(value) for name, value in dict(error.headers or {}).items()}
            found = decide.code(error.body, headers=headers)
            if found == decide.NOT_READY or (found is None and error.status_code == 503):
                return None, LOOK_SECONDS
            if found is None and error.status_code == 404:
                return TunnelError("ngrok's agent is too old: it has no endpoints", "Update it: ngrok update", fault=Fault.TOO_OLD), 0.0
            other = TunnelError(f"ngrok's agent refused the endpoint (status {error.status_code})", "Its log says more", fault=Fault.OTHER)
            return decide.error(error.body, headers=headers) or other, AGAIN_SECONDS
        except (PyngrokError, HTTPException, OSError, ValueError, AttributeError):  # no answer, half of one, or none that can be read
            return None, LOOK_SECONDS
        return None, LOOK_SECONDS


def _away() -> TunnelError:
    return TunnelError("ngrok's agent has lost its session with ngrok", "It reconnects by itself where it can", fault=Fault.SILENT)


def _hide(secret: str) -> None:
    """The logger of pyngrok passes on all that the agent prints, and 105 quotes the token."""
    _SECRETS.add(secret)
    logger = logging.getLogger("pyngrok.process.ngrok")
    if _redacted not in logger.filters:
        logger.addFilter(_redacted)


def _redacted(record: logging.LogRecord) -> bool:
    for secret in _SECRETS:
        record.msg = str(record.msg).replace(secret, "…")
    return True


def _spare_loopback() -> None:
    """Else pyngrok would ask the agent through the proxy of the environment, which knows nothing of our loopback."""
    for name in ("no_proxy", "NO_PROXY"):
        here = [one for one in os.environ.get(name, "").split(",") if one]
        if "127.0.0.1" not in here and "*" not in here:
            os.environ[name] = ",".join([*here, "127.0.0.1", "localhost"])
