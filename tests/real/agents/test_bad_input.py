"""Bad input to runners of forges, with the real command: one sentence that says what to do, a failure as exit code, no storm of requests."""

from __future__ import annotations

import os
import ssl
import subprocess
import threading
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from qcity_nb.decide.rest import ATTEMPTS
from qcity_nb.errors import PlatformError, QCityError
from qcity_nb.kinds import forges
from qcity_nb.model.agent import Wanted
from qcity_nb.model.service import Phase
from qcity_nb.testing.agents import package
from qcity_nb.testing.github import FakeGitHub

pytestmark = [pytest.mark.real, pytest.mark.slow]
REPO = "octo/hello"
MANY = 12
"""More requests than a start that fails has any use for."""


@pytest.fixture
def github(city):
    city.env |= {"QCITY_ATTENDANT_SPEED": "60", "QCITY_ATTENDANT_LOOK": "0.2", "QCITY_ATTENDANT_POLL": "5", "SCRIPTED_AGENT_SCALE": "0.003"}
    with FakeGitHub(base="/api/v3", lenient=True) as server:
        server.repository(REPO)
        server.organisation("acme")
        server.offer(package.archive())
        yield server


def expired(github):
    token = github.token(expires_in=timedelta(hours=1))
    github.expire(token)
    return token


CASES = {
    "wrong token": (lambda _: "github_pat_" + "0" * 24, (REPO,), ("does not accept the token", "(QCITY_GITHUB_TOKEN), then qcity runner start gh-1")),
    "expired token": (expired, (REPO,), ("does not accept the token", "then qcity runner start gh-1")),
    "missing permission": (lambda github: github.token(permissions={"actions": "read"}), (REPO,), ("administration",)),
    "unknown repository": (lambda github: github.token(), ("octo/helo",), ('Did you mean "octo/hello"?, then qcity runner start gh-1',)),
    "no such group": (lambda github: github.token(), ("acme", "--group", "gpu"), ("no runner group",)),
}


@pytest.mark.parametrize("case", CASES)
def test_a_start_that_cannot_work_says_why_and_what_to_do(city, github, case):
    token, where, words = CASES[case]
    city.env["QCITY_GITHUB_TOKEN"] = token(github)
    said = city("runner", "start", "github", *where, "--name", "gh-1", "--url", github.root, "--allow-root", code=1)
    for word in words:
        assert word in " ".join(said.split()), said
    assert city.env["QCITY_GITHUB_TOKEN"] not in said
    [row] = [one for one in city.json("runner", "list")["runners"] if one["name"] == "gh-1"]
    assert row["phase"] == "quarantined", "it waits for a person"
    assert len([one for one in github.log if "/_agent" not in one.path]) <= MANY, [one.path for one in github.log]


class Quiet(BaseHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


def test_a_proxy_with_a_certificate_of_its_own_is_named_and_asked_once(tmp_path, scene):
    """A real TLS server whose certificate nobody trusts."""
    made = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=127.0.0.1", "-keyout", "key", "-out", "cert"]
    subprocess.run(made, cwd=tmp_path, check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "cert", tmp_path / "key")
    met = []

    class Counting(ThreadingHTTPServer):
        def get_request(self):
            met.append(1)
            plain, where = super().get_request()
            plain.settimeout(5)
            return context.wrap_socket(plain, server_side=True), where

        def handle_error(self, *_: object) -> None:
            pass

    with Counting(("127.0.0.1", 0), Quiet) as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        wanted = Wanted(forge="github", url=f"https://127.0.0.1:{server.server_port}", scope=REPO, name="gh-1")
        with pytest.raises(PlatformError, match="cannot be reached") as caught:
            forges.connect(wanted, "github_pat_" + "0" * 24).runners()
        asked = len(met)
        with pytest.raises(QCityError, match="REQUESTS_CA_BUNDLE") as told:
            scene.city.runners.start("github", "gh-1", repo=REPO, url=wanted.url, allow_root=os.geteuid() == 0)
        server.shutdown()
    assert "tls" in str(told.value)
    assert scene.state().phase is Phase.QUARANTINED, "only a person can have a certificate trusted"
    assert caught.value.layer == "tls"
    assert "REQUESTS_CA_BUNDLE" in str(caught.value)
    assert asked < ATTEMPTS, "a certificate that is not trusted is not trusted more when asked again"
