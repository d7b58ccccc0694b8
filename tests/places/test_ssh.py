"""Places of the kind `ssh`, against a real sshd on loopback."""

from __future__ import annotations

import importlib.util
import json
import os
import pwd
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import replace
from pathlib import Path

import jsonschema
import pytest

from qcity_nb import cli
from qcity_nb.client import shapes
from qcity_nb.errors import BadInput, PlaceError
from qcity_nb.io import secrets
from qcity_nb.kinds.places import open_place, parcel
from qcity_nb.kinds.places.ssh import KIND
from qcity_nb.model.fleet import PlaceConfig
from qcity_nb.model.place import Running
from qcity_nb.testing import sshd
from qcity_nb.testing.place_contract import PlaceContract

_spec = importlib.util.spec_from_file_location("places_conftest", Path(__file__).with_name("conftest.py"))
_conftest = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(_conftest)
engines_below = _conftest.engines_below

pytestmark = [pytest.mark.real, pytest.mark.slow, pytest.mark.timeout(300)]


@pytest.fixture
def config(host, python):
    return PlaceConfig(name="box", kind="ssh", options={**host.options, "python": python})


def until(probe, seconds=120):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if found := probe():
            return found
    return pytest.fail("not seen in time")


class TestSsh(PlaceContract):
    @pytest.fixture(autouse=True)
    def _given(self, config, home, host):
        self._config, self._home, self._host = config, home, host

    def good(self):
        return self._config

    def unreachable(self):
        self._host.kill()
        return self._config

    def parcel(self):
        return parcel.pack(self._config, home=self._home)

    def home(self):
        return self._home

    def engines(self):
        return len(engines_below(self._host.home))


def test_an_engine_outlives_the_server_through_which_it_was_started(config, home, host):
    place = open_place(config, home=home)
    up = place.start(parcel.pack(config, home=home))
    assert (up.running, up.sentence) == (Running.UP, "The engine is running.")
    host.kill()
    assert not place.check().reachable
    assert len(engines_below(host.home)) == 1
    host.start()
    assert place.status().generation == up.generation
    assert place.stop().running is Running.DOWN
    assert not engines_below(host.home)


def test_an_installation_that_is_cut_off_is_done_again(config, home, host):
    """The connection is killed while pip works; what came of it counts for nothing, or is used when it went on to its end."""
    place, packed, failed = open_place(config, home=home), parcel.pack(config, home=home), []

    def start():
        try:
            place.start(packed)
        except PlaceError as error:
            failed.append(error)

    room = host.home / ".qcity" / "box" / f"venv-{packed.tag}"
    starting = threading.Thread(target=start)
    starting.start()
    until(room.exists)
    host.cut()
    starting.join(120)
    assert failed
    assert "cannot be reached" in failed[0].what
    assert "try again" in failed[0].todo
    assert not failed[0].permanent
    assert place.start(packed).running is Running.UP
    assert len(engines_below(host.home)) == 1
    place.stop()


def test_what_was_brought_is_private_and_stands_in_no_argument(config, home, host):
    secrets.keep(home, "github", "ghp_hushhushhushhushhushhush")
    toml = host.home / "mine.toml"
    toml.write_text('[runner.sleeper]\nkind = "command"\ncommand = ["/bin/sleep", "600"]\n')
    config = replace(config, options={**config.options, "credentials": "github", "config": str(toml)})
    place = open_place(config, home=home)
    state = place.start(parcel.pack(config, home=home))
    base = host.home / ".qcity" / "box"
    token = base / "home" / "secrets" / "github"
    assert token.read_text() == "ghp_hushhushhushhushhushhush"
    assert token.stat().st_mode & 0o777 == 0o600
    assert base.stat().st_mode & 0o077 == 0
    assert state.headline != "No runner yet."
    assert "hush" not in (host.folder / "log").read_text()
    place.stop()


def test_another_version_takes_over_from_the_one_that_runs(config, home, host):
    """Its generation is the next one; of the versions before, the newest is still there."""
    place, packed = open_place(config, home=home), parcel.pack(config, home=home)
    first = place.start(packed)
    second = place.start(replace(packed, tag=f"{packed.tag}-next"))
    assert second.running is Running.UP
    assert second.generation == first.generation + 1
    assert len(engines_below(host.home)) == 1
    third = place.start(replace(packed, tag=f"{packed.tag}-third"))
    assert third.generation == first.generation + 2
    rooms = {path.name for path in (host.home / ".qcity" / "box").glob("venv-*")}
    assert rooms == {f"venv-{packed.tag}-next", f"venv-{packed.tag}-third"}
    place.stop()


def test_a_host_that_is_not_known_is_refused_with_the_command_that_adds_it(config, home, host):
    for known in (host.folder / "nothing", host.folder / "empty"):
        (host.folder / "empty").touch()
        report = open_place(replace(config, options={**config.options, "known_hosts": str(known)}), home=home).check()
        assert not report.reachable
        assert "is not known" in report.why
        assert f"ssh-keyscan -p {host.port} 127.0.0.1 >> {known}" in report.todo


def test_a_host_whose_key_changed_is_another_case(config, home, host):
    host.trust(host.stranger.with_suffix(".pub"))
    report = open_place(config, home=home).check()
    assert "shows another key" in report.why
    assert "ssh-keygen" in report.todo


def test_a_key_that_is_not_let_in_is_said(config, home, host):
    with pytest.raises(PlaceError, match="does not take our key") as caught:
        open_place(replace(config, options={**config.options, "key": str(host.stranger)}), home=home).status()
    assert caught.value.permanent
    assert "ssh-copy-id" in caught.value.todo


def test_a_key_that_cannot_be_read_is_said(config, home, host):
    (host.folder / "garbled").write_text("no key")
    report = open_place(replace(config, options={**config.options, "key": str(host.folder / "garbled")}), home=home).check()
    assert "cannot be used" in report.why
    report = open_place(replace(config, options={**config.options, "key": str(host.folder / "gone")}), home=home).check()
    assert not report.reachable
    assert "gone" in report.why


def test_a_key_with_a_passphrase_is_used_through_an_agent(config, home, host, monkeypatch, tmp_path):
    """By itself it is refused with the way to do it; nobody is asked for the passphrase."""
    locked = tmp_path / "locked"
    shutil.copy(host.key, locked)
    subprocess.run(["ssh-keygen", "-q", "-p", "-N", "a passphrase", "-f", str(locked)], check=True, stdin=subprocess.DEVNULL)
    report = open_place(replace(config, options={**config.options, "key": str(locked)}), home=home).check()
    assert "cannot be used" in report.why
    assert "ssh-add" in report.todo
    socket = tmp_path / "agent"
    agent = subprocess.Popen(["ssh-agent", "-D", "-a", str(socket)], stdout=subprocess.DEVNULL)
    try:
        until(socket.exists)
        monkeypatch.setenv("SSH_AUTH_SOCK", str(socket))
        subprocess.run(["ssh-add", "-q", str(host.key)], check=True)
        options = {key: value for key, value in config.options.items() if key != "key"}
        assert open_place(replace(config, options=options), home=home).check().ready
    finally:
        agent.terminate()
        agent.wait()


def test_a_host_without_python_is_said_and_left_as_it_was(config, home, host):
    config = replace(config, options={**config.options, "python": "/no/such/python"})
    place = open_place(config, home=home)
    report = place.check()
    assert report.reachable
    assert not report.healthy
    assert report.why == "on box, there is no /no/such/python."
    with pytest.raises(PlaceError, match="there is no /no/such/python"):
        place.start(parcel.pack(config, home=home))
    assert not (host.home / ".qcity").exists()


def test_an_installation_that_fails_says_what_pip_said(config, home, host, tmp_path):
    """No index, and a house with a wheel that does not help: the environment does not count as made."""
    house = tmp_path / "house"
    house.mkdir()
    config = replace(config, options={**config.options, "wheelhouse": str(house)})
    with pytest.raises(BadInput, match="there is no wheel in"):
        parcel.pack(config, home=home)
    (house / "useless-1-py3-none-any.whl").write_bytes(b"no zip")
    packed = parcel.pack(config, home=home)
    garbled = tmp_path / Path(packed.wheel).name
    garbled.write_bytes(b"no zip either")
    place = open_place(config, home=home)
    with pytest.raises(PlaceError, match="could not install the package") as caught:
        place.start(replace(packed, wheel=str(garbled), tag="garbled"))
    assert caught.value.todo
    assert place.status().running is Running.ABSENT


def test_the_command_starts_an_engine_there_and_ends_it(config, home, host, capsys):
    """What `qcity place` prints is the documented shape; the list tells it again without asking anybody."""

    def qcity(*argv):
        code = cli.main(["--home", str(home.root), "place", *argv, "--json"])
        printed = json.loads(capsys.readouterr().out)
        return code, printed

    cli.main(["--home", str(home.root), "place", "add", "box", "ssh", *(f"{key}={value}" for key, value in config.options.items())])
    capsys.readouterr()
    code, report = qcity("check", "box")
    assert (code, report["ready"]) == (0, True)
    code, state = qcity("start", "box")
    assert (code, state["running"]) == (0, "up")
    validator = jsonschema.Draft202012Validator({**shapes.schema(), "$ref": "#/$defs/place_state"})
    validator.validate(state)
    assert qcity("list")[1]["places"][0]["state"] == state
    code, state = qcity("stop", "box")
    assert (code, state["running"]) == (0, "down")
    assert not engines_below(host.home)


@pytest.mark.parametrize("user", ["postgres"])
def test_a_user_who_is_not_root_gets_an_engine_of_their_own(home, dependencies, user):
    """Their shell, their home folder, the system's Python; nothing of ours is readable for others."""
    if os.geteuid() != 0:
        pytest.skip("only root may let another user in")
    try:
        account = pwd.getpwnam(user)
    except KeyError:
        pytest.skip(f"there is no user {user}")
    there = Path(tempfile.mkdtemp(prefix="qcity-there-"))
    os.chown(there, account.pw_uid, account.pw_gid)
    with sshd.Sshd({"HOME": str(there), "PYTHONPATH": str(dependencies)}, user=user) as server:
        config = PlaceConfig(name="box", kind="ssh", options={**server.options, "python": "/usr/bin/python3"})
        place = open_place(config, home=home)
        report = place.check()
        try:
            if not report.healthy or not report.python.startswith(f"3.{sys.version_info[1]}."):
                pytest.skip(f"the system's Python cannot be used here: {report.why} {report.python}")
            assert place.start(parcel.pack(config, home=home)).running is Running.UP
            (engine,) = engines_below(there)
            assert engine.uids().real == account.pw_uid
            assert (there / ".qcity").stat().st_mode & 0o077 == 0
            assert place.stop().running is Running.DOWN
        finally:
            for engine in engines_below(there):
                engine.kill()
            shutil.rmtree(there)


def test_addresses_that_are_none_are_refused_before_anything_is_reached(home):
    for options in ({}, {"host": "-oProxyCommand=x"}, {"host": "a b"}, {"host": "a", "port": "0"}, {"host": "a", "user": "-x"}):
        with pytest.raises(BadInput):
            KIND.open(PlaceConfig(name="box", kind="ssh", options=options), home=home)
