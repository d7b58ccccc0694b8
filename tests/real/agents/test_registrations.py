"""Troubles of registrations, each on a runner and a repository of its own, all on one engine whose minutes are half a second."""

from __future__ import annotations

import json
import os
import signal

import pytest

from qcity_nb.model.service import Phase
from qcity_nb.testing import faults
from qcity_nb.testing.real_engine import until

pytestmark = [pytest.mark.real, pytest.mark.slow]
FAULTS = (
    {"fault": "not_found", "agents": "f21-once", "times": 1},
    {"fault": "not_found", "agents": "f21-twice"},
    {"fault": "already_configured", "agents": "f24", "times": 1},
    {"fault": "exit", "code": 0, "forgets": True, "agents": "f27*", "times": 1, "after": 4},
    {"fault": "sudo", "agents": "f31", "times": 1, "after": 1},
    {"fault": "libicu", "agents": "f31-icu", "times": 1, "after": 1},
)
LASTING = ("f5-twin", "f6", "f25", "f26", "f31", "f31-icu", "f33", "reg-well")


@pytest.fixture(scope="module")
def street(street_of):
    made = street_of(speed=120)
    made.faults(*FAULTS)
    for name in LASTING:
        made.ask(name, ephemeral=False)
    for name in LASTING:
        made.up(name)
    return made


def ids(street, name):
    return [one.id for one in street.github.runners(f"octo/{name}")]


def test_a_registration_token_that_is_too_old_is_fetched_again_once(street):
    street.ask("f21-once", ephemeral=False)
    street.held("f21-once", "F21", said="could not be registered", done="registered as f21-once")


def test_a_registration_that_is_not_found_twice_asks_a_person(street):
    street.ask("f21-twice", ephemeral=False)
    street.held("f21-twice", "F21", "quarantined", said="could not be registered")
    assert "then qcity runner start f21-twice" in street.state("f21-twice").reason
    asked = len(street.github.seen("POST", "/repos/octo/f21-twice/actions/runners/registration-token"))
    assert asked == 2, "no retry storm"


def test_files_of_an_earlier_registration_are_removed_and_it_registers(street):
    street.ask("f24", ephemeral=False)
    street.held("f24", "F24", said="already configured", done="registered as f24")


def test_a_registration_whose_files_are_left_goes_on_when_its_platform_knows_it(street):
    """As after a home that lost its memory: the files and the platform agree, so there is nothing to do."""
    [old] = ids(street, "reg-well")
    street.city.runners["reg-well"].drain(wait=60)
    street.down("reg-well", Phase.STOPPED)
    (street.city.home / "services" / "reg-well" / "agent.json").unlink()
    street.city.runners["reg-well"].start()
    assert ids(street, "reg-well") == [old]
    assert street.incidents("reg-well") == []


def test_a_second_copy_of_a_runner_keeps_its_session_and_ours_takes_a_new_name(street):
    """`A session already exists` has two causes: an old one that ends by itself is waited for, this one does not end."""
    street.faults(*FAULTS, {"fault": "session_conflict", "agents": "f5-twin"})
    os.kill(street.city.runners["f5-twin"].pid, signal.SIGKILL)
    street.held("f5-twin", "F5", said="A session for this runner already exists", done="registered as f5-twin-r1", others=("F12",))
    assert "waited for the old session to end" in "; ".join(street.told("f5-twin", "F5").done)


def test_a_deleted_registration_is_made_again_when_list_and_clock_agree(street):
    [old] = ids(street, "f6")
    street.github.delete_runner("octo/f6", "f6")
    street.held("f6", "F6", done="registered as f6")
    [new] = ids(street, "f6")
    assert new != old


def test_a_busy_registration_is_deleted_when_its_platform_lets_go(street):
    street.github.busy("octo/f25", "f25")
    street.city.runners["f25"].stop()
    until(lambda: street.incidents("f25"), seconds=60)
    assert ids(street, "f25"), "it was refused"
    street.github.busy("octo/f25", "f25", busy=False)
    street.held("f25", "F25", said="the platform refused to delete it", done="its platform has forgotten it")
    assert ids(street, "f25") == []


def test_registrations_that_nobody_uses_are_deleted_and_no_others(street):
    owned = f"qcity-{street.city.link.place[:8]}"
    for number in range(2):
        street.github.add_runner("octo/f26", f"f26-old-{number}", labels=["self-hosted", owned])
    street.github.add_runner("octo/f26", "f26-busy", labels=["self-hosted", owned])
    street.github.busy("octo/f26", "f26-busy")
    street.github.add_runner("octo/f26", "theirs", labels=["self-hosted"])
    street.held("f26", "F26", said="registrations of ours, offline", done="deleted registration")
    assert {one.name for one in street.github.runners("octo/f26")} == {"f26", "f26-busy", "theirs"}


def test_the_remote_half_of_an_ephemeral_runner_is_deleted(street):
    street.ask("f27")
    street.held("f27", "F27", said="its files are gone", done="registered as f27-")
    until(lambda: len(ids(street, "f27")) == 1, seconds=60)


def test_a_name_that_is_not_free_yet_is_left_for_another(street):
    """Once while the old one is let go of, once because it is a stranger's: neither is touched."""
    street.github.repository("octo/f28")
    street.github.add_runner("octo/f28", "f28-lasting")
    taken = faults.status(409, "Already exists - A runner with the name already exists.")
    street.github.fault(taken, path="*/octo/f28/*/generate-jitconfig", times=1)
    street.ask("f28", repo="octo/f28")
    street.held("f28", "F28", done="registered as f28-")
    street.ask("f28-lasting", repo="octo/f28", ephemeral=False)
    street.held("f28-lasting", "F28", done="registered as f28-lasting-r1")
    assert "f28-lasting" in [one.name for one in street.github.runners("octo/f28")]


@pytest.mark.parametrize(("name", "words"), [("f31", "--allow-root"), ("f31-icu", "bin/installdependencies.sh")])
def test_what_the_machine_lacks_is_shown_with_the_command(street, name, words):
    os.kill(street.city.runners[name].pid, signal.SIGKILL)
    street.down(name, Phase.QUARANTINED)
    street.held(name, "F31", "quarantined", others=("F12",))
    assert words in street.state(name).reason
    assert f"then qcity runner start {name}" in street.state(name).reason
    street.city.runners[name].start()
    street.up(name)


def test_a_copied_folder_registers_under_a_name_of_its_own(street):
    """The registration in it is the other machine's: it stays as it is."""
    [old] = ids(street, "f33")
    path = street.city.home / "services" / "f33" / "agent.json"
    told = json.loads(path.read_text())
    path.write_text(json.dumps({**told, "fingerprint": "another machine"}))
    os.kill(street.city.runners["f33"].pid, signal.SIGKILL)
    street.held("f33", "F33", said="made on another machine", done="registered as f33-r1", others=("F12",))
    assert {one.name for one in street.github.runners("octo/f33")} == {"f33", "f33-r1"}
    assert old in ids(street, "f33")
