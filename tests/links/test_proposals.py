"""Changes of links as pull and merge requests: real git over HTTP behind the stand-ins of GitHub and GitLab, and every way in which it can fail."""

from __future__ import annotations

import base64
import importlib.util
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from qcity_nb.decide import proposals
from qcity_nb.errors import BadInput, NotFound, PlatformError, QCityError, Refused
from qcity_nb.io import journal, remotes, secrets
from qcity_nb.kinds.forges import proposing
from qcity_nb.model.link import Change, Edit, FileChange
from qcity_nb.model.proposal import Proposal
from qcity_nb.model.tunnel import Binding
from qcity_nb.testing import faults, smart_git

_spec = importlib.util.spec_from_file_location("links_scene", Path(__file__).with_name("conftest.py"))
scene = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(scene)
OLD, NEW, THIRD = scene.OLD, scene.NEW, "https://third.example"
BRANCH = scene.BRANCH


def propose(folder, *, commit="pull", old=(OLD,), new=NEW, why="it moved"):
    rewriter = folder.rewriter(old=old, new=new)
    binding = Binding(root=str(folder.root), patterns=rewriter.patterns, commit=commit)
    return proposing.propose(folder.home, binding, rewriter, why=why, actor="ann")


def test_a_change_is_pushed_and_opened_and_the_work_tree_stays(forge, folder):
    folder.put("a.md", "half done")
    head = folder.git("rev-parse", "HEAD")
    report = propose(folder)
    ((number, state, title, body),) = forge.requests()
    assert (number, state, title) == (1, "open", f"Links of app: {NEW}")
    for said in (OLD, NEW, "it moved", "`a.md`: 1 link", "`docs/b.md`: 2 links", "ann", "change 1"):
        assert said in body
    assert report.links == 3
    assert report.said == f"the {proposals.WORDS[forge.kind]} {report.proposal} was opened"
    assert journal.get(folder.home, 1).proposal == report.proposal
    assert forge.at() == report.sha
    assert forge.show("docs/b.md") == f"{NEW}/y and {NEW}/z"
    assert forge.show("a.md", "main") == f"see {OLD}/x"
    assert (folder.git("rev-parse", "HEAD"), folder.git("status", "--porcelain"), folder.git("branch", "--list")) == (head, "M a.md", "* main")


def test_the_same_again_does_nothing_and_a_new_address_updates_the_same_request(forge, folder):
    first = propose(folder)
    calls = len(forge.server.seen("P*"))
    again = propose(folder)
    assert (again.files, again.number, again.sha, again.proposal) == ((), 1, first.sha, first.proposal)
    assert len([one for one in forge.server.seen("P*")[calls:] if not one.path.endswith("git-upload-pack")]) == 0, "nothing was written"
    second = propose(folder, old=(OLD, NEW), new=THIRD)
    assert second.proposal == first.proposal
    assert forge.requests()[0][1:3] == ("open", f"Links of app: {THIRD}")
    assert THIRD in forge.requests()[0][3]
    assert forge.show("a.md") == f"see {THIRD}/x"
    assert smart_git.git(forge.bare, "rev-list", "--count", f"main..{BRANCH}") == "1", "one commit on what main says"


@pytest.mark.parametrize("squash", [False, True])
def test_after_a_merge_a_next_change_opens_another_request(forge, folder, squash):
    propose(folder)
    forge.merge(1, squash=squash)
    done = propose(folder)
    assert (done.files, done.said, forge.states(), forge.at()) == ((), "", ["merged"], "")
    propose(folder, old=(OLD, NEW), new=THIRD)
    assert forge.states() == ["merged", "open"]
    assert forge.show("a.md") == f"see {THIRD}/x"


def test_what_a_person_closed_stays_closed_until_the_next_address(forge, folder):
    propose(folder)
    forge.close(1)
    assert proposals.told(propose(folder)).endswith("was closed, so this address is not proposed again")
    assert forge.states() == ["closed"]
    propose(folder, old=(OLD, NEW), new=THIRD)
    assert forge.states() == ["closed", "open"]


def test_an_address_that_comes_back_to_what_main_says_closes_the_request_with_a_word(forge, folder):
    propose(folder)
    report = propose(folder, old=(NEW,), new=OLD)
    assert report.said.endswith("was closed: main is right already")
    ((_, state, _, body),) = forge.requests()
    assert (state, body) == ("closed", f"Closed by qcity: main says {OLD} already.")
    assert forge.at() == ""
    propose(folder)
    assert forge.states() == ["closed", "open"], "what we closed may be proposed again"


def test_main_going_on_elsewhere_changes_nothing_and_in_the_same_file_the_branch_is_made_anew(forge, folder):
    first = propose(folder)
    for path, text, same in (("c.md", "other\n", True), ("a.md", f"more\nsee {OLD}/x\n", False)):
        folder.put(path, text)
        folder.commit()
        folder.git("push", "-q", str(forge.bare), "main")
        assert (propose(folder).sha == first.sha) is same
    assert forge.show("a.md") == f"more\nsee {NEW}/x"
    assert forge.states() == ["open"]


def test_two_folders_of_a_repository_have_requests_of_their_own_and_no_branch_carries_two(forge, folder):
    propose(folder)
    top = folder.root
    folder.root = top / "docs"
    propose(folder)
    assert forge.states() == ["open", "open"]
    assert forge.at("qcity/links-app-docs")
    with pytest.raises(Refused, match=r"the branch qcity/links-app carries the links of app below .*: pull:BRANCH"):
        propose(folder, commit=f"pull:{BRANCH}")


def test_what_was_not_pushed_of_main_is_not_published(forge, folder):
    folder.put("secret.md", "mine\n")
    folder.commit()
    propose(folder)
    assert smart_git.git(forge.bare, "ls-tree", "-r", "--name-only", BRANCH).split() == ["a.md", "docs/b.md"]


def test_commits_of_others_on_our_branch_are_never_pushed_over(forge, folder):
    propose(folder)
    folder.git("fetch", "-q", str(forge.bare), BRANCH)
    folder.git("checkout", "-q", "FETCH_HEAD")
    folder.commit()
    folder.git("push", "-q", str(forge.bare), f"HEAD:refs/heads/{BRANCH}")
    theirs = forge.at()
    with pytest.raises(Refused, match="has commits that are not ours"):
        propose(folder, old=(OLD, NEW), new=THIRD)
    assert forge.at() == theirs
    with pytest.raises(QCityError, match="commits that are not ours"):
        proposing.withdraw(folder.home, 1, actor="ann")


def test_a_branch_of_people_that_is_merged_already_is_not_taken_for_ours(forge, folder):
    folder.git("push", "-q", str(forge.bare), "main:release")
    with pytest.raises(Refused, match="not ours"):
        propose(folder, commit="pull:release")
    with pytest.raises(BadInput, match="cannot be proposed to itself"):
        propose(folder, commit="pull:main")


def test_a_rollback_closes_the_request_and_takes_the_branch_away(forge, folder):
    first = propose(folder)
    report = proposing.withdraw(folder.home, 1, actor="ann")
    assert report.proposal == first.proposal
    ((_, state, _, body),) = forge.requests()
    assert state == "closed"
    assert body.startswith("Closed by qcity: change 1 was taken back by ann.")
    assert (forge.at(), journal.get(folder.home, 1).state) == ("", "rolled back")
    assert "not proposed again" in proposals.told(propose(folder))
    with pytest.raises(Refused, match="change 1 is rolled back"):
        proposing.withdraw(folder.home, 1, actor="ann")


def test_a_rollback_of_what_was_merged_or_followed_by_another_change_touches_nothing(forge, folder):
    propose(folder)
    propose(folder, old=(OLD, NEW), new=THIRD)
    with pytest.raises(Refused, match="has gone on since change 1"):
        proposing.withdraw(folder.home, 1, actor="ann")
    forge.merge(1)
    with pytest.raises(Refused, match="was merged"):
        proposing.withdraw(folder.home, 2, actor="ann")
    assert journal.get(folder.home, 2).state == "committed"


CHILD = """
import os, signal, sys
from pathlib import Path
from qcity_nb.decide import links
from qcity_nb.kinds.forges import proposing
from qcity_nb.model.home import Home
from qcity_nb.model.link import Change, Edit, FileChange
from qcity_nb.model.proposal import Proposal
from qcity_nb.model.tunnel import Binding
root, home, at, old, new = sys.argv[1:]
module, name = (proposing.remotes, "push") if at == "push" else (proposing, "_open")
setattr(module, name, lambda *args, **more: os.kill(os.getpid(), signal.SIGKILL))
rewriter = links.Rewriter(aim=links.Aim(tunnel="app", new=new, old=(old,)), patterns=("**/*.md",))
proposing.propose(Home(Path(home)), Binding(root=root, patterns=rewriter.patterns, commit="pull"), rewriter, why="it moved", actor="ann")
"""


@pytest.mark.real
@pytest.mark.parametrize("moment", ["push", "open"])
def test_killed_before_the_push_or_between_push_and_opening_the_next_sync_goes_on(forge, folder, moment):
    argv = [sys.executable, "-c", CHILD, str(folder.root), str(folder.home.root), moment, OLD, NEW]
    assert subprocess.run(argv, check=False).returncode == -signal.SIGKILL
    assert (bool(forge.at()), forge.states()) == (moment == "open", [])
    report = propose(folder)
    assert (report.files, forge.states(), forge.at()) == ((), ["open"], report.sha)
    assert journal.get(folder.home, 1).proposal == report.proposal
    assert journal.numbers(folder.home) == [1]


def test_a_lost_answer_to_opening_opens_no_second_one(forge, folder):
    forge.server.fault(faults.truncated(), method="POST", path=f"*/{forge.place}")
    with pytest.raises(PlatformError):
        propose(folder)
    propose(folder)
    assert forge.states() == ["open"]


def test_a_home_that_was_lost_takes_its_branch_and_its_request_up_again(forge, folder, tmp_path):
    first = propose(folder)
    folder.home = type(folder.home)(tmp_path / "another home")
    forge.keep(folder, forge.token)
    folder.git("update-ref", "-d", f"refs/qcity/links/{BRANCH}")
    assert propose(folder, old=(OLD, NEW), new=THIRD).proposal == first.proposal
    assert (forge.states(), forge.show("a.md")) == (["open"], f"see {THIRD}/x")


def test_without_a_token_nothing_is_begun(forge, folder):
    secrets.forget(folder.home, f"{forge.kind}-127.0.0.1:{forge.server.port}")
    folder.git("config", "qcity.forge", forge.kind)
    with pytest.raises(NotFound, match=r"there is no token for 127\.0\.0\.1:\d+, so nothing can be proposed\. Put it into the environment as QCITY_"):
        propose(folder)
    folder.git("config", "--unset", "qcity.forge")
    with pytest.raises(BadInput, match="nobody says what kind of forge"):
        propose(folder)
    untouched(forge, folder)


def untouched(forge, folder):
    assert (journal.numbers(folder.home), forge.at(), forge.requests()) == ([], "", [])


def test_a_token_that_is_wrong_or_sees_nothing_is_a_sentence_and_nothing_is_begun(forge, folder):
    for token, said in (("gone0123456789", "does not accept the token"), (forge.server.token(sees=["octo/other"]), r"404")):
        forge.keep(folder, token)
        with pytest.raises(PlatformError, match=said) as caught:
            propose(folder)
        assert token not in str(caught.value)
    untouched(forge, folder)


def test_a_push_that_is_refused_is_a_sentence_and_goes_on_later(forge, folder):
    forge.keep(folder, forge.weak())
    with pytest.raises(PlatformError, match=r"the branch cannot be pushed to http\S+ \(.*\)\. Let the token write there") as caught:
        propose(folder)
    assert caught.value.kind == "forbidden"
    assert (forge.at(), forge.requests()) == ("", [])
    forge.keep(folder, forge.token)
    assert propose(folder).number == 1
    assert forge.states() == ["open"]


def test_a_branch_that_the_forge_protects_is_a_sentence(forge, folder):
    hook = forge.bare / "hooks/pre-receive"
    hook.write_text("#!/bin/sh\necho 'branch names must match feature/*' >&2\nexit 1\n")
    hook.chmod(0o755)
    with pytest.raises(PlatformError, match=r"cannot be pushed to .*\(.*(feature|pre-receive).*\).*pull:BRANCH"):
        propose(folder)
    assert forge.requests() == []


def test_a_token_that_may_push_and_not_propose_names_what_is_missing_and_goes_on_later(forge, folder):
    forge.keep(folder, forge.pusher())
    with pytest.raises(PlatformError, match=r"the token may not do this at .*403 to POST") as caught:
        propose(folder)
    assert caught.value.kind == "forbidden"
    assert forge.at()
    forge.keep(folder, forge.token)
    propose(folder)
    assert forge.states() == ["open"]


def test_a_forge_that_is_away_is_a_sentence_and_nothing_is_begun(forge, folder):
    with forge.server.outage(), pytest.raises(PlatformError, match="cannot be reached") as caught:
        propose(folder)
    assert not caught.value.permanent
    untouched(forge, folder)
    forge.server.fault(faults.status(503), path=f"*/{forge.place}", times=None)
    with pytest.raises(PlatformError, match="503"):
        propose(folder)
    forge.server.heal()
    forge.server.fault(faults.status(500), path="*info/refs", times=None)
    with pytest.raises(PlatformError, match=r"cannot be looked at in .*500"):
        propose(folder)
    untouched(forge, folder)


def test_a_remote_that_says_nothing_is_given_up_with_all_that_git_started(forge, folder, monkeypatch):
    monkeypatch.setattr(remotes, "SECONDS", 0.3)  # how long git may take is a constant
    forge.server.fault(faults.slow(30.0), path="*info/refs", times=None)
    with pytest.raises(PlatformError, match="has not answered within"):
        propose(folder)
    untouched(forge, folder)


def test_another_header_in_the_repositorys_settings_is_not_sent_beside_ours(forge, folder):
    """As GitHub's checkout action leaves one there."""
    folder.git("config", f"http.{forge.server.root}/.extraheader", "AUTHORIZATION: basic d3Jvbmc6d3Jvbmc=")
    propose(folder)
    sent = [one.headers.get_all("Authorization") for one in forge.server.seen(path=f"/{scene.REPO}.git/*")]
    assert sent
    assert all(len(one) == 1 for one in sent)


def test_the_token_goes_to_no_other_host_than_the_forges(forge, folder):
    folder.git("remote", "set-url", "--push", "origin", forge.url)
    folder.git("remote", "set-url", "origin", str(forge.bare))
    assert propose(folder).number == 1
    remote = remotes.of(str(folder.root)).with_token(forge.kind, "elsewhere.example", forge.token)
    assert "extraHeader" not in str(remote.env)


def test_no_remote_or_one_that_is_no_forge_is_a_sentence(forge, folder):
    folder.git("remote", "set-url", "origin", str(forge.bare))
    with pytest.raises(BadInput, match="is no address of a forge"):
        propose(folder)
    folder.git("remote", "remove", "origin")
    with pytest.raises(Refused, match="has no remote"):
        propose(folder)
    untouched(forge, folder)


def test_the_token_is_in_no_argument_no_remote_no_commit_and_no_request(forge, folder, monkeypatch, tmp_path):
    spy, real = tmp_path / "bin/git", shutil.which("git")
    spy.parent.mkdir()
    spy.write_text(f'#!/bin/sh\nprintf "%s\\n" "$*" >> {tmp_path}/argv\nexec {real} "$@"\n')
    spy.chmod(0o755)
    monkeypatch.setenv("PATH", f"{spy.parent}:{os.environ['PATH']}")
    monkeypatch.setenv("GIT_TRACE_CURL", "1")
    report = propose(folder, why=f"somebody pasted {forge.token}")
    hidden = base64.b64encode(f"{remotes.USERS[forge.kind]}:{forge.token}".encode()).decode()
    seen = [(tmp_path / "argv").read_text(), folder.git("config", "--list"), folder.git("log", "--all", "--format=%B"), repr(report)]
    seen += [forge.requests()[0][2] + forge.requests()[0][3]]
    assert "push --porcelain" in seen[0]
    for text in seen:
        assert forge.token not in text
        assert hidden not in text


@pytest.mark.parametrize(
    ("remote", "forge", "url", "scope"),
    [
        ("git@github.com:octo/hello.git", "github", "", "octo/hello"),
        ("https://ann:pw@github.com/octo/hello", "github", "", "octo/hello"),
        ("ssh://git@ssh.github.com:443/octo/hello.git", "github", "", "octo/hello"),
        ("https://gitlab.com/team/sub/app.git/", "gitlab", "", "team/sub/app"),
        ("ssh://git@gitlab.example.org:2222/team/app.git", "gitlab", "https://gitlab.example.org", "team/app"),
        ("http://127.0.0.1:81/team/app.git", "gitlab", "http://127.0.0.1:81", "team/app"),
    ],
)
def test_where_a_remote_leads(remote, forge, url, scope):
    where = proposals.where(remote, kept=lambda name: name == "gitlab-127.0.0.1:81")
    assert (where.forge, where.url, where.scope) == (forge, url, scope)


def change(**more):
    files = tuple(FileChange(path=f"docs/{number}.md", before="a" * 64, after="b" * 64, edits=(Edit(0, 1, OLD, NEW),)) for number in range(45))
    given = {"number": 7, "at": scene.AT, "tunnel": "app", "new": NEW, "why": "it moved", "actor": "ann", "root": "/x"}
    return Change(**{**given, "files": files, "sha": "c" * 40, **more})


def test_a_body_names_some_files_and_nobodys_words_leave_their_cell_or_tell_a_secret():
    text = proposals.body(change(why="a|b `c` @team\n# big ghp_0123456789abcdefghij", actor="ann`"))
    assert "- and 5 more" in text
    assert text.count("\n- `") == proposals.SHOWN
    (why,) = [line for line in text.splitlines() if line.startswith("| why")]
    assert why == "| why | `a/b 'c' @team # big ***` |"
    assert not any(line.startswith("#") for line in text.splitlines())


def test_what_is_done_about_proposals_is_read_from_what_they_say():
    def one(state, body, number=1):
        return Proposal(number=number, url=f"https://forge.example/{number}", state=state, body=body)

    mine = change()
    said = proposals.body(mine)
    assert proposals.says(one("open", said), mine)
    assert not proposals.says(one("open", said), change(sha="d" * 40))
    assert proposals.declined([one("closed", said)], tunnel="app", new=NEW)
    for found in ([], [one("merged", said)], [one("closed", proposals.closing("x"))], [one("open", said, 2), one("closed", said)]):
        assert proposals.declined(found, tunnel="app", new=NEW) is None
    assert proposals.declined([one("closed", said)], tunnel="app", new=NEW + "0") is None, "an address that begins like it is another one"
    assert proposals.current([one("closed", said, 2), one("open", said)]).number == 1
