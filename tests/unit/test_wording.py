from __future__ import annotations

from datetime import datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qcity_nb.client import doctor
from qcity_nb.decide import health, wording
from qcity_nb.errors import StoreError


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        *((0, "0 s"), (0.003, "3 ms"), (0.09, "0.09 s"), (0.4, "0.4 s"), (9.94, "9.9 s"), (12, "12 s")),
        *((240, "4 min"), (12000, "3 h 20 min"), (172800, "2 days"), (-5, "0 s")),
    ],
)
def test_durations_as_people_say_them(seconds, text):
    assert wording.span(seconds) == text
    assert wording.span(timedelta(seconds=seconds)) == text


def test_a_clock_that_went_back_never_gives_a_negative_age():
    now = datetime(2026, 1, 1, tzinfo=timezone.utc)
    assert wording.since(now + timedelta(hours=1), now) == "0 s ago"
    assert wording.since(None, now) == "never"


@given(st.text())
def test_nothing_from_outside_is_obeyed_by_a_terminal(text):
    shown = wording.visible(text)
    assert not any((ord(char) < 32 and char not in "\n\t") or 0x7F <= ord(char) < 0xA0 or char in "\u202e\u2066" for char in shown)
    assert wording.visible(shown) == shown
    assert "\n" not in wording.line(text)


def test_colour_codes_go_and_other_controls_are_shown():
    assert wording.visible("\x1b[31mred\x1b[0m\x07\x1b]8;;http://x\x07link") == "red␇link"
    assert wording.visible("a\r\nb\rc") == "a\nb␍c"


def test_a_share_never_rounds_up_to_perfect():
    assert wording.percent(0.99999) == "99.9 %"
    assert wording.percent(1.0) == "100 %"
    assert wording.percent(None) == "-"


def test_the_nearest_word_or_what_there_is():
    assert wording.did_you_mean("locla-1", ["local-1", "web"], what="runner") == 'Did you mean "local-1"?'
    assert wording.did_you_mean("zzz", ["local-1"], what="runner") == "There is: local-1"
    assert wording.did_you_mean("zzz", [], what="runner") == "There is no runner yet"


@pytest.mark.parametrize(("given_", "seconds"), [(30, 30), (0.5, 0.5), ("90 s", 90), ("10 min", 600), ("6h", 21600), ("2 days", 172800)])
def test_durations_as_people_write_them(given_, seconds):
    assert wording.duration(given_) == timedelta(seconds=seconds)


@pytest.mark.parametrize("wrong", [True, "soon", "5 parsecs", -1, None, [], "1e9 h", 1e12])
def test_what_is_no_duration_is_refused(wrong):
    with pytest.raises(ValueError):
        wording.duration(wrong)


def test_sizes():
    assert wording.bytes_of("4 GB") == 4 * 10**9
    assert wording.bytes_of("4 GiB") == 4 << 30
    assert wording.size(1234) == "1.2 kB"
    with pytest.raises(ValueError):
        wording.bytes_of("4 apples")


@pytest.mark.parametrize(
    ("todo", "said"),
    [
        ("", ""),
        ("free some space", "Free some space."),
        ("qcity doctor says more", "qcity doctor says more."),
        ('did you mean "a"?', 'Did you mean "a"?'),
        ("It is tried again.", "It is tried again."),
    ],
)
def test_what_to_do_next_is_a_sentence(todo, said):
    """With a capital letter, unless it begins with a program's name, and with a full stop, wherever it is shown."""
    assert StoreError("it failed", todo).todo == said
    assert doctor.warn("disk", "it is full", todo).todo == said
    assert health.Condition(level=health.Level.WARN, text="is odd", todo=todo).todo == said
