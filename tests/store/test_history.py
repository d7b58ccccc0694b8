"""Roll-ups of beats say what the raw beats said, whenever they are made and however long the engine was away."""

from __future__ import annotations

from collections import defaultdict
from datetime import timedelta

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from qcity_nb.model.service import ServiceSpec, ServiceState
from qcity_nb.store import history, services
from qcity_nb.store.database import prepare, prepare_home
from qcity_nb.testing.clock import BEGIN

STRETCH = st.tuples(st.integers(1, 2500), st.integers(0, 40_000), st.booleans(), st.integers(0, 3))


def add_services(store, names):
    with store.write() as connection:
        state = ServiceState(name="", since=BEGIN)
        return {name: services.add(connection, store.place, ServiceSpec(name=name, kind="command"), state, at=BEGIN).id for name in names}


def live(store, ids, stretches):
    """Stretches of life (seconds up with a beat every 25 s and a roll-up each minute, then seconds of absence); all beats that were put."""
    put, moment = {}, BEGIN
    for length, away, up, busy in stretches:
        end, rolled = moment + timedelta(seconds=length), moment
        with store.write() as connection:
            while moment < end:
                history.beat(connection, [(id_, up, busy) for id_ in ids.values()], at=moment)
                put.update({(name, int(moment.timestamp())): (int(up), busy) for name in ids})
                if moment - rolled >= timedelta(seconds=60):
                    history.roll_up(connection, now=moment)
                    rolled = moment
                moment += timedelta(seconds=25)
        moment += timedelta(seconds=away)
    with store.write() as connection:
        history.roll_up(connection, now=moment)
    return put, moment


def summed(put, span, *, until, since):
    """The oracle: plain sums over all beats that were ever put, for the spans that are over."""
    sums = defaultdict(lambda: [0, 0, 0])
    last = int(until.timestamp()) // span * span
    for (name, at), (up, busy) in put.items():
        slot = at - at % span
        if since <= slot < last:
            sums[slot, name] = [a + b for a, b in zip(sums[slot, name], (1, up, busy), strict=True)]
    return [(name, slot, *values) for (slot, name), values in sorted(sums.items())]


def read(store, span, since=BEGIN):
    with store.read() as connection:
        return [(s.service, int(s.at.timestamp()), s.beats, s.up, s.busy) for s in history.spans(connection, store.place, since=since, span=span)]


def check(store, put, until):
    for span, kept in ((60, timedelta(days=30)), (3600, timedelta(days=36500))):
        oldest = max(int(BEGIN.timestamp()) // span * span, int((until - kept).timestamp()))
        assert read(store, span, BEGIN - timedelta(hours=1)) == summed(put, span, until=until, since=oldest)


def test_minutes_and_hours_are_right_while_the_engine_lives(store):
    put, until = live(store, add_services(store, ["a", "b"]), [(9000, 0, True, 1), (4000, 0, False, 0)])
    check(store, put, until)


@given(st.lists(STRETCH, min_size=1, max_size=4))
@settings(max_examples=10, deadline=None, phases=[Phase.generate], suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_minutes_and_hours_are_right_although_the_engine_was_away(tmp_path_factory, stretches):
    """What was beaten before the engine died is rolled up by the next one, hours later."""
    store, _ = prepare(prepare_home(tmp_path_factory.mktemp("home")))
    put, until = live(store, add_services(store, ["a"]), stretches)
    check(store, put, until)
    store.close()


def test_raw_beats_are_kept_for_a_day_and_minutes_for_a_month(store):
    ids = add_services(store, ["a"])
    day = timedelta(days=1)
    for age in (32, 29, 2, 0):
        with store.write() as connection:
            history.beat(connection, [(ids["a"], True, 0)], at=BEGIN - age * day)
            history.roll_up(connection, now=BEGIN - age * day + timedelta(hours=1))
    with store.write() as connection:
        history.roll_up(connection, now=BEGIN + timedelta(hours=2))
    assert len(read(store, 1, BEGIN - 40 * day)) == 1
    assert len(read(store, 60, BEGIN - 40 * day)) == 3
    assert len(read(store, 3600, BEGIN - 40 * day)) == 4


def test_a_second_beat_in_the_same_second_is_no_second_beat(store):
    ids = add_services(store, ["a"])
    with store.write() as connection:
        history.beat(connection, [(ids["a"], True, 0)], at=BEGIN)
        history.beat(connection, [(ids["a"], True, 2)], at=BEGIN + timedelta(milliseconds=300))
    assert len(read(store, 1)) == 1


def test_no_services_no_beats(store):
    with store.write() as connection:
        history.beat(connection, [], at=BEGIN)
    assert read(store, 1) == []
