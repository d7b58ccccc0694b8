"""What follows an address: files, a page; told at once, told again, and left alone where they should be."""

from __future__ import annotations

import json
import subprocess

import msgspec
import pytest

from qcity_nb.errors import NotFound, QCityError
from qcity_nb.io import secrets
from qcity_nb.model.tunnel import Binding
from qcity_nb.testing.github import FakeGitHub

pytestmark = pytest.mark.real

def bound(city, folder, *patterns):
    return city.link.ask("follow.put", "app", {"follower": msgspec.to_builtins(Binding(root=str(folder), patterns=patterns))})["key"]


def test_files_follow_an_address_and_nothing_else_in_them_changes(over, sshd, city, tmp_path, until):
    tunnel = over(sshd)
    first = tunnel.url
    folder = tmp_path / "docs"
    folder.mkdir()
    text = f"\ufeff# App\r\n\r\nGo to [the app]({first}/x?y=1), not to {first}0 or http://elsewhere.example.\r\nno newline at the end: {first}"
    (folder / "README.md").write_bytes(text.encode())
    (folder / "app.json").write_text(json.dumps({"links": {"app": first}, "n": 1.50}, indent=3))
    before = (folder / "app.json").read_bytes()
    bound(city, folder, "*.md", "*.json")
    until(lambda: tunnel.followers()[0].last)
    assert tunnel.followers()[0].last.text == "all links are right"
    sshd.cut()
    tunnel.wait(after=1)
    until(lambda: tunnel.followers()[0].last.generation == 2)
    last = tunnel.followers()[0].last
    assert (last.ok, last.changed) == (True, 3)
    now = (folder / "README.md").read_bytes().decode()
    assert now == text.replace(f"({first}/", f"({tunnel.url}/").replace(f"end: {first}", f"end: {tunnel.url}")
    assert (folder / "app.json").read_bytes() == before.replace(first.encode(), tunnel.url.encode())
    assert "3 links in 2 files changed" in [flip.reason for flip in tunnel.story()][-1]


def test_a_pull_request_follows_an_address_and_the_story_says_where_it_is(over, sshd, city, tmp_path, until):
    bare, folder = tmp_path / "bare.git", tmp_path / "work"

    def git(*words) -> str:
        who = ("-c", "user.name=Ann", "-c", "user.email=ann@example.org")
        return subprocess.run(["git", "-C", folder, *who, *words], check=True, capture_output=True, text=True).stdout.strip()

    tunnel = over(sshd)
    with FakeGitHub(base="/api/v3") as server:
        server.repository("octo/hello")
        subprocess.run(["git", "init", "-q", "--bare", "-b", "main", bare], check=True)
        subprocess.run(["git", "init", "-q", "-b", "main", folder], check=True)
        (folder / "README.md").write_text(f"see {tunnel.url}/x\n")
        git("add", "-A")
        git("commit", "-qm", "x")
        git("remote", "add", "origin", server.serve("octo/hello", bare))
        git("push", "-q", str(bare), "main")
        secrets.keep(city.link.store.home, f"github-127.0.0.1:{server.port}", server.token())
        pulls = server.repo("octo/hello").pulls
        city.links.bind("*.md", tunnel=tunnel, root=folder, commit="pull")
        until(lambda: tunnel.followers()[0].last)
        assert (tunnel.followers()[0].last.text, pulls) == ("all links are right", [])
        sshd.cut()
        tunnel.wait(after=1)
        until(lambda: tunnel.followers()[0].last.generation == 2)
        assert git("-C", str(bare), "show", "qcity/links-app:README.md") == f"see {tunnel.url}/x"
        (change,) = city.links.log()
        assert f"the pull request {change.proposal} was opened" in tunnel.followers()[0].last.text
        assert any(change.proposal in flip.reason for flip in tunnel.story())
        assert city.links.rollback(change.number).report.said.endswith("was closed")
        assert [one.state for one in pulls] == ["closed"]


def test_what_was_bound_before_an_address_there_was_is_told_when_it_comes_and_after_the_pilot_was_killed(over, sshd, city, tmp_path, until):
    tunnel = over(sshd)
    first = tunnel.url
    (tmp_path / "a.md").write_text(f"{first}/a\n")
    tunnel.close()
    key = bound(city, tmp_path, "a.md")
    again = over(sshd)
    until(lambda: (tmp_path / "a.md").read_text() == f"{again.url}/a\n")
    again.unfollow(key)
    with pytest.raises(NotFound, match="follows the tunnel app"):
        again.unfollow(key)


def test_a_page_leads_to_the_address_and_says_so_when_it_was_closed(over, sshd, tmp_path, until):
    tunnel = over(sshd)
    page = tmp_path / "public"
    tunnel.page("folder", str(page), title="The app", low_data=["mirror.example.org"])
    until(lambda: tunnel.followers() and tunnel.followers()[0].last)
    assert tunnel.followers()[0].last.ok, tunnel.followers()[0].last
    assert tunnel.url in (page / "index.html").read_text()
    assert "mirror.example.org" in (page / "index.html").read_text()
    assert len((page / "index.html").read_bytes()) <= 14 << 10
    name = next(path for path in page.iterdir() if path.suffix == ".json")
    before = name.read_bytes()
    tunnel.close()
    until(lambda: name.read_bytes() != before)


def test_what_cannot_follow_is_said_and_not_kept(over, sshd, city, tmp_path):
    tunnel = over(sshd)
    for ask, said in (
        (lambda: tunnel.page("ftp", "x"), "ftp"),
        (lambda: tunnel.pointer("freenom", "app.tk"), "ended|Freenom|freenom"),
        (lambda: bound(city, tmp_path, "../secret.md"), "leads out of its folder"),
    ):
        with pytest.raises(QCityError, match=said):
            ask()
    assert tunnel.followers() == []
