"""What goes over the wire of a live board: sizes, numbers, gaps, floods, re-runs, acts. Comms record; there is no browser."""

from __future__ import annotations

import array
import json
import sys
import threading
import time
from dataclasses import replace
from datetime import timedelta

import pytest

from qcity_nb.client import board
from qcity_nb.errors import BadInput
from qcity_nb.model.service import Phase
from qcity_nb.store import services
from qcity_nb.ui import board as board_module
from qcity_nb.ui.board_feed import Feed

SHOWS = "<details>"


@pytest.fixture
def shown(live_board):
    return live_board


def test_sizes(place, engine, shown, wire):
    """D1: twenty runners, a thousand beats each: 150 kB at the start and 3 kB a tick, at most, with a beat of each of them in every tick."""
    for number in range(20):
        place.runner(f"runner-{number:02}", minutes=84)
    shown()
    wire.answer({"kind": "hello", "seq": 0})
    for second in range(5):
        ticks = len(wire.custom("tick"))
        for number in range(20):
            place.beat(f"runner-{number:02}", at=place.at + timedelta(seconds=second + 1))
        wire.until(lambda wire, ticks=ticks: len(wire.custom("tick")) > ticks + 1)
    start = sum(wire.size(one) for one in wire.messages if one[0] == "comm_open")
    sizes = [wire.size(one) for one in wire.messages if one[1].get("content", {}).get("kind") == "tick"]
    print(f"\n{start} B at the start; ticks of {min(sizes)} to {max(sizes)} B, {sum(sizes) / len(sizes):.0f} B on average")
    assert start <= 150_000
    assert max(sizes) <= 3000
    assert any("seen" in content for content, _ in wire.custom("tick"))


def test_what_a_tick_costs_the_kernel(place, engine):
    """Printed, not asserted: the machine is shared. Without the read of the store, which is another thread's."""
    place.fleet()
    feed = Feed(board.take(place.store), every=1.0, actor="")
    boards = [replace(feed.board, seen={name: at + turn for name, at in feed.board.seen.items()}) for turn in range(200)]
    begin = time.process_time()
    sizes = [len(json.dumps(feed.tick(one)[0])) for one in boards]
    tick = (time.process_time() - begin) / len(boards)
    begin = time.process_time()
    for _ in range(20):
        board.take(place.store)
    print(f"\n{tick * 1000:.2f} ms a tick and {(time.process_time() - begin) / 20 * 1000:.1f} ms a read, of processor; {max(sizes)} B of text")


def test_ticks_hold_only_what_changed_and_numbers_travel_as_bytes(place, engine):
    place.runner("a")
    place.runner("b")
    feed = Feed(board.take(place.store), every=1.0, actor="")
    old = feed.board
    assert feed.tick(old) == ({"kind": "tick", "seq": 1, "at": round(old.at, 2)}, [])
    rows = {**old.tables["runners"], "a": {**old.tables["runners"]["a"], "text": "is up, they say"}}
    new = replace(old, slot=old.slot + 60, tables={**old.tables, "runners": rows}, beats={**old.beats, "b": bytes(60)}, seen={"a": 7, "b": 1 << 31})
    message, buffers = feed.tick(new)
    assert message["tables"] == {"runners": {"set": [("a", {"text": "is up, they say"})], "gone": []}}
    assert (message["beats"], message["seen"], message["slot"]) == (["b"], ["a", "b"], new.slot)
    assert buffers[0] == bytes(60)
    assert buffers[1] == bytes.fromhex("0700000000000080")
    numbers = array.array("I", buffers[1])
    assert numbers.itemsize == 4
    assert sys.byteorder == "big" or list(numbers) == [7, 1 << 31]


def test_running_the_cell_ten_times_leaves_one_view_one_thread_and_one_widget(place, engine, shown, wire):
    """D3."""
    place.runner("a")
    from ipywidgets import Widget

    known = vars(sys.modules[Widget.__module__]).get("_instances", Widget.__dict__.get("widgets"))  # since 8 and before
    counts = []
    for _ in range(10):
        last = shown()
        counts.append((len(known), sum(thread.name.startswith("board-") for thread in threading.enumerate()), len(board_module._shown)))
    assert len(set(counts)) == 1
    assert counts[0][1:] == (1, 1)
    assert last.live
    assert sum(kind == "comm_close" for kind, *_ in wire.messages) == 18  # each with its layout
    assert len(wire.custom("closed")) == 9


def test_two_names_are_two_views(place, engine, shown):
    place.runner("a")
    one, other = shown(name="one"), shown(name="other")
    assert one.live
    assert other.live
    one.close()
    one.close()
    assert (one.live, other.live) == (False, True)


def test_showing_the_same_one_twice_makes_no_second_widget(place, engine, shown, wire):
    place.runner("a")
    one = shown()
    one._ipython_display_()
    assert sum(kind == "comm_open" and "snapshot" in data["state"] for kind, data, _ in wire.messages) == 1
    assert len(wire.displays) == 4


def test_hello_folds_the_static_copy_and_brings_what_was_missed(place, engine, shown, wire):
    place.runner("a")
    shown()
    assert SHOWS not in wire.displays[1][0]["text/html"].replace("<details><summary>1", "")
    wire.until(lambda wire: len(wire.custom("tick")) >= 2)  # nobody was there to hear them
    wire.answer({"kind": "hello", "seq": 0})
    snapshot = wire.until(lambda wire: len(wire.snapshots()) > 1 and wire.snapshots()[-1])
    assert snapshot["seq"] >= 2
    assert wire.displays[1][0]["text/html"].startswith(SHOWS)
    assert "is well" in wire.displays[1][0]["text/html"].partition("</summary>")[0]
    ticks = [content["seq"] for content, _ in wire.custom("tick")]
    assert ticks == list(range(1, len(ticks) + 1))


def test_a_storm_of_gaps_gets_one_snapshot_in_two_seconds_and_ticks_stay_at_four_a_second(place, engine, shown, wire):
    place.runner("a")
    shown()
    begin = time.monotonic()
    while time.monotonic() - begin < 1.2:
        wire.answer({"kind": "resync", "seq": -1})
    took = time.monotonic() - begin
    assert len(wire.snapshots()) <= 2
    assert len(wire.custom("tick")) <= took / 0.25 + 1


def test_a_burst_of_6000_events_becomes_a_few_ticks(place, engine, shown, wire):
    """D5: what happens between two ticks is told once, as it is at the end."""
    place.runner("a")
    shown()
    before = len(wire.messages)
    begin = time.monotonic()
    with place.store.write() as connection:
        for number in range(6000):
            services.flip(connection, place.store.place, "runner", "a", "x", "y", reason=str(number), at=place.at, generation=1)
        row = services.all_of(connection, place.store.place)[0]
        services.save(connection, row, replace(row.state, phase=Phase.QUARANTINED, reason="the 6000th"), at=place.at, generation=1)
    wire.until(lambda wire: any("the 6000th" in json.dumps(content) for content, _ in wire.custom("tick")), 5)
    assert len(wire.messages) - before <= (time.monotonic() - begin) / 0.25 + 3


def test_nothing_is_read_while_nothing_is_written(place, engine, shown, wire, monkeypatch):
    place.runner("a")
    reads, real = [], board.take
    monkeypatch.setattr(board, "take", lambda store: reads.append(1) or real(store))  # counts
    shown()
    wire.until(lambda wire: len(wire.custom("tick")) >= 6)
    assert len(reads) == 2  # for the first picture, and the pump's own first
    place.beat("a")
    ticks = len(wire.custom("tick"))
    wire.until(lambda wire: len(wire.custom("tick")) >= ticks + 3)
    assert len(reads) == 3
    assert wire.custom("tick")[-1][0]["at"] > wire.custom("tick")[0][0]["at"]


def test_bad_messages_end_nothing(place, engine, shown, wire):
    place.runner("a")
    one = shown()
    acts = ({"kind": "act"}, {"kind": "act", "nonce": {"x": 1}})
    for bad in (None, 7, "hello", [], {}, {"kind": None}, {"kind": "log"}, *acts, {"kind": "hello", "seq": "no"}):
        wire.answer(bad)
    ticks = len(wire.custom("tick"))
    wire.until(lambda wire: len(wire.custom("tick")) > ticks + 1)
    assert one.live


def test_a_store_that_vanishes_is_said_and_comes_back(place, engine, shown, wire, monkeypatch):
    place.runner("a")
    shown()
    real = board.take

    def gone(store):
        raise OSError("no such file <b>")

    place.beat("a")
    monkeypatch.setattr(board, "take", gone)  # a file that is taken away would be made anew by SQLite
    trouble = wire.until(lambda wire: next((content["trouble"] for content, _ in wire.custom("tick") if "trouble" in content), ""))
    assert trouble == "the place cannot be read (OSError: no such file <b>)"
    monkeypatch.setattr(board, "take", real)
    wire.until(lambda wire: "trouble" not in wire.custom("tick")[-1][0])
    numbers = [content["seq"] for content, _ in wire.custom("tick")]
    assert numbers == list(range(1, len(numbers) + 1))


def test_a_log_is_told_when_asked_for(place, engine, shown, wire):
    place.runner("a")
    path = place.store.home.service("a") / "log"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("<script>\ntoken=hunter22\n")
    shown()
    assert wire.custom("log") == []
    wire.answer({"kind": "log", "name": "a"})
    wire.answer({"kind": "log", "name": "../../etc"})
    wire.until(lambda wire: len(wire.custom("log")) == 2)
    texts = {one["name"]: one["text"] for one, _ in wire.custom("log")}
    assert texts["a"] == "<script>\ntoken=***"
    assert texts["../../etc"].startswith('there is no runner "../../etc".')


def test_closing_the_city_closes_its_boards(place, engine, shown, wire, city):
    place.runner("a")
    one = shown()
    city.close()
    assert not one.live


def test_without_anywidget_the_static_copy_says_how_to_get_it(place, engine, city, wire, monkeypatch):
    place.runner("a")
    monkeypatch.setitem(sys.modules, "anywidget", None)
    monkeypatch.delitem(sys.modules, "qcity_nb.ui.board_widget", raising=False)
    city.dashboard()._ipython_display_()
    [(bundle, _)] = wire.displays
    assert "pip install &quot;qcity-nb[dashboard]&quot;" in bundle["text/html"]
    assert wire.messages == []


def test_where_nobody_looks_there_is_no_widget(place, engine, city, wire, monkeypatch):
    place.runner("a")
    monkeypatch.setattr(board_module, "is_watched", lambda: False)
    city.dashboard()._ipython_display_()
    assert [set(bundle) for bundle, _ in wire.displays] == [{"text/plain", "text/html"}]
    assert wire.messages == []


@pytest.mark.parametrize("every", [0, 0.1, -1, float("nan")])
def test_it_cannot_look_more_often_than_four_times_a_second(city, every):
    with pytest.raises(BadInput, match="a dashboard cannot look every"):
        city.dashboard(every=every)


def test_a_front_end_that_never_says_hello_gets_a_static_copy_that_lives(place, engine, shown, wire, monkeypatch):
    """D4's other half: versions that do not fit show nothing, and nothing says so; the copy beside it does."""
    monkeypatch.setattr(board_module, "HELLO_SECONDS", 0.5)
    monkeypatch.setattr(board_module, "RESYNC_SECONDS", 0.2)
    place.runner("a")
    shown()

    def copy() -> str:
        return wire.displays[1][0]["text/html"]

    wire.until(lambda _: "has not answered" in copy())
    place.runner("b")
    wire.until(lambda _: ">b<" in copy())
    wire.answer({"kind": "hello", "seq": 0})  # it was late, no more
    wire.until(lambda _: copy().startswith(SHOWS))
    assert "has not answered" not in copy()
