"""What is asked for from a live board: confirmed, done by the client, answered with its actor; an audit of it. Comms record; there is no browser."""

from __future__ import annotations

import json
import threading

import pytest

from qcity_nb.client import board
from qcity_nb.model.service import Desired, Phase
from qcity_nb.store import services
from qcity_nb.ui.board_acts import Acts


@pytest.fixture
def shown(live_board):
    return live_board


def served(place):
    """An engine's answers that change the store as commands do."""

    def down(command):
        phase = Phase.STOPPED
        place.change(command.subject, phase=phase, desired=Desired.DRAINED if command.verb.endswith("drain") else Desired.DOWN)
        return "done", {}

    def up(command):
        place.change(command.subject, phase=Phase.RUNNING, desired=Desired.UP)
        return "done", {}

    return {"runner.stop": down, "runner.drain": down, "runner.start": up}


def test_acts_are_confirmed_done_by_the_client_and_answered_with_their_actor(place, engine, shown, wire):
    place.runner("a")
    engine.answers = served(place)
    shown()

    def ask(**message):
        wire.answer({"kind": "act", "name": "a", **message})
        return wire.until(lambda wire: next((one for one, _ in wire.custom("result") if one["nonce"] == message["nonce"]), None))

    refused = ask(verb="restart", nonce="1")
    assert (refused["ok"], refused["text"]) == (False, "it was not confirmed, so nothing was done. Ask again and say yes.")
    assert ask(verb="restart", nonce="1b", confirmed="yes")["ok"] is False
    assert engine.seen == []
    done = ask(verb="restart", nonce="2", confirmed=True)
    assert (done["ok"], done["text"]) == (True, "it was stopped and is up again")
    assert done["actor"] == engine.seen[0].actor
    assert [command.verb for command in engine.seen] == ["runner.stop", "runner.start"]
    wire.answer({"kind": "act", "verb": "restart", "name": "a", "nonce": "2", "confirmed": True})  # the same message again
    assert ask(verb="drain", nonce="3", confirmed=True)["ok"] is True
    assert ask(verb="start", nonce="4", confirmed=True)["text"] == "it is up"
    assert [command.verb for command in engine.seen] == ["runner.stop", "runner.start", "runner.drain", "runner.start"]
    assert ask(verb="explode", nonce="5", confirmed=True)["text"].startswith('nothing is called "explode" here.')


def test_a_job_is_run_again_and_a_refusal_is_its_sentence(place, engine, shown, wire):
    place.runner("a")
    id_ = place.job("test", "a", ago=60, took=5)
    engine.answers["job.rerun"] = lambda command: ("done", {"jobs": [8, 9]})
    engine.answers["runner.stop"] = lambda command: ("refused", {"error": "no token=hunter22"})
    shown()
    asked = (("rerun", str(id_)), ("rerun", "x"), ("rerun", "999"), ("restart", "nobody"), ("restart", "a"))
    for nonce, (verb, name) in enumerate(asked, 1):
        wire.answer({"kind": "act", "verb": verb, "name": name, "nonce": str(nonce), "confirmed": True})
        wire.until(lambda wire, nonce=nonce: any(one["nonce"] == str(nonce) for one, _ in wire.custom("result")))
    texts = [(one["ok"], one["text"]) for one, _ in wire.custom("result")]
    assert texts[0] == (True, "2 jobs queued: 8, 9")
    assert texts[1] == (False, "x is no job's number. Reload the page.")
    assert texts[2][1].startswith("there is no job 999.")
    assert texts[3][1].startswith('there is no runner "nobody".')
    assert texts[4] == (False, "no token=***.")


def test_one_thing_at_a_time_for_each_runner(city, place, engine):
    place.runner("a")
    told, gate, begun = [], threading.Event(), threading.Event()

    def slow(command):
        begun.set()
        gate.wait(10)
        return served(place)[command.verb](command)

    engine.answers = {"runner.stop": slow, "runner.start": served(place)["runner.start"]}
    acts = Acts(city, told.append, actor="ada")
    thread = acts.ask({"verb": "restart", "name": "a", "nonce": "1", "confirmed": True})
    assert begun.wait(10)
    assert acts.ask({"verb": "drain", "name": "a", "nonce": "2", "confirmed": True}) is None
    assert told[0]["text"] == "something is under way for it already. Wait for its result."
    gate.set()
    thread.join(10)
    assert told[1]["ok"] is True


def test_the_audit_is_told_when_asked_for_and_holds_no_argument(place, engine, shown, wire, city):
    city.link.ask("runner.start", "a<b>", {"options": {"env": {"TOKEN": "hush"}}}, seconds=5)
    shown()
    wire.answer({"kind": "audit"})
    wire.until(lambda one: one.custom("audit"))
    ((message, _),) = wire.custom("audit")
    assert [(row["what"], row["word"]) for row in message["rows"]] == [("runner.start a<b>", "done")]
    assert "hush" not in json.dumps(message)


def test_an_agents_registration_can_be_taken_back_and_a_repair_says_why(place, engine, shown, wire, city):
    asked = []
    engine.answers["runner.repair"] = lambda command: (asked.append(command.args["note"]), ("done", {}))[1]

    def forget(command):
        with place.store.write() as connection:
            row = next(one for one in services.all_of(connection, place.store.place) if one.name == command.subject)
            services.remove(connection, row, at=place.at)
        return "done", {}

    engine.answers |= {**served(place), "runner.remove": forget}
    place.runner("gh", kind="github")
    place.runner("a")
    assert board.take(place.store).tables["runners"]["gh"]["can"][-1] == "revoke"
    shown()
    wire.answer({"kind": "act", "verb": "revoke", "name": "gh", "nonce": "1", "confirmed": True})
    wire.answer({"kind": "act", "verb": "repair", "name": "a", "nonce": "2", "confirmed": True, "note": "slow"})
    wire.until(lambda one: len(one.custom("result")) == 2)
    assert all(one["ok"] for one, _ in wire.custom("result")), wire.custom("result")
    assert asked == ["slow"]
    assert "gh" not in board.take(place.store).tables["runners"]


def test_a_pause_carries_its_note_and_its_time(place, engine, shown, wire):
    asked = []
    engine.answers["runner.pause"] = lambda command: (asked.append(command.args), ("done", {}))[1]
    place.runner("a")
    shown()
    base = {"kind": "act", "verb": "pause", "name": "a", "confirmed": True}
    wire.answer({**base, "nonce": "1", "note": "disk <swap>", "time": "2 h"})
    wire.answer({**base, "nonce": "2", "time": "soon"})
    wire.until(lambda one: len(one.custom("result")) == 2)
    results = {one["nonce"]: one for one, _ in wire.custom("result")}
    if not results["2"]["ok"] and "under way" in results["2"]["text"]:  # the first had not been answered yet
        wire.answer({**base, "nonce": "3", "time": "soon"})
        wire.until(lambda one: len(one.custom("result")) == 3)
        results["2"] = wire.custom("result")[-1][0]
    assert results["1"]["ok"]
    assert asked[0]["note"] == "disk <swap>"
    assert asked[0]["seconds"] == 7200
    assert 'time is "soon", which is no length of time' in results["2"]["text"]
    assert len(asked) == 1
