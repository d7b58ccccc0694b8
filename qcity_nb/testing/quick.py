"""Quick tunnels without Cloudflare: a stand-in of its agent with the same flags, and a stand-in of the service that the real agent asks.

The agent's script (`script.json` beside it): `mute`: it says nothing and listens nowhere. `last_words`: printed before it ends with 1.
`ready`: false leaves it without a connection although it has an address, at any time. `flood`: lines that it prints.
"""

from __future__ import annotations

import base64
import json
import os
import signal
import sys
import time
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .edge import Answer, Server, install, note, passed_on, told

VERSION = "2025.9.0"
LOOK_SECONDS = 0.02
FLAGS = ("--config", "--metrics", "--url", "--protocol", "--quick-service", "--edge")


def make(folder: Path, **script: Any) -> Path:
    """An agent in this folder; its path."""
    return install(folder, "cloudflared", "quick", **script)


def main(folder: Path, argv: list[str]) -> int:
    """The program. Returns its exit code."""
    note(folder, argv)
    script = told(folder)
    while script.get("mute"):
        signal.pause()
    values = _flags(argv)
    if values is None:
        return 1
    if "ingress" in Path(values.get("--config", os.devnull)).read_text():
        sys.stderr.write("ERR --url cannot be used with ingress rules of the configuration file\n")
        return 1
    sys.stderr.write(f"2025-09-22T12:00:00Z INF Version {VERSION} (Checksum 0000)\n")
    for line in range(script.get("flood", 0)):
        sys.stderr.write(f"2025-09-22T12:00:00Z INF line {line} of many, each about as long as the agent's own lines are when it talks a lot\n")
    for line in script.get("last_words", ()):
        sys.stderr.write(f"2025-09-22T12:00:00Z ERR {line}\n")
        sys.stderr.flush()
    if script.get("last_words"):
        return 1
    public = Server(lambda *request: passed_on(values["--url"], *request) or (502, {}, b"Unable to reach the origin service."))

    def asked(_method: str, path: str, _headers: Mapping[str, str], _body: bytes) -> Answer:
        ready = told(folder).get("ready", True)
        if path == "/ready":
            return 200 if ready else 503, {}, json.dumps({"status": 200 if ready else 503, "readyConnections": int(ready)}).encode()
        if path == "/quicktunnel":
            return 200, {}, json.dumps({"hostname": public.url}).encode()
        return (200, {}, b"cloudflared_tunnel_ha_connections 1\n") if path == "/metrics" else (404, {}, b"")

    Server(asked, int(values["--metrics"].rpartition(":")[2]))
    sys.stderr.write(f"2025-09-22T12:00:00Z INF |  {public.url}  |\n")
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    while not told(folder).get("die"):
        time.sleep(LOOK_SECONDS)
    return 1


def _flags(argv: list[str]) -> dict[str, str] | None:
    values: dict[str, str] = {}
    words = iter(argv)
    for word in words:
        if word in FLAGS:
            values[word] = next(words)
        elif word not in ("tunnel", "--no-autoupdate"):
            sys.stderr.write(f"Incorrect Usage: flag provided but not defined: {word}\n")
            return None
    return values


class QuickService:
    """What the real agent asks for a tunnel (`--quick-service`). `mode`: good, limited (429), empty (an answer without an id)."""

    def __init__(self, mode: str = "good") -> None:
        self.mode, self.asked = mode, 0
        self._server = Server(self._answer)
        self.url = self._server.url

    def _answer(self, _method: str, _path: str, _headers: Mapping[str, str], _body: bytes) -> Answer:
        self.asked += 1
        if self.mode == "limited":
            return 429, {"Content-Type": "text/plain"}, b"error code: 1015"
        result: dict[str, str] = {}
        if self.mode == "good":
            secret = base64.b64encode(os.urandom(32)).decode()
            result = {"id": str(uuid.uuid4()), "name": "qt", "hostname": "stand-in.trycloudflare.example", "account_tag": "a" * 32, "secret": secret}
        return 200, {"Content-Type": "application/json"}, json.dumps({"success": True, "result": result, "errors": []}).encode()

    def close(self) -> None:
        """Stop listening."""
        self._server.close()
