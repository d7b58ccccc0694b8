"""Files are changed whole or not at all, what must not be touched is not, and every change can be taken back."""

from __future__ import annotations

import importlib.util
import stat
import threading
from pathlib import Path

import pytest

from qcity_nb.errors import BadInput, NotFound, Refused
from qcity_nb.io import journal, rewrite
from qcity_nb.model.home import Home
from qcity_nb.testing import link_corpus as corpus

_spec = importlib.util.spec_from_file_location("links_scene", Path(__file__).with_name("conftest.py"))
scene = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(scene)
OLD, NEW = scene.OLD, scene.NEW


def why(report):
    return {remark.path: remark.why for remark in report.remarks}


def test_a_corpus_of_900_files_goes_there_and_back_to_the_byte(folder):
    files = corpus.corpus()
    for path, sample in files.items():
        folder.put(path, sample.before)
    patterns = ("**/*.md", "**/*.json", "**/*.html")
    report = folder.sync(*patterns, old=corpus.OLD, new=corpus.NEW)
    assert report.links == sum(sum(sample.owned) for sample in files.values())
    assert all((folder.root / path).read_bytes() == sample.after for path, sample in files.items())
    again = folder.sync(*patterns, old=corpus.OLD, new=corpus.NEW)
    assert (again.links, again.number) == (0, 0)
    rewrite.rollback(folder.home, report.number, actor="ann", durable=False)
    assert all((folder.root / path).read_bytes() == sample.before for path, sample in files.items())
    assert {path.name for path in folder.root.rglob("*") if path.is_file()} == {Path(path).name for path in files}, "no temporary file stays"


def test_mode_and_owner_stay(folder):
    path = folder.put("run.md")
    path.chmod(0o751)
    folder.sync()
    assert stat.S_IMODE(path.stat().st_mode) == 0o751
    assert path.read_text() == f"see {NEW}/x\n"


def test_a_durable_sync_does_the_same(folder):
    for number in range(20):
        folder.put(f"{number}.md")
    assert folder.sync(durable=True).links == 20


def test_a_read_only_file_is_left_alone_and_the_others_are_not(folder):
    folder.put("a.md").chmod(0o444)
    folder.put("b.md")
    report = folder.sync()
    assert why(report) == {"a.md": "nobody may write it: it is read-only"}
    assert [one.path for one in report.files] == ["b.md"]


def test_binary_and_foreign_encodings_are_left_alone(folder):
    folder.put("a.md", OLD.encode() + b"\0")
    folder.put("b.md", OLD.encode() + b"\xe9")
    report = folder.sync()
    assert why(report) == {"a.md": "it is a binary file", "b.md": "it is not UTF-8 text (byte 19)"}
    assert not report.files


def test_a_link_out_of_the_root_is_not_followed(folder, tmp_path):
    outside = tmp_path / "outside.md"
    outside.write_text(OLD)
    folder.put("a/b.md")
    (folder.root / "c.md").symlink_to(outside)
    (folder.root / "d").symlink_to(tmp_path, target_is_directory=True)
    report = folder.sync("**/*.md", "d/outside.md")
    assert why(report) == {"c.md": "it is a link that leaves the folder", "d/outside.md": "it is a link that leaves the folder"}
    assert outside.read_text() == OLD
    assert [one.path for one in report.files] == ["a/b.md"]


def test_a_link_inside_stays_a_link(folder):
    folder.put("a.md")
    (folder.root / "z.md").symlink_to("a.md")
    assert folder.sync("z.md").links == 1
    assert (folder.root / "z.md").is_symlink()
    assert (folder.root / "a.md").read_text() == f"see {NEW}/x\n"


def test_a_hard_link_is_left_alone(folder):
    path = folder.put("a.md")
    (folder.root / "a.txt").hardlink_to(path)
    assert why(folder.sync()) == {"a.md": "it is a hard link: its other names would keep the old address"}


def test_a_home_below_the_root_is_never_touched(folder):
    folder.home = Home(folder.root / "home")
    folder.put("a.json")
    folder.sync("**/*.json")
    before = (folder.home.links / "000001.json").read_bytes()
    report = folder.sync("**/*.json", "home/links/000001.json", old=(OLD, NEW), new="https://third.example")
    assert [one.path for one in report.files] == ["a.json"]
    assert (folder.home.links / "000001.json").read_bytes() == before


def test_files_that_are_not_there_are_said(folder):
    folder.put("x/a.md")
    assert why(folder.sync("gone.md", "x")) == {"gone.md": "there is no such file", "x": "it is a folder: write it with /**"}
    (folder.root / "loop.md").symlink_to("loop.md")
    assert "loop.md" in why(folder.sync("loop.md"))


def test_a_file_that_changes_meanwhile_is_left_to_whoever_changed_it(folder, monkeypatch):
    """The change comes between the plan and the last look: the moment is made by standing in for the write."""
    path = folder.put("a.md")
    write = rewrite._write

    def meddle(*args, **kwargs):
        write(*args, **kwargs)
        path.write_text("mine")

    monkeypatch.setattr(rewrite, "_write", meddle)  # no other way to be between the two
    report = folder.sync()
    assert why(report) == {"a.md": "it was changed meanwhile"}
    assert (report.number, path.read_text()) == (0, "mine")
    assert [one.name for one in folder.root.iterdir()] == ["a.md"]


def test_git_ignored_and_changed_files_are_left_alone_unless_told(folder):
    folder.put("clean.md")
    folder.put("dirty.md")
    folder.put(".gitignore", "ignored.md\nbuild/\n")
    folder.repository()
    folder.put("dirty.md", f"mine {OLD}\n")
    folder.put("ignored.md")
    folder.put("build/x.md")
    folder.put("new.md")
    report = folder.sync()
    assert why(report) == {"dirty.md": "it has changes that are not committed", "ignored.md": "git ignores it", "build/x.md": "git ignores it"}
    assert [one.path for one in report.files] == ["clean.md", "new.md"]
    assert [one.path for one in folder.sync(dirty=True).files] == ["dirty.md"]


def test_a_file_whose_only_change_is_ours_follows_the_next_address(folder):
    folder.put("a.md")
    folder.repository()
    folder.sync()
    assert folder.sync(old=(OLD, NEW), new="https://third.example").links == 1
    folder.put("a.md", "mine https://third.example")
    report = folder.sync(old=(OLD, NEW, "https://third.example"), new="https://fourth.example")
    assert why(report) == {"a.md": "it has changes that are not committed"}


def test_a_commit_holds_just_these_files(folder):
    folder.put("a.md")
    folder.put("other.txt", "1")
    folder.repository()
    folder.put("other.txt", "2")
    folder.git("add", "other.txt")
    folder.put("new.md")
    report = folder.sync(commit="commit")
    assert why(report) == {"new.md": "git does not know it yet, so it cannot be committed alone"}
    assert report.sha == folder.git("rev-parse", "HEAD")
    assert folder.git("show", "--name-only", "--format=%an %s") == f"Ann Links of app: {NEW}\n\na.md"
    assert folder.git("diff", "--cached", "--name-only") == "other.txt"
    rewrite.rollback(folder.home, report.number, actor="ann")
    assert folder.git("diff", "HEAD~2", "HEAD", "--name-only") == ""
    assert (folder.root / "a.md").read_text() == f"see {OLD}/x\n"


def test_a_commit_that_git_refuses_is_said_and_made_with_the_next_change(folder):
    folder.put("a.md")
    folder.repository()
    (folder.root / ".git/index.lock").touch()
    report = folder.sync(commit="commit")
    assert why(report)["a.md"].startswith("it was replaced, and not committed: git commit in ")
    assert (report.links, report.sha, journal.planned(folder.home)) == (1, "", [])
    (folder.root / ".git/index.lock").unlink()
    assert folder.sync(commit="commit", old=(OLD, NEW), new="https://third.example").sha == folder.git("rev-parse", "HEAD")
    assert folder.git("status", "--porcelain") == ""


def test_a_commit_outside_of_a_repository_is_refused_in_a_sentence(folder):
    folder.put("a.md")
    assert why(folder.sync(commit="commit")) == {"a.md": "it is in no repository, so it cannot be committed"}
    with pytest.raises(BadInput, match="is in no git repository"):
        folder.sync(commit="branch:x")


def test_a_branch_gets_the_commit_and_the_work_tree_stays(folder):
    folder.put("docs/a.md")
    folder.repository()
    folder.put("docs/a.md", "half done")
    head = folder.git("rev-parse", "HEAD")
    assert folder.check(commit="branch:qcity/links").links == 1
    report = folder.sync(commit="branch:qcity/links")
    assert folder.git("show", "qcity/links:docs/a.md") == f"see {NEW}/x"
    assert folder.git("rev-parse", "qcity/links~1") == folder.git("rev-parse", "HEAD") == head
    assert folder.git("status", "--porcelain") == "M docs/a.md"
    assert folder.sync(commit="branch:qcity/links").links == 0
    next_ = folder.sync(commit="branch:qcity/links", old=(OLD, NEW), new="https://third.example")
    assert folder.git("rev-parse", "qcity/links") == next_.sha
    with pytest.raises(Refused, match="has gone on since"):
        rewrite.rollback(folder.home, report.number, actor="ann")
    rewrite.rollback(folder.home, next_.number, actor="ann")
    assert folder.git("rev-parse", "qcity/links") == report.sha


def test_a_branch_that_cannot_be_written_is_refused(folder):
    folder.put("a.md")
    folder.repository()
    with pytest.raises(Refused, match="the branch main is checked out"):
        folder.sync(commit="branch:main")
    with pytest.raises(BadInput, match="cannot be the name of a branch"):
        folder.sync(commit="branch:a..b")
    with pytest.raises(BadInput, match="is no way to commit"):
        folder.sync(commit="push")
    assert journal.planned(folder.home) == []


def test_a_commit_without_anybody_known_is_made_by_nobody_in_particular(folder, monkeypatch, tmp_path):
    for name in ("GIT_AUTHOR_NAME", "GIT_COMMITTER_NAME", "GIT_AUTHOR_EMAIL", "GIT_COMMITTER_EMAIL", "EMAIL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    folder.put("a.md")
    folder.repository()
    folder.git("config", "--unset", "user.name")
    folder.git("config", "--unset", "user.email")
    assert folder.sync(commit="commit").sha
    assert folder.sync(commit="branch:b", old=(OLD, NEW), new="https://third.example").sha
    assert folder.git("log", "-1", "--format=%an", "b") == "qcity"


def test_a_hook_of_the_repository_is_not_run(folder):
    folder.put("a.md")
    folder.repository()
    hook = folder.root / ".git/hooks/pre-commit"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text("#!/bin/sh\nexit 1\n")
    hook.chmod(0o755)
    assert folder.sync(commit="commit").sha == folder.git("rev-parse", "HEAD")


def test_a_repository_that_git_refuses_is_left_alone(folder):
    folder.put("a.md")
    (folder.root / ".git").mkdir()
    report = folder.sync()
    assert not report.files
    assert why(report)["a.md"].startswith("git status in ")


def test_a_check_touches_nothing(folder):
    path = folder.put("a.md")
    assert folder.check().links == 1
    assert path.read_text() == f"see {OLD}/x\n"
    assert not folder.home.root.exists()


def test_rollback_refuses_what_changed_since_and_touches_nothing(folder):
    a, b = folder.put("a.md"), folder.put("b.md")
    number = folder.sync().number
    b.write_text("mine")
    with pytest.raises(Refused, match=r"b\.md has changed since change 1"):
        rewrite.rollback(folder.home, number, actor="ann")
    assert a.read_text() == f"see {NEW}/x\n"
    b.write_text(f"see {NEW}/x\n")
    assert rewrite.rollback(folder.home, number, actor="ann").links == 2
    with pytest.raises(Refused, match="change 1 is rolled back"):
        rewrite.rollback(folder.home, number, actor="ann")
    with pytest.raises(Refused, match="change 2 is the rollback of change 1"):
        rewrite.rollback(folder.home, 2, actor="ann")
    with pytest.raises(NotFound, match="there is no change 9"):
        rewrite.rollback(folder.home, 9, actor="ann")


def test_the_journal_says_who_what_and_why(folder):
    folder.put("a.md")
    folder.sync()
    change = journal.get(folder.home, 1)
    assert (change.tunnel, change.new, change.why, change.actor, change.state, change.links) == ("app", NEW, "it moved", "ann", "committed", 1)
    assert [(edit.start, edit.end, edit.old, edit.new) for edit in change.files[0].edits] == [(4, 23, OLD, NEW)]
    assert stat.S_IMODE((folder.home.links / "000001.json").stat().st_mode) == 0o600


def test_two_at_once_do_one_after_the_other(folder):
    for number in range(40):
        folder.put(f"{number}.md")
    reports = []
    threads = [threading.Thread(target=lambda: reports.append(folder.sync())) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(report.links for report in reports) == [0, 0, 0, 40]


def test_a_damaged_record_is_one_sentence(folder):
    folder.put("a.md")
    folder.sync()
    (folder.home.links / "000001.json").write_text("{")
    (folder.home.links / "tips.json").write_text("{")
    with pytest.raises(NotFound, match="the record of change 1 is damaged"):
        rewrite.rollback(folder.home, 1, actor="ann")
    assert folder.sync(old=(NEW,), new=OLD).links == 1


def test_a_root_that_is_none_is_refused(folder):
    folder.root.rmdir()
    with pytest.raises(BadInput, match="is no folder"):
        folder.sync()
