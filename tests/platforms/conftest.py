"""A page that says how a platform is, as a vendor's does: with an ETag, and broken in any way that is asked for."""

from __future__ import annotations

import contextlib
import hashlib
import http.server
import json
import threading
import time

import pytest

import qcity_nb

OPERATIONAL = {"status": {"indicator": "none", "description": "All Systems Operational"}, "components": [], "incidents": []}


class Vendor:
    """What its page says is `body`; `status` is HTTP's; `pause` seconds pass before it answers. `asked` has the headers of each question."""

    def __init__(self) -> None:
        self.body, self.status, self.pause, self.tagged = json.dumps(OPERATIONAL).encode(), 200, 0.0, True
        self.asked: list[dict[str, str]] = []
        self.free = 0
        vendor = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):
                vendor.asked.append({name.lower(): value for name, value in self.headers.items()})
                time.sleep(vendor.pause)
                tag = f'W/"{hashlib.sha256(vendor.body).hexdigest()[:16]}"'
                same = vendor.tagged and self.headers.get("If-None-Match") == tag
                vendor.free += same
                self.send_response(304 if same else vendor.status)
                if vendor.tagged:
                    self.send_header("ETag", tag)
                self.send_header("Content-Length", "0" if same else str(len(vendor.body)))
                self.end_headers()
                with contextlib.suppress(OSError):
                    self.wfile.write(b"" if same else vendor.body)

            def log_message(self, *_):
                pass

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/api/v2/summary.json"
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def says(self, **changes):
        """Change what its page says."""
        self.body = json.dumps({**OPERATIONAL, **changes}).encode()

    def close(self):
        """Answer no more."""
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def vendor():
    made = Vendor()
    yield made
    made.close()


@pytest.fixture
def city(tmp_path):
    with qcity_nb.open(tmp_path / "home") as place:
        yield place
        with contextlib.suppress(qcity_nb.errors.NotFound):
            place.stop()
