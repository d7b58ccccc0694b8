"""The facts of a board: one read, problems first, flapping with hysteresis, what changed, and whether anybody looks."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from datetime import datetime, timedelta, timezone

import pytest
import sqlalchemy as sa
from hypothesis import given
from hypothesis import strategies as st

from qcity_nb.client import board, view
from qcity_nb.decide import board as decide
from qcity_nb.decide.board import DOWN, NONE, PARTLY, UP
from qcity_nb.model.service import Phase
from qcity_nb.store import history, services, sums
from qcity_nb.testing.clock import BEGIN
from qcity_nb.ui import board_static
from qcity_nb.ui.board_feed import Feed


def runner(place, name):
    return board.take(place.store).tables["runners"][name]


def test_what_a_row_says(place, engine):
    place.fleet()
    shown = board.take(place.store)
    rows = shown.tables["runners"]
    assert [name for name, row in sorted(rows.items(), key=lambda pair: pair[1]["rank"])][:4] == ["gh-07", "gl-03", "gh-04", "linux-05"]
    assert (rows["gh-07"]["word"], rows["gh-07"]["glyph"], rows["gh-07"]["can"]) == ("bad", "✖", ["start"])
    assert (rows["gh-04"]["level"], rows["gh-04"]["flaps"] > 30) == ("warn", True)
    assert rows["linux-06"]["job"] == "2 test"
    assert rows["linux-06"]["wait"] == ["4.0 s", "31 s"]
    assert [rows["linux-07"][key] for key in ("word", "day", "week", "sandbox")] == ["well", "100 %", "100 %", "full"]
    assert rows["spare"]["can"] == ["start"]
    assert set(shown.beats["linux-08"]) == {UP}
    assert shown.beats["gh-07"][-5:] == bytes([DOWN] * 5)
    assert shown.seen["linux-08"] == int(place.at.timestamp())
    assert shown.seen["gh-07"] == int(place.at.timestamp()) - 720
    assert shown.seen["spare"] == 0
    assert shown.head["text"].startswith("1 of 20 needs you: gh-07 is quarantined")
    assert dict(map(tuple, shown.head["figures"]))["up"] == "17 of 19"
    assert shown.head["about"][0]["text"].startswith("gh-04 flaps: its state changed in ")
    assert [row["word"] for row in shown.tables["incidents"].values()] == ["healthy", "open"]
    assert shown.tables["runs"]["1"]["cells"] == "✔✔▸·"
    assert shown.tables["schedules"]["nightly"]["next"] > shown.at
    assert shown.tables["tunnels"]["app"]["url"] == "https://app.example"


def test_an_engine_that_died_is_said_in_the_data(place, engine):
    place.runner("a")
    engine.die()
    shown = board.take(place.store)
    assert (shown.head["level"], shown.head["alive"]) == ("stale", False)
    assert "died" in shown.head["engine"]
    assert shown.tables["runners"]["a"]["word"] == "stale"


def test_the_end_of_a_log_holds_no_secret_no_control_character_and_no_endless_line(place):
    place.runner("a")
    path = place.store.home.service("a") / "log"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("x" * 3_000_000 + "\n\x1b[31mred\x00\ntoken=ghp_abcdefghijklmnopqrstuvwxyz0123456789\n")
    text = board.log(place.store.home, "a")
    assert "ghp_" not in text
    assert "\x1b" not in text
    assert "red\u2400" in text
    assert len(text) < 2000


@pytest.mark.parametrize(
    ("slots", "flaps"),
    [
        ([UP] * 60, False),
        ([], False),
        ([NONE] * 30 + [UP] * 30, False),
        ([UP, DOWN] * 10, False),  # not a full window yet
        ([UP] * 30 + [UP, DOWN] * 15, True),
        ([UP, DOWN] * 15 + [UP] * 30, False),  # over for long enough
        ([UP] * 40 + [DOWN] * 20, False),  # down is not flapping
        ([NONE, UP, NONE, PARTLY] * 15, True),
    ],
)
def test_flapping(slots, flaps):
    assert decide.flapping(bytes(slots))[1] is flaps


def test_the_badge_does_not_flap_itself():
    """Between the thresholds it stays what it was: 6 old changes of 20 are 26 % after they began with more, and come from nothing otherwise."""
    calm_then_some = [UP] * 40 + [DOWN, UP, DOWN, UP, DOWN] + [DOWN] * 15
    wild_then_some = [UP, DOWN] * 20 + [UP] * 3 + [DOWN, UP, DOWN, UP, DOWN] + [DOWN] * 12
    assert decide.flapping(bytes(calm_then_some)) == (pytest.approx(25, abs=4), False)
    share, flaps = decide.flapping(bytes(wild_then_some))
    assert 20 <= share < 30
    assert flaps


TABLES = st.dictionaries(st.sampled_from("abc"), st.dictionaries(st.text(max_size=3), st.dictionaries(st.sampled_from("xyz"), st.integers(0, 2))))


@given(TABLES, TABLES)
def test_who_knows_the_old_and_hears_the_changes_knows_the_new(old, new):
    new = {name: new.get(name, {}) for name in {*old, *new}}
    fields = {"x": 0, "y": 0, "z": 0}  # a row always has the same ones
    old, new = ({name: {key: {**fields, **row} for key, row in table.items()} for name, table in one.items()} for one in (old, new))
    known = {name: dict(table) for name, table in old.items()}
    for name, change in decide.changes(old, new).items():
        table = known.setdefault(name, {})
        for key, part in change["set"]:
            table[key] = {**table.get(key, {}), **part}
        for key in change["gone"]:
            del table[key]
    assert {name: table for name, table in known.items() if table} == {name: table for name, table in new.items() if table}


@pytest.mark.parametrize(
    ("env", "parent", "colab", "watched"),
    [
        ({"JPY_SESSION_NAME": "a.ipynb"}, ["python", "-m", "jupyterlab"], False, True),
        ({"JPY_SESSION_NAME": "a.ipynb"}, ["python", "/bin/papermill", "a", "b"], False, False),  # asked for in a cell: inherited
        ({"JPY_SESSION_NAME": "a.ipynb", "QCITY_NB_HEADLESS": "1"}, [], False, False),
        ({"JPY_SESSION_NAME": "a.ipynb", "QCITY_NB_HEADLESS": "0"}, [], False, True),
        ({"JPY_PARENT_PID": "7"}, ["python", "-m", "pytest"], False, False),
        ({"SERVER_SOFTWARE": "voila/0.5"}, [], False, True),
        ({"VSCODE_PID": "7"}, [], False, True),
        ({}, [], True, True),
        ({}, [], False, False),
    ],
)
def test_who_looks(env, parent, colab, watched):
    assert decide.watched(env, parent, colab=colab) is watched


def test_uptime_counts_each_beat_once_whatever_is_rolled_up(store):
    """Hours, minutes and raw beats side by side, on SQLite and PostgreSQL, against a count of all beats by hand."""
    from qcity_nb.model.service import ServiceSpec, ServiceState

    with store.write() as connection:
        ids = [
            services.add(connection, store.place, ServiceSpec(name=name, kind="command"), ServiceState(name=name, since=BEGIN), at=BEGIN).id
            for name in ("a", "b")
        ]
        put = []
        for second in range(0, 5 * 3600 + 1234, 15):
            at = BEGIN + timedelta(seconds=second)
            history.beat(connection, [(ids[0], second % 45 != 0, 0), (ids[1], True, 0)], at=at)
            put.append((int(at.timestamp()), int(second % 45 != 0)))
            if second % 3600 == 1800:
                history.roll_up(connection, now=at)
    now = BEGIN + timedelta(seconds=5 * 3600 + 1234)
    with store.read() as connection:
        at = sums.edges(connection, ids)
        for hours in (1, 3, 24, 24 * 7):
            since = int((now - timedelta(hours=hours)).timestamp()) // 60 * 60  # minutes are the finest that is left
            found = sums.ups(connection, ids, since=datetime.fromtimestamp(since, timezone.utc), at=at)
            wanted = [up for moment, up in put if moment >= since]
            assert found[ids[0]] == (len(wanted), sum(wanted)), hours
            assert sums.share(found, ids[1]) == 1
        minutes = sums.by_minute(connection, ids, since=int(now.timestamp()) // 60 * 60 - 59 * 60, at=at)
        assert sum(n for id_, _, n, _ in minutes if id_ == ids[1]) == sum(moment >= int(now.timestamp()) // 60 * 60 - 59 * 60 for moment, _ in put)
        assert sums.seen(connection, ids, now=now)[ids[1]] == put[-1][0]
        assert sums.seen(connection, ids, now=now + timedelta(hours=4))[ids[1]] <= int((now + timedelta(hours=3)).timestamp())
        assert sums.seen(connection, [], now=now) == {}
        assert view.up_shares(connection, [], since=now) == {}


def test_the_static_copy_shows_all_of_them_with_inline_styles_only(place, engine, city):
    """D10: nothing that the sanitizer of an untrusted notebook takes away."""
    place.fleet()
    page = city.dashboard().static()
    rows = board.take(place.store).tables["runners"]
    for name in rows:
        assert board_static.escape(name) in page
    assert "&lt;script&gt;" in page
    assert not any(word in page for word in ("<script", "<style", "<svg", "class=", "http-equiv", "onclick"))
    assert len(page) < 60_000
    assert "<details><summary>14 more runners well, 1 stopped or standing by</summary>" in page
    assert repr(city.dashboard()) == f"<Dashboard board of {city.home} · not shown>"


def test_it_is_plain_data(place, engine):
    place.fleet()
    json.dumps(Feed(board.take(place.store), every=1, actor="").snapshot(), allow_nan=False)


def test_an_empty_place_has_a_board(place):
    shown = board.take(place.store)
    assert shown.head["text"] == "No runner yet."
    assert "No runner yet." in board_static.page(shown)


@pytest.mark.slow
@pytest.mark.real
def test_two_hundred_runners_and_a_million_beats_are_read_without_going_through_them(place, engine):
    """What it takes is printed; what is asserted is that no question goes through a whole table of beats."""
    for number in range(200):
        place.runner(f"r-{number:03}", minutes=417, down=(lambda minute: minute % 9 == 0) if number % 20 == 0 else lambda _: False)
    with place.store.write() as connection:
        history.roll_up(connection, now=place.at)
        total = connection.exec_driver_sql("select count(*) from beats").scalar()
    for number in range(400):
        place.job(f"job {number}", f"r-{number % 200:03}", ago=60 + number * 50, took=30)
    assert total > 1_000_000
    asked = []

    def note(_connection, _cursor, statement, parameters, *_):
        asked.append((statement, parameters))

    sa.event.listen(place.store._engine, "after_cursor_execute", note)
    board.take(place.store)
    sa.event.remove(place.store._engine, "after_cursor_execute", note)
    with place.store.read() as connection:
        plans = [str(row) for statement, given in asked for row in connection.exec_driver_sql(f"explain query plan {statement}", given)]
    assert any("beats" in plan for plan in plans)
    assert not [plan for plan in plans if "SCAN beats" in plan or "SCAN rollups" in plan]
    took = []
    for _ in range(7):
        begin = time.perf_counter()
        shown = board.take(place.store)
        took.append(time.perf_counter() - begin)
    print(f"\n200 runners, {total} beats: {min(took) * 1000:.0f} ms at best, {sorted(took)[3] * 1000:.0f} ms in the middle")
    assert len(shown.tables["runners"]) == 200


def test_a_row_goes_with_its_runner(place, engine):
    place.runner("a")
    assert runner(place, "a")["can"] == ["restart", "drain", "pause", "repair"]
    place.change("a", phase=Phase.QUARANTINED, reason="x")
    assert runner(place, "a")["can"] == ["start"]
    old = board.take(place.store)
    with place.store.write() as connection:
        row = services.all_of(connection, place.store.place)[0]
        services.remove(connection, row, at=datetime.now(timezone.utc))
    assert decide.changes(old.tables, board.take(place.store).tables)["runners"]["gone"] == ["a"]
    assert decide.changes(old.tables, replace(old).tables) == {}
