"""A stand-in of ngrok's agent, version 3, that pyngrok starts by its path.

It prints the lines of the real one, speaks the API of endpoints, and serves the public side itself on loopback.

Its script (`script.json` beside it, read again all the time): `token`: the only good one. `version`. `mute`: it prints nothing at all.
`offline`: it reaches nothing. `start_code`: its session is refused with this code, and it ends. `endpoint_codes`: how it refuses the first requests
for an endpoint (104 is "not ready"; 0 waits for ever). `port`: of the public side. `session`: up, heartbeat or closed, at any time; `session_code`:
with which code it is refused then.
`hang`: its API answers no more. `interstitial`: programs need the header. `public_code`: what visitors get. `die`: it ends with this code now.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import re
import signal
import sys
import threading
import time
from collections.abc import Mapping
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from .edge import Answer, Server, install, note, passed_on, told

VERSION = "3.39.8"
LOOK_SECONDS = 0.02
WORDS = {
    105: "authentication failed: The authtoken you specified does not look like a proper ngrok authtoken.\nYour authtoken: {token}",
    107: "authentication failed: The authtoken you specified is properly formed, but it is invalid.\nYour authtoken: {token}",
    108: "authentication failed: Your account is limited to 3 simultaneous ngrok agent sessions.",
    121: "authentication failed: Your ngrok-agent version is too old. The minimum supported agent version for your account is higher.",
    334: "failed to start tunnel: The endpoint 'https://one.ngrok.example' is already online.",
    4018: "authentication failed: Usage of ngrok requires a verified account and authtoken.",
}


def make(folder: Path, **script: Any) -> Path:
    """An agent in this folder; its path."""
    return install(folder, "ngrok", "ngrok_agent", **script)


def say(level: str, message: str, **fields: str) -> None:
    """Print a line as the agent does: logfmt."""
    stamp = datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%S+0000")
    rest = " ".join(f"{key}={value if re.fullmatch(r'[^ =]+', value) else json.dumps(value)}" for key, value in fields.items())
    print(f"t={stamp} lvl={level} msg={json.dumps(message)} {rest}".rstrip(), flush=True)  # noqa: T201  # it is a program


class _Agent:
    def __init__(self, folder: Path, token: str) -> None:
        self.folder, self.token = folder, token
        self.up = True
        self.endpoints: dict[str, dict[str, Any]] = {}
        self.requests: list[dict[str, Any]] = []
        self.refused = itertools.count()
        self.api = Server(self.asked)

    def words(self, code: int) -> str:
        """What ngrok says with a code."""
        text = WORDS.get(code, f"ngrok said no with {code}").format(token=self.token)
        return f"{text}\r\n\r\nERR_NGROK_{code}\r\n"

    def refuse(self, code: int) -> int:
        """The session is refused; these are the last words of an agent that ends."""
        say("eror", "failed to reconnect session", obj="tunnels.session", err=self.words(code))
        say("eror", "session closing", obj="tunnels.session", err=self.words(code))
        say("eror", "terminating with error", obj="app", err=self.words(code))
        say("crit", "command failed", err=self.words(code))
        sys.stdout.write("".join(f"ERROR:  {line}\n" for line in self.words(code).splitlines()))
        sys.stdout.flush()
        return 1

    def asked(self, method: str, path: str, _headers: Mapping[str, str], body: bytes) -> Answer:
        """The API of the agent."""
        while told(self.folder).get("hang"):
            time.sleep(LOOK_SECONDS)
        path = path.partition("?")[0]
        if path == "/api/status":
            said = {"status": "online" if self.up else "reconnecting", "agent_version": told(self.folder).get("version", VERSION), "uri": path}
            return _json(200, {**said, "session": {"legs": [{"region": "eu", "latency": "10ms"}]}})
        if path == "/api/requests/http":
            return _json(200, {"requests": self.requests, "uri": path})
        if path == "/api/endpoints" and method == "GET":
            return _json(200, {"endpoints": list(self.endpoints.values()), "uri": path})
        if path == "/api/endpoints" and method == "POST":
            return self.put_up(json.loads(body))
        if path.startswith("/api/endpoints/") and method == "DELETE":
            self.endpoints.pop(path.rpartition("/")[2], None)
            return 204, {}, b""
        return _json(404, {"error_code": 100, "status_code": 404, "msg": "not found", "details": {}})

    def put_up(self, wanted: dict[str, Any]) -> Answer:
        """A new endpoint, or a refusal."""
        codes = told(self.folder).get("endpoint_codes", [])
        number = next(self.refused)
        if number < len(codes):
            code = int(codes[number])
            while not code:
                time.sleep(LOOK_SECONDS)
            if code == 104:
                return _json(503, {"error_code": 104, "status_code": 503, "msg": "ngrok is not yet ready to start tunnels", "details": {"err": "a"}})
            say("warn", "failed to start tunnel", pg="/api/endpoints", err=self.words(code))
            return _json(502, {"error_code": 103, "status_code": 502, "msg": "failed to start tunnel", "details": {"err": self.words(code)}})
        upstream = str(wanted["upstream"]["url"])
        public = Server(lambda *request: self.visited(upstream, *request), int(told(self.folder).get("port", 0)))
        made = {"name": wanted["name"], "url": public.url, "upstream": {"url": upstream, "protocol": "http1"}, "ID": os.urandom(8).hex()}
        self.endpoints[str(wanted["name"])] = made
        say("info", "started endpoint", obj="endpoints", name=str(wanted["name"]), addr=upstream, url=public.url)
        return _json(201, made)

    def visited(self, upstream: str, method: str, path: str, headers: Mapping[str, str], body: bytes) -> Answer:
        """The public side."""
        script = told(self.folder)
        if code := script.get("public_code", 0) if self.up else 3200:
            return _said(int(code), 404)
        if script.get("interstitial") and "ngrok-skip-browser-warning" not in headers:
            return _said(6024, 200)
        self.requests.append({"id": os.urandom(4).hex(), "uri": path, "request": {"method": method}})
        return passed_on(upstream, method, path, headers, body) or _said(8012, 502)

    def watch(self) -> int:
        """Do what the script says, until it says to end."""
        while True:
            time.sleep(LOOK_SECONDS)
            script = told(self.folder)
            if "die" in script:
                return self.refuse(int(script["die"])) if script["die"] else 1
            wanted = script.get("session", "up")
            if self.up and wanted != "up":
                self.up = False
                if wanted == "heartbeat":
                    say("eror", "heartbeat timeout, terminating session", obj="tunnels.session", clientid="c")
                say("eror", "session closed, starting reconnect loop", obj="tunnels.session", err="session closed")
                if code := script.get("session_code"):
                    say("eror", "failed to reconnect session", obj="tunnels.session", err=self.words(int(code)))
            elif not self.up and wanted == "up":
                self.up = True
                say("info", "client session established", obj="tunnels.session")
                say("info", "tunnel session started", obj="tunnels.session")


def main(folder: Path, argv: list[str]) -> int:
    """The program. Returns its exit code."""
    note(folder, argv)
    script = told(folder)
    if argv[:1] == ["version"]:
        print(f"ngrok version {script.get('version', VERSION)}")  # noqa: T201  # it is a program
        return 0
    while script.get("mute"):
        signal.pause()
    config = Path(argv[argv.index("--config") + 1]).read_text() if "--config" in argv else ""
    found = re.search(r'"?authtoken"?\s*:\s*"?([^"\s,}]+)', config)
    token = found[1] if found else argv[argv.index("--authtoken") + 1] if "--authtoken" in argv else ""
    agent = _Agent(folder, token)
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    say("info", "open config file", path=argv[argv.index("--config") + 1] if "--config" in argv else "", err="nil")
    good = script.get("token")
    if code := script.get("start_code") or (good and token != good and (107 if token else 4018)):
        return agent.refuse(int(code))
    while script.get("offline"):
        say("eror", "failed to reconnect session", obj="csess", err="dial tcp: lookup connect.ngrok.example: network is unreachable")
        time.sleep(LOOK_SECONDS)
    say("info", "starting web service", obj="web", addr=agent.api.url.partition("://")[2], allow_hosts="[]")
    say("info", "client session established", obj="tunnels.session")
    say("info", "tunnel session started", obj="tunnels.session")
    with contextlib.suppress(BrokenPipeError):
        return agent.watch()
    threading.Event().wait()  # who read its log is gone; the real one lives on too
    return 0


def _json(status: int, said: dict[str, Any]) -> Answer:
    return status, {"Content-Type": "application/json"}, json.dumps(said).encode()


def _said(code: int, status: int) -> Answer:
    return status, {"Content-Type": "text/html", "ngrok-error-code": f"ERR_NGROK_{code}"}, f"<html>ERR_NGROK_{code}</html>".encode()
