"""Tunnels as people use them: a real server, a real engine, real processes, killed and frozen."""

from __future__ import annotations

import os
import signal
import time

import psutil
import pytest
import requests

from qcity_nb.errors import BadInput, NotFound, Refused
from qcity_nb.model.tunnel import TunnelState

pytestmark = pytest.mark.real


def pilots(home):
    module = "qcity_nb.kinds.tunnels.service"
    return [one for one in psutil.process_iter(["cmdline"]) if {module, str(home)} <= set(one.info["cmdline"] or [])]


def test_an_address_leads_to_the_app_and_is_proved(over, sshd, app):
    tunnel = over(sshd)
    assert requests.get(f"{tunnel.url}/x?y=1", timeout=5).text.startswith("hello /x?y=1")
    view = tunnel.view
    assert (view.state, view.provider, view.generation, view.port) == (TunnelState.UP, "ssh", 1, app.port)
    assert view.proved is not None
    assert view.latency < 5
    assert str(tunnel) == tunnel.url
    assert tunnel.url in tunnel._repr_html_()
    assert tunnel.test().proved > view.proved


def test_opening_it_twice_changes_nothing_and_with_other_settings_it_is_refused(over, sshd, city):
    first = over(sshd)
    again = over(sshd)
    assert (again.url, again.view.generation, len(city.tunnels)) == (first.url, 1, 1)
    with pytest.raises(Refused, match="open with other settings"):
        over(sshd, ttl=3600)
    assert city.tunnels.frame().loc[0, "url"] == first.url


def test_a_connection_that_is_killed_is_noticed_at_once_and_the_address_follows(over, sshd):
    tunnel = over(sshd)
    old = tunnel.url
    begun = time.monotonic()
    assert sshd.cut()
    tunnel.wait(after=1)
    took = time.monotonic() - begun
    assert tunnel.url != old
    assert requests.get(tunnel.url, timeout=5).ok
    told = [flip.reason for flip in tunnel.story()]
    assert told[1] == "ssh: its connection ended"
    print(f"killed: another address was proved after {took:.2f} s")
    one, two = tunnel.addresses()
    assert (one.origin, one.until is not None, two.origin, two.until) == (old, True, tunnel.url, None)


def test_a_connection_that_is_frozen_is_noticed_by_probes_and_the_next_provider_takes_over(over, sshd, other_app):
    more = {"domain.url": f"http://127.0.0.1:{other_app.port}"}
    tunnel = over(sshd, chain="ssh,domain", options=more)
    assert tunnel.view.provider == "ssh"
    begun = time.monotonic()
    assert sshd.freeze()
    tunnel.wait(after=1)
    print(f"frozen: another address was proved after {time.monotonic() - begun:.2f} s")
    assert tunnel.view.provider == "domain"
    told = [flip.reason for flip in tunnel.story()]
    assert "one probe failed: the next provider is being asked" in told


def test_an_app_that_is_down_costs_no_address(over, sshd, app, city, until):
    tunnel = over(sshd)
    url = tunnel.url
    app.stop()
    until(lambda: tunnel.view.state is TunnelState.APP_DOWN)
    assert requests.get(url, timeout=5).status_code == 502
    assert city.status().headline == f"The tunnel app: the app on port {app.port} is not running; the tunnel (ssh) is well."
    app.start()
    until(lambda: tunnel.view.state is TunnelState.UP)
    assert (tunnel.url, tunnel.view.generation) == (url, 1)


def test_the_engine_is_killed_and_the_address_stays(over, sshd, city, until):
    tunnel = over(sshd)
    url = tunnel.url
    os.kill(city.status().engine.pid, signal.SIGKILL)
    assert requests.get(url, timeout=5).ok
    city.link.ensure()
    until(lambda: city.status().engine.alive)
    assert tunnel.test().generation == 1
    assert tunnel.url == url


def test_a_pilot_that_is_killed_is_started_again_and_generations_go_on(over, sshd, city):
    tunnel = over(sshd)
    pilots(city.home)[0].kill()
    tunnel.wait(after=1)
    assert requests.get(tunnel.url, timeout=5).ok
    assert tunnel.view.generation == 2


def test_a_generation_is_not_used_twice_although_the_store_has_forgotten_it(over, sshd, city, until):
    over(sshd)
    with city.link.store.write() as connection:
        for table in ("tunnels", "issued"):
            connection.exec_driver_sql(f"delete from {table}")
    pilots(city.home)[0].kill()
    until(lambda: len(city.tunnels) and city.tunnels["app"].view.generation == 2)


def test_what_is_closed_leaves_nothing(over, sshd, city, until):
    tunnel = over(sshd)
    url = tunnel.url
    tunnel.close()
    until(lambda: not pilots(city.home))
    with pytest.raises(requests.ConnectionError):
        requests.get(url, timeout=2)
    assert tunnel.view.state is TunnelState.OFF
    assert city.tunnels["app"].addresses()[-1].until is not None
    assert city.status().view.tunnels == ()
    again = over(sshd)
    assert again.view.generation == 2


def test_it_closes_itself_when_its_time_is_over(over, sshd, city, until):
    tunnel = over(sshd, ttl=2)
    assert tunnel.view.until is not None
    until(lambda: tunnel.view.state is TunnelState.OFF)
    until(lambda: not pilots(city.home))
    assert tunnel.view.reason == "its time is over"


def test_one_that_never_had_an_address_closes_itself_too(city, app, until):
    tunnel = city.tunnels.open(app.port, name="app", chain="ssh", options={"ssh.host": "127.0.0.1", "ssh.port": "1"}, ttl=2, wait=0)
    until(lambda: tunnel.view.state is TunnelState.OFF)
    until(lambda: not pilots(city.home))


def test_an_address_where_another_app_answers_is_not_taken(city, app, other_app, sshd):
    """The fallback page that is no page of ours is a wrong app."""
    with pytest.raises(Refused, match="the fallback page is not there"):
        city.tunnels.open(app.port, chain="static", options={"static.url": f"http://127.0.0.1:{other_app.port}"}, deadline=2, wait=8)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"ssh.key": "STRANGER"}, "does not take our key"),
        ({"ssh.known_hosts": "NOTHING"}, "is not the one known"),
        ({"ssh.port": "1"}, "cannot be reached by SSH"),
        ({"ssh.remote_port": "22"}, "is taken, or its server allows none"),
        ({"ssh.key": "/nowhere/key"}, "cannot be used"),
    ],
)
def test_a_server_that_does_not_let_us_in_is_one_sentence(over, sshd, changed, said, tmp_path):
    taken = {"STRANGER": str(sshd.stranger), "NOTHING": str(tmp_path / "none")}
    given = {key: taken.get(value, value) for key, value in changed.items()}
    if "ssh.remote_port" in given:
        given["ssh.remote_port"] = str(sshd.port)  # which is taken by the server itself
        given["ssh.bind"] = "127.0.0.1"
    with pytest.raises(Refused, match=said) as caught:
        over(sshd, options=given, deadline=3, wait=6)
    assert caught.value.todo


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"chain": "ngork"}, 'there is no provider "ngork" of tunnels. Did you mean ngrok|there is no provider "ngork"'),
        ({"chain": "ssh,ssh"}, "each once"),
        ({"options": {"ssh.hots": "x"}}, 'no option "hots"'),
        ({"options": {"pinggy.host": "x"}}, "belongs to no provider of the chain"),
        ({"options": {"ssh.port": "ssh"}}, "ssh.port is ssh"),
        ({"ttl": -1}, "longer than nothing"),
        ({"name": "../../elsewhere"}, "is not a name for a tunnel"),
        ({"name": "-rf"}, "is not a name for a tunnel"),
    ],
)
def test_what_cannot_be_meant_is_said_and_nothing_is_opened(over, sshd, city, more, said):
    with pytest.raises(BadInput, match=said):
        over(sshd, **more)
    assert len(city.tunnels) == 0


def test_a_port_that_is_none(city):
    with pytest.raises(BadInput, match="70000 is no port"):
        city.tunnels.open(70000, chain="ssh", options={"ssh.host": "x"})
    with pytest.raises(NotFound, match='there is no tunnel "nothing"'):
        city.tunnels["nothing"]


def test_free_colab_refuses_with_the_clause_and_the_way_out(city, app, monkeypatch):
    monkeypatch.setenv("COLAB_RELEASE_TAG", "release-colab_20260819")
    with pytest.raises(Refused, match=r"refused on free Colab: its FAQ forbids.*the notebook's own proxy"):
        city.tunnels.open(app.port, chain="ssh", options={"ssh.host": "example.org"})


def test_a_port_on_which_nothing_listens_is_said_and_the_address_is_there_all_the_same(over, sshd, app, city, until, capsys):
    from qcity_nb.cli import main

    app.stop()
    words = [word for key, value in sshd.options.items() for word in ("--option", f"ssh.{key}={value}")]
    assert main(["tunnel", "open", str(app.port), "--name", "web", "--chain", "ssh", *words, "--home", str(city.home)]) == 0
    assert f"nothing listens on port {app.port} yet" in capsys.readouterr().out
    app.start()
    until(lambda: city.tunnels["web"].view.state is TunnelState.UP)


def test_the_command(over, sshd, app, city, tmp_path, capsys):
    from qcity_nb.cli import main

    words = [word for key, value in sshd.options.items() for word in ("--option", f"ssh.{key}={value}")]
    home = ["--home", str(city.home)]
    assert main(["tunnel", "open", str(app.port), "--name", "web", "--chain", "ssh", "--ttl", "8h", *words, *home]) == 0
    said = capsys.readouterr().out
    assert said.startswith("http://127.0.0.1:")
    assert "proved by nonce" in said
    assert main(["tunnel", "list", *home]) == 0
    assert "up by ssh" in capsys.readouterr().out
    assert main(["tunnel", "test", "web", *home]) == 0
    assert "came back from our own door" in capsys.readouterr().out
    assert main(["tunnel", "show", "web", *home]) == 0
    assert "ssh leads here now" in capsys.readouterr().out
    assert main(["tunnel", "close", "web", *home]) == 0
    assert main(["tunnel", "show", "wbe", *home]) == 1
    assert 'Did you mean "web"?' in capsys.readouterr().err
    assert main(["tunnel", "open", "8888", "--ttl", "soon", *home]) == 2
