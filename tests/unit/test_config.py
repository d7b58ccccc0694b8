"""Each wrong key or value in qcity.toml is one sentence with its line and the nearest right word."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qcity_nb.client import settings
from qcity_nb.decide import config
from qcity_nb.errors import BadConfig, BadInput


def problems(text):
    return [(problem.line, problem.text) for problem in config.read(text)[1]]


def test_a_whole_file():
    city, wrong = config.read(
        '[runner.web]\nlabels = ["linux", "gpu"]\nbranches = "main"\nslots = 3\nsandbox = "full"\nnetwork = true\npoll = "5 s"\n'
        'env = ["LANG"]\nsilent_after = "2 min"\ngrace = 5\nlimits = { memory = "2 GB", processes = 99 }\n'
        '[runner.bot]\nkind = "command"\ncommand = ["bot", "--run"]\n'
        '[policy]\nretries = 1\ntimeout = "1 h"\nrestart = { burst = 3, window = "5 min", base = 1, cap = "1 min" }\n'
    )
    assert wrong == ()
    web, bot = city.runners
    assert (web.name, web.kind, web.labels) == ("web", "local", ("linux", "gpu"))
    assert (web.silent_after, web.grace) == (timedelta(minutes=2), timedelta(seconds=5))
    assert web.options["limits"] == {"memory": 2 * 10**9, "processes": 99}
    assert (web.options["branches"], web.options["poll"], web.options["env"]) == (["main"], 5.0, ["LANG"])
    assert bot.options == {"command": ["bot", "--run"]}
    assert (city.retries, city.timeout, city.restart.burst, city.restart.cap) == (1, timedelta(hours=1), 3, timedelta(minutes=1))


def test_a_fleet():
    city, wrong = config.read(
        '[runner.web]\nclaim = true\n[runner.bot]\nkind = "command"\ncommand = ["bot"]\nclaim = "bots"\n'
        '[fleet]\nlease = "git:ssh://git.example.org/leases.git"\nterm = "30 s"\nme = "desk"\n'
        '[fleet.places]\ndesk = {}\ncolab = { kind = "colab", price = 0.35, start = "2 min", budget = 5, gpu = "T4" }\n'
    )
    assert wrong == ()
    assert [runner.claim for runner in city.runners] == ["web", "bots"]
    fleet = city.fleet
    assert (fleet.lease, fleet.term, fleet.me) == ("git:ssh://git.example.org/leases.git", timedelta(seconds=30), "desk")
    assert [place.name for place in fleet.places] == ["desk", "colab"]
    colab = fleet.places[1]
    assert (colab.kind, colab.price, colab.start, colab.budget, colab.options) == (
        "colab",
        Decimal("0.35"),
        timedelta(minutes=2),
        Decimal(5),
        {"gpu": "T4"},
    )


@pytest.mark.parametrize(
    ("text", "line", "sentence"),
    [
        ('[fleet]\nleese = "git:x"\nlease = "git:x"\n', 2, '"leese" is no key of the fleet; did you mean "lease"?'),
        ('[fleet]\nterm = "30 s"\n', 1, 'a fleet needs lease = "KIND:ADDRESS", like lease = "git:https://git.example.org/team/leases.git"'),
        ('[fleet]\nlease = "git:x"\nterm = "1 day"\n', 3, None),
        ('[fleet]\nlease = "git:x"\nterm = "2 h"\n', 3, 'term = "2 h" must be between 1 s and 1 h'),
        ('[fleet]\nlease = "git:x"\nme = "dsk"\n[fleet.places.desk]\n', 3, 'me = "dsk" is none of the places; did you mean "desk"?'),
        ('[fleet]\nlease = "git:x"\n[fleet.places]\ndesk = 3\n', 4, "write [fleet.places.desk] as a table, with its keys on the lines below it"),
        ('[fleet]\nlease = "git:x"\n[fleet.places.desk]\nprice = -1\n', 4, "price = -1 must be an amount of money, like 0 or 0.35"),
        ('[fleet]\nlease = "git:x"\nplaces = 3\n', 3, "places = 3 must be a table"),
        ('[fleet]\nlease = "git:x"\n[fleet.places.desk]\noptions = { a = 1 }\n', 4, None),
        ('[runner.a]\nclaim = "a/b"\n[fleet]\nlease = "git:x"\n', 2, None),
        ("[runner.a]\nslot = 2\n", 2, '"slot" is no key of a local runner; did you mean "slots"?'),
        ('[runner.a]\n\n# two\nslots = "two"\n', 4, 'slots = "two" must be a whole number from 1 to 64'),
        ("[runner.a]\nslots = true\n", 2, "slots = true must be a whole number from 1 to 64"),
        ('[runner.a]\nsandbox = "ful"\n', 2, 'sandbox = "ful" must be one of full, partial, none; did you mean "full"?'),
        ('[runner.a]\nkind = "locl"\n', 2, 'there is no kind "locl" of runner; did you mean "local"?'),
        ('[runner.a]\npoll = "soon"\n', 2, 'poll = "soon" must be a duration, like 30, "90 s", "10 min" or "6 h"'),
        ('[runner.a.limits]\nmemory = "lots"\n', 2, 'memory = "lots" must be a size, like "500 MB" or "4 GB"'),
        ('[runner.a]\nkind = "command"\n', 1, 'a command runner needs its command, like command = ["my-agent", "--run"]'),
        ('[runner.a]\nfallback = "c"\n[runner.bc]\n', 2, '"c" is no other runner of this file; did you mean "bc"?'),
        ('[runner.a]\nfallback = "a"\n', 2, '"a" is no other runner of this file; there are: none'),
        ('[runner.a]\ncanary = "often"\n', 2, 'canary = "often" must be a duration, like 30, "90 s", "10 min" or "6 h"'),
        ("[polcy]\n", 1, '"polcy" is no key of this file; did you mean "policy"?'),
        ("[policy]\nrestart = { windw = 3 }\n", 2, '"windw" is no key of the restart policy; did you mean "window"?'),
        ("runner = 3\n", 1, "runner = 3 must be a table"),
        ("[runner]\nweb = 3\n", 2, "write [runner.web] as a table, with its keys on the lines below it"),
        ('[runner.a]\nenv = { TOKEN = "secret" }\n', 2, None),
        ("[runner.a]\nslots = = 2\n", 2, "this is not TOML: invalid value"),
        ('[runner."../up"]\n', 1, None),
    ],
)
def test_what_is_wrong_is_one_sentence_with_its_line(text, line, sentence):
    found = problems(text)
    assert len(found) == 1
    assert found[0][0] == line
    assert "\n" not in found[0][1]
    if sentence is not None:
        assert found[0][1] == sentence


def test_everything_wrong_is_said_together_in_the_order_of_lines():
    found = problems('[runner.a]\nslots = 0\nnetwork = "no"\n[policy]\nretries = -1\n')
    assert [line for line, _ in found] == [2, 3, 5]


def test_a_byte_order_mark_and_tabs_are_no_problem():
    assert problems("\ufeff[runner.a]\n\tslots\t=\t2\n") == []


def test_a_key_inside_a_long_string_is_not_mistaken_for_one():
    assert problems('[runner.a]\nrepo = """\nslots = 1\n"""\nslotz = 1\n')[0][0] == 5


@given(st.text(alphabet='[]runner.policy =\n"\'{}#ab1\t', max_size=200))
def test_no_text_breaks_the_reader(text):
    city, wrong = config.read(text)
    assert wrong or city is not None
    assert all("\n" not in problem.text and 1 <= problem.line <= max(1, len(text.splitlines()) + 1) for problem in wrong)


def test_a_file_that_is_no_text_is_said_with_its_line(tmp_path):
    (tmp_path / "qcity.toml").write_bytes(b"[runner.a]\nslots = 1 # \xff\n")
    with pytest.raises(BadConfig, match=r"qcity\.toml:2: this line is not UTF-8"):
        settings.read(tmp_path)


def test_all_problems_reach_the_person_and_nothing_is_started(city, engine, tmp_path: Path):
    (tmp_path / "qcity.toml").write_text("[runner.a]\nslot = 1\nlabel = 3\n")
    with pytest.raises(BadConfig) as caught:
        city.up(tmp_path)
    assert caught.value.what.splitlines() == [
        'qcity.toml:2: "slot" is no key of a local runner; did you mean "slots"?',
        'qcity.toml:3: "label" is no key of a local runner; did you mean "labels"?',
    ]
    assert engine.seen == []


def test_a_repository_that_is_not_there(city, tmp_path):
    with pytest.raises(BadInput, match="there is no folder"):
        city.up(tmp_path / "no where ü")
    (tmp_path / "file").write_text("")
    with pytest.raises(BadInput, match="is a file, not a repository"):
        city.up(tmp_path / "file")
