"""A tile in JupyterLab's launcher, on Binder too: the page behind the server's own proxy, so that who is let in by Jupyter needs no link."""

from __future__ import annotations

import secrets
import sys
from importlib import resources
from importlib.util import find_spec
from typing import Any

from .key import HEADER, KEY

TIMEOUT = 30.0


def entry() -> dict[str, Any]:
    """What jupyter-server-proxy asks of its entry point `jupyter_serverproxy_servers`.

    The key that proves to the page that a request came through Jupyter is made here and travels in the environment and a header, never in argv.
    """
    from jupyter_server_proxy.config import ServerProcess

    key = secrets.token_urlsafe(32)
    there = all(find_spec(name) is not None for name in ("starlette", "uvicorn"))
    found: dict[str, Any] = {
        "command": [sys.executable, "-m", "qcity_nb", "serve", "--port", "{port}", "--base-url", "{base_url}qcity/"],
        "environment": {KEY: key},
        "request_headers_override": {HEADER: key},
        "timeout": TIMEOUT,
        "launcher_entry": {"enabled": there, "title": "QCity", "icon_path": str(resources.files(__package__) / "static" / "icon.svg")},
    }
    if hasattr(ServerProcess, "update_last_activity"):
        found["update_last_activity"] = False  # a page that is open shall not keep a server alive that nobody uses
    return found
