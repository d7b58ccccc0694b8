"""Telling the master: what is sent, that it is sent once, and that no address is ever shown. A real SMTP dialogue and real HTTP over loopback."""

from __future__ import annotations

import contextlib
import http.server
import json
import socketserver
import threading
from datetime import datetime, timezone

import pytest

from qcity_nb.errors import BadInput, PlatformError
from qcity_nb.io import secrets
from qcity_nb.kinds.notifiers import Messenger, credential_of
from qcity_nb.kinds.notifiers import smtp as smtp_kind
from qcity_nb.kinds.notifiers import webhook as webhook_kind
from qcity_nb.model.home import Home
from qcity_nb.model.notice import Notice
from qcity_nb.testing.real_engine import until

NOTICE = Notice(
    key="p/gh-1/3/notify/bad",
    place="workstation",
    service="gh-1",
    title="gh-1 needs you: gh-1 died",
    since=datetime(2026, 3, 1, tzinfo=timezone.utc),
    cause="the token has expired",
    evidence=("401",),
    tried=("started it again after 0.1 s",),
    todo="qcity runner start gh-1",
)


class Posts(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.got.append((self.path, dict(self.headers), json.loads(body)))
        status = self.server.answers.pop(0) if self.server.answers else 200
        self.send_response(status)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


class Mails(socketserver.StreamRequestHandler):
    """As much of RFC 5321 as a client needs."""

    def handle(self):
        self.wfile.write(b"220 here\r\n")
        lines = []
        while line := self.rfile.readline():
            word = line.split()[0].upper() if line.split() else b""
            if word == b"DATA":
                self.wfile.write(b"354 go on\r\n")
                while (text := self.rfile.readline()) not in (b".\r\n", b""):
                    lines.append(text.decode())
                self.server.got.append("".join(lines))
                self.wfile.write(b"250 taken\r\n")
            elif word == b"QUIT":
                self.wfile.write(b"221 bye\r\n")
                return
            else:
                self.wfile.write(b"550 no\r\n" if word == b"RCPT" and self.server.refuses else b"250 ok\r\n")


@contextlib.contextmanager
def serving(make):
    with make(("127.0.0.1", 0)) as server:
        server.got, server.answers, server.refuses = [], [], False
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def posts():
    with serving(lambda address: http.server.ThreadingHTTPServer(address, Posts)) as server:
        yield server


@pytest.fixture
def mails():
    with serving(lambda address: socketserver.ThreadingTCPServer(address, Mails)) as server:
        yield server


def hook(server):
    return f"http://127.0.0.1:{server.server_address[1]}/T0/secret-part"


def mailbox(server):
    return f"smtp://127.0.0.1:{server.server_address[1]}/?to=master@example.org&from=qcity@example.org"


def test_a_webhook_gets_the_whole_notice(posts):
    webhook_kind.KIND.send(hook(posts), NOTICE)
    [(path, headers, body)] = posts.got
    assert path == "/T0/secret-part"
    assert headers["Idempotency-Key"] == NOTICE.key
    assert body["cause"] == "the token has expired"
    assert body["next"] == "qcity runner start gh-1"
    assert "Tried:\n  started it again" in body["text"]


def test_a_webhook_that_does_not_take_it_is_said_without_its_address(posts):
    posts.answers = [500]
    with pytest.raises(PlatformError) as caught:
        webhook_kind.KIND.send(hook(posts), NOTICE)
    assert "secret-part" not in str(caught.value)
    with pytest.raises(PlatformError) as caught:
        webhook_kind.KIND.send("http://127.0.0.1:1/secret-part", NOTICE)
    assert "secret-part" not in str(caught.value)


def test_a_mail_is_sent(mails):
    smtp_kind.KIND.send(mailbox(mails), NOTICE)
    [mail] = mails.got
    assert "Subject: [QCity] gh-1 needs you" in mail
    assert "To: master@example.org" in mail
    assert "Next: qcity runner start gh-1" in mail


def test_a_mail_that_is_refused_is_said_without_a_password(mails):
    mails.refuses = True
    with pytest.raises(PlatformError, match="did not take it") as caught:
        smtp_kind.KIND.send(mailbox(mails), NOTICE)
    assert "hush" not in str(caught.value)


@pytest.mark.parametrize(
    ("kind", "address"),
    [(webhook_kind, "http://example.org/x"), (webhook_kind, "ftp://x"), (smtp_kind, "smtp://host"), (smtp_kind, "https://x/?to=a@b")],
)
def test_addresses_that_are_none_are_refused(kind, address):
    with pytest.raises(BadInput):
        kind.KIND.check(address)


def test_the_messenger_uses_every_way_and_tries_again(tmp_path, posts, mails):
    home = Home(tmp_path)
    secrets.keep(home, credential_of("webhook"), hook(posts))
    secrets.keep(home, credential_of("smtp"), mailbox(mails))
    posts.answers = [503, 503]
    messenger = Messenger(home, lambda: None, pauses=(0.01,))
    assert messenger.ways() == ["webhook", "smtp"]
    messenger.send(NOTICE)
    [(key, outcome)] = until(messenger.outcomes)
    assert key == NOTICE.key
    assert outcome == "told by webhook; told by smtp"
    assert len(posts.got) == 3
    assert messenger.outcomes() == []


def test_what_cannot_be_told_is_written_down(tmp_path):
    home = Home(tmp_path)
    secrets.keep(home, credential_of("webhook"), "http://127.0.0.1:1/secret-part")
    messenger = Messenger(home, lambda: None, pauses=(0.01,))
    messenger.send(NOTICE)
    [(_, outcome)] = until(messenger.outcomes)
    assert outcome.startswith("could not be told by webhook")
    assert "secret-part" not in outcome


def test_addresses_are_kept_for_their_owner_only(tmp_path):
    secrets.keep(Home(tmp_path), credential_of("webhook"), "https://example.org/x")
    path = tmp_path / "secrets" / credential_of("webhook")
    assert path.stat().st_mode & 0o077 == 0
    assert path.parent.stat().st_mode & 0o077 == 0
