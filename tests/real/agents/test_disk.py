"""A disk that is full, and one without inodes, below an agent: a home on a small disk of its own, driven by the real command."""

from __future__ import annotations

import os

import pytest

from qcity_nb.testing.agents import package
from qcity_nb.testing.github import FakeGitHub

pytestmark = [pytest.mark.real, pytest.mark.slow]
REPO = "octo/hello"


@pytest.fixture
def agent(small_disk):
    """A command on a home with a runner that is up; its disk holds 2.3 GB and 4000 files."""
    city = small_disk("2300m,nr_inodes=4000")
    city.env |= {"QCITY_ATTENDANT_SPEED": "60", "QCITY_ATTENDANT_LOOK": "0.2", "QCITY_ATTENDANT_POLL": "0.5", "SCRIPTED_AGENT_SCALE": "0.003"}
    with FakeGitHub(base="/api/v3", lenient=True) as github:
        github.repository(REPO)
        github.offer(package.archive())
        city.env["QCITY_GITHUB_TOKEN"] = github.token()
        city("runner", "start", "github", REPO, "--name", "gh-1", "--url", github.root, "--allow-root", "--persistent")
        city.github = github
        yield city
        city("engine", "stop", "--runners")


def told(city, code):
    """What `qcity incident show` prints of the incident of a row, once it is over."""

    def over():
        found = [one for one in city.json("incident", "list")["incidents"] if f"({code})" in one["title"] + one["cause"]]
        return next((one for one in found if one["state"] == "healthy"), None)

    found = city.until(over, seconds=60)
    return " ".join(city("incident", "show", str(found["id"])).split())


def test_a_full_disk_is_given_room_by_what_is_missed_least(agent):
    filler = agent.disk / "home/services/gh-1/agent/_work/_temp/big"
    filler.parent.mkdir(parents=True, exist_ok=True)
    with filler.open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, 300 << 20)
    shown = told(agent, "F14")
    for words in ("the disk below its work folder is full", "are free", "freed", "are free again"):
        assert words in shown, shown
    assert not filler.exists()


def test_a_disk_without_inodes_is_given_room(agent):
    folder = agent.disk / "home/services/gh-1/agent/_work/_temp"
    folder.mkdir(parents=True, exist_ok=True)
    free = os.statvfs(folder).f_favail
    for number in range(free - 40):
        (folder / f"tiny-{number}").touch()
    shown = told(agent, "F15")
    for words in ("the file system has no room for more files", "of the inodes are free", "there is room for files again"):
        assert words in shown, shown
    assert not list(folder.glob("tiny-*"))
