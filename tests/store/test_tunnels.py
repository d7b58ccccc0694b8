"""The addresses that were issued, and what follows them: each generation once, each follower told about."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

from qcity_nb.model.tunnel import Binding, Followed, Issued
from qcity_nb.store import tunnels

NOW = datetime(2026, 11, 28, tzinfo=timezone.utc)
FILES = Binding(root="/docs", patterns=("*.md",))


def issued(generation, url=""):
    since = NOW + timedelta(days=generation)
    return Issued(tunnel="app", generation=generation, provider="ssh", origin=url or f"https://{generation}.example", since=since)


def test_a_generation_is_issued_once_and_the_one_before_it_ends(store):
    with store.write() as connection:
        assert tunnels.issue(connection, store.place, issued(1))
        assert tunnels.issue(connection, store.place, issued(2))
        assert not tunnels.issue(connection, store.place, issued(2, "https://another.example"))
        assert not tunnels.issue(connection, store.place, issued(1))
    with store.read() as connection:
        one, two = tunnels.issued_of(connection, store.place, tunnel="app")
        assert (one.origin, one.until, two.origin, two.until) == ("https://1.example", two.since, "https://2.example", None)
        assert tunnels.issued_of(connection, "elsewhere") == []


def test_what_follows_already_is_not_forgotten_when_it_is_bound_again(store):
    said = Followed(ok=True, text="all links are right", generation=1)
    with store.write() as connection:
        key = tunnels.follow(connection, store.place, "app", FILES)
        tunnels.told(connection, store.place, "app", key, said, at=NOW)
        assert tunnels.follow(connection, store.place, "app", FILES) == key
        assert [row.last for row in tunnels.followers_of(connection, store.place)] == [said]
        other = Binding(root="/docs", patterns=("*.md", "app.json"))
        assert tunnels.follow(connection, store.place, "app", other) == key
        assert [(row.follower, row.last) for row in tunnels.followers_of(connection, store.place)] == [(other, None)]
        assert tunnels.unfollow(connection, store.place, "app", key)
        assert not tunnels.unfollow(connection, store.place, "app", key)
