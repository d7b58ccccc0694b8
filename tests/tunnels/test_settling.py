"""Files whose address comes and goes are not rewritten each time; what is published elsewhere is."""

from __future__ import annotations

import time

from qcity_nb.kinds.tunnels import followers
from qcity_nb.model.tunnel import Binding, Followed, Page
from qcity_nb.model.wire import Follow, FollowerCard

FILES = FollowerCard(key="links", follower=Binding(root="/x", patterns=("*.md",)))
PAGE = FollowerCard(key="page", follower=Page(kind="folder", target="/x"))


class Told(followers.Followers):
    """Writes down what it would do."""

    def __init__(self, home):
        self.done = []
        super().__init__("app", home, lambda _: None)

    def _carry(self, card, order, url, generation, why, now):
        self.done.append((card.key, url, time.monotonic()))
        return Followed(ok=True, text="", changed=1)


def test_files_are_changed_once_and_then_with_the_last_address_only(home, monkeypatch):
    monkeypatch.setattr(followers, "SETTLE", 1.0)  # patched: half a minute is long in a test
    told = Told(home)
    told.follow(Follow(followers=(FILES, PAGE)))
    for number in range(1, 5):
        told.moved(f"https://{number}", number, "")
        end = time.monotonic() + 10
        while ("page", f"https://{number}") not in [one[:2] for one in told.done] and time.monotonic() < end:
            time.sleep(0.005)
    end = time.monotonic() + 10
    while len([one for one in told.done if one[0] == "links"]) < 2 and time.monotonic() < end:
        time.sleep(0.005)
    told.close()
    (_, first, began), (_, last, again) = [one for one in told.done if one[0] == "links"]
    assert (first, last) == ("https://1", "https://4")
    assert again - began >= 0.99
    assert [url for key, url, _ in told.done if key == "page"] == [f"https://{number}" for number in range(1, 5)]


def test_at_the_end_nobody_waits(home, monkeypatch):
    monkeypatch.setattr(followers, "SETTLE", 60.0)  # patched: as above
    told = Told(home)
    told.follow(Follow(followers=(FILES,)))
    told.moved("https://1", 1, "")
    told.moved("https://2", 2, "")
    told.moved("", 2, "closed")
    told.close()
    assert told.done[-1][1] == ""
