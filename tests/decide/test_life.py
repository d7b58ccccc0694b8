"""How long a machine lives, what a cell may do about it, what it says."""

from datetime import datetime, timedelta, timezone

import pytest

from qcity_nb.decide import life
from qcity_nb.decide.life import Seen
from qcity_nb.errors import BadInput, Refused
from qcity_nb.model.place import Tier, Venue

BORN = datetime(2026, 5, 1, 4, 20, tzinfo=timezone.utc)
NOW = datetime(2026, 5, 1, 15, 0, tzinfo=timezone.utc)
SEEN = Seen(runners=("local-1",), vaults=1, saved=NOW - timedelta(seconds=40), goes="workstation")


def planned(**more):
    return life.planned(Venue.COLAB, Tier.PAID, **{"born": BORN, "now": NOW, "hours": 8, "limit": 12, **more})


def test_the_scene():
    """EXPERIENCE.md, "Colab is about to end"."""
    said = life.words(planned(), SEEN, NOW).lines
    assert said[:3] == (
        "This machine ends at about 16:20 UTC (12 h limit).",
        "Saved 40 s ago.",
        "At 16:05 UTC the work goes to: workstation.",
    )


@pytest.mark.parametrize("tier", [Tier.FREE, Tier.UNKNOWN])
def test_free_colab_is_refused_with_the_clause_and_what_works_instead(tier):
    with pytest.raises(Refused) as caught:
        life.planned(Venue.COLAB, tier, born=BORN, now=NOW, hours=1)
    assert "distributed-computing workers" in caught.value.what
    assert "ssh" in caught.value.todo


def test_nobody_stays_longer_than_the_terms_allow():
    """Whatever is asked for or said."""
    life_ = planned(hours=100, limit=48)
    assert life_.until == life_.ends == BORN + timedelta(hours=24)
    assert planned(hours=0.5).until == NOW + timedelta(minutes=30)


def test_a_machine_whose_time_is_over_says_what_to_do():
    with pytest.raises(BadInput, match="12 hours are over"):
        planned(now=BORN + timedelta(hours=12))


@pytest.mark.parametrize("more", [{"hours": 0}, {"hours": -1}, {"hours": 1e9}, {"limit": 0}, {"margin": timedelta(minutes=-1)}])
def test_numbers_that_make_no_sense(more):
    with pytest.raises(BadInput):
        planned(**more)


def test_a_machine_without_an_end_keeps_its_work():
    free = life.planned(Venue.BARE, Tier.UNKNOWN, born=BORN, now=NOW, hours=2)
    assert (free.ends, free.hands) == (None, None)
    said = " ".join(life.words(free, SEEN, NOW).lines)
    assert "Nobody says when this machine ends; this cell ends at 17:00 UTC" in said
    assert "goes to" not in said


def test_a_short_life_hands_over_half_way():
    short = planned(hours=0.1)
    assert short.until - short.hands == timedelta(minutes=3)


@pytest.mark.parametrize(
    ("seen", "says"),
    [
        (Seen(), "Nothing is saved off this machine: city.vaults.add(…)"),
        (Seen(vaults=1), "Nothing was saved yet."),
        (Seen(vaults=1, vault="The vault drive cannot be written: full"), "The vault drive cannot be written: full."),
        (Seen(runners=("a", "b"), busy=3), "2 runners kept up: a, b; 3 jobs run or wait."),
        (Seen(runners=("a",), engine=False), "its engine is being started again"),
        (Seen(runners=("a",)), "No place takes the work over: it ends with this machine."),
        (Seen(runners=("a",), vaults=1), "No place takes the work over: the next machine goes on from the last copy"),
    ],
)
def test_what_is_missing_is_said(seen, says):
    assert says in " ".join(life.words(planned(), seen, NOW).lines)


def test_only_the_age_ticks():
    """So a log outside of notebooks has a line when something changed and not each second."""
    one, two = life.words(planned(), SEEN, NOW), life.words(planned(), SEEN, NOW + timedelta(seconds=5))
    assert one.steady == two.steady
    assert one.saved != two.saved


def test_when_it_ends():
    mine = planned()
    assert not life.over(mine, NOW, quiet=NOW - timedelta(hours=1), until_idle=False)
    assert not life.over(mine, NOW, quiet=NOW - timedelta(seconds=5), until_idle=True)
    assert "no work" in life.over(mine, NOW, quiet=NOW - timedelta(minutes=3), until_idle=True)
    assert "time is over" in life.over(mine, mine.until, quiet=None, until_idle=False)
    assert "given back" in life.ended("x", SEEN, NOW, returned=True)
