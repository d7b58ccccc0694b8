"""What many idle agents cost their platform: the real attendant and client against the stand-in, with a minute of half a second."""

from __future__ import annotations

import time

from qcity_nb.io import secrets
from qcity_nb.kinds.runners.forge import attendant
from qcity_nb.model.home import Home
from qcity_nb.model.wire import AgentCard
from qcity_nb.testing.github import FakeGitHub
from qcity_nb.testing.real_engine import until

REPO = "octo/hello"
MINUTE = 0.5


def test_twenty_idle_runners_cost_one_list_a_minute_and_its_revalidation_is_free(tmp_path, monkeypatch):
    monkeypatch.setattr(attendant, "POLL", MINUTE)  # the time between two lists is a constant of the process
    home = Home(tmp_path / "home")
    with FakeGitHub(base="/api/v3") as github:
        github.repository(REPO)
        token = github.token()
        secrets.keep(home, "hub", token)
        options = {"forge": "github", "scope": REPO, "url": github.root, "token": "hub"}
        cards = []
        for number in range(20):
            github.add_runner(REPO, f"r-{number}", online=True)
            cards.append(AgentCard(name=f"r-{number}", kind="github", options=options, incarnation=1, phase="stopped", desired="up"))
        looks = attendant.Attendant(home, "attendant", 1, place="0123456789")
        looks._watch(cards)
        looks._look_at_all()
        until(lambda: len(github.seen("GET", "*/actions/runners")) == 1)
        used, begun = 0, time.monotonic()
        while len(lists := github.seen("GET", "*/actions/runners")) < 6:
            looks._look_at_all()
            used = used or github.state.tokens[token].used
            time.sleep(0.02)
            for number in range(20):
                github.touch(REPO, f"r-{number}")
        minutes = (time.monotonic() - begun) / MINUTE
        assert len(lists) - 1 <= minutes + 1
        assert len(looks.scopes) == 1
        assert [one.status for one in lists[1:]] == [304] * 5
        assert github.state.tokens[token].used <= 2, "the first list and the first look for waiting jobs"
        for scope in looks.scopes.values():
            scope.close()
