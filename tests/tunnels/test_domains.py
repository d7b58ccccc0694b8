"""A domain that fails, and the tunnel that stands in for it, there and back."""

from __future__ import annotations

import pytest
import requests

from qcity_nb.decide import tunnel as decide
from qcity_nb.errors import BadInput, NotFound

pytestmark = pytest.mark.real


def watched(city, sshd, other_app, app, **more):
    options = {f"ssh.{key}": value for key, value in sshd.options.items()}
    url = f"http://127.0.0.1:{other_app.port}"
    return city.domains.watch(url, tunnel_to=app.port, chain="ssh", options=options, every=0.5, wait=30, **more)


def test_a_tunnel_stands_in_for_a_domain_that_fails(city, sshd, app, other_app, until):
    """`other_app` is what the domain serves."""
    stand_in = watched(city, sshd, other_app, app, expect="other")
    assert stand_in.url == f"http://127.0.0.1:{other_app.port}"
    assert repr(city.domains) == "127.0.0.1: is well"
    other_app.stop()
    stand_in.wait(after=1)
    assert stand_in.view.provider == "ssh"
    assert requests.get(stand_in.url, timeout=5).text.startswith("hello")
    assert "ssh stands in for it" in repr(city.domains)
    assert "connection refused" in repr(city.domains)
    other_app.start()
    assert decide.STEADY.total_seconds() == 60, "the way back is tried in tests/decide, where minutes cost nothing"


def test_the_wrong_app_behind_a_domain_is_a_failure_too(city, sshd, app, other_app):
    stand_in = watched(city, sshd, other_app, app, expect="mine")
    assert stand_in.view.provider == "ssh"
    assert 'does not show "mine"' in repr(city.domains)


def test_the_command(city, sshd, app, other_app, capsys):
    from qcity_nb.cli import main

    home = ["--home", str(city.home)]
    words = [word for key, value in sshd.options.items() for word in ("--option", f"ssh.{key}={value}")]
    asked = ["domain", "watch", f"http://127.0.0.1:{other_app.port}", "--tunnel-to", str(app.port), "--chain", "ssh", "--wait", "30s"]
    assert main([*asked, *words, *home]) == 0
    assert "is watched every 10 s" in capsys.readouterr().out
    assert main(["domain", "list", *home]) == 0
    assert "is well" in capsys.readouterr().out
    assert main(["domain", "drop", "127.0.0.1", *home]) == 0
    assert len(city.domains) == 0


def test_what_is_no_domain(city):
    with pytest.raises(BadInput, match="is no domain"):
        city.domains.watch("https://app.example.org/path", tunnel_to=8888)
    with pytest.raises(NotFound, match="no domain"):
        city.domains.drop("app.example.org")
