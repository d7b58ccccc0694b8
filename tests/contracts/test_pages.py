"""Every host of fallback pages keeps the same contract: a folder, a branch of a real repository, a Space of the stand-in hub."""

import os
import shutil
import subprocess

import pytest

from qcity_nb.errors import BadInput
from qcity_nb.io import secrets
from qcity_nb.kinds.pages.folder import KIND as FOLDER
from qcity_nb.kinds.pages.git import KIND as GIT
from qcity_nb.kinds.pages.huggingface import KIND as HUGGINGFACE
from qcity_nb.model.home import Home
from qcity_nb.model.tunnel import Page
from qcity_nb.testing import faults
from qcity_nb.testing.hub import FakeHub
from qcity_nb.testing.page_contract import PageContract

pytest.importorskip("cryptography", reason="it signs the pointers")


class TestFolder(PageContract):
    @pytest.fixture(autouse=True)
    def _folder(self, tmp_path):
        self._home, self.folder = Home(tmp_path / "home"), tmp_path / "public"
        self.folder.mkdir()
        (self.folder / "robots.txt").write_bytes(b"x")

    def page(self):
        return Page(kind="folder", target=str(self.folder))

    def home(self):
        return self._home

    def shown(self):
        return {path.name: path.read_bytes() for path in self.folder.iterdir()}

    def changes(self):
        return max(path.stat().st_mtime_ns for path in self.folder.iterdir())

    def away(self):
        shutil.rmtree(self.folder)
        self.folder.write_bytes(b"no folder")

    def test_a_web_server_may_read_it_and_a_reader_never_finds_half(self):
        self.put({"index.html": b"<p>one"})
        assert (self.folder / "index.html").stat().st_mode & 0o777 == 0o644
        assert not [path for path in self.folder.iterdir() if path.name.startswith(".")]

    def test_what_cannot_be_written_leaves_the_old_page(self):
        """One of two names is taken by a folder: the other one stays as it was, and nothing is left over."""
        self.put({"index.html": b"<p>one"})
        (self.folder / "pointer.json").mkdir()
        with pytest.raises(Exception, match="cannot be written below"):
            self.put({"pointer.json": b"{}", "index.html": b"<p>two"})
        assert (self.folder / "index.html").read_bytes() == b"<p>one"
        assert not [path for path in self.folder.iterdir() if path.name.startswith(".")]

    def test_a_relative_folder_is_bad_input(self):
        with pytest.raises(BadInput, match="no absolute folder"):
            FOLDER.check(Page(kind="folder", target="public"))


def git(*args, where):
    env = {**os.environ, "GIT_AUTHOR_NAME": "ann", "GIT_AUTHOR_EMAIL": "a@x", "GIT_COMMITTER_NAME": "ann", "GIT_COMMITTER_EMAIL": "a@x"}
    return subprocess.run(["git", *args], cwd=where, env=env, check=True, capture_output=True).stdout


@pytest.mark.real
class TestGit(PageContract):
    """A bare repository whose branch has other files already."""

    @pytest.fixture(autouse=True)
    def _remote(self, tmp_path):
        self._home, self.remote, self.work = Home(tmp_path / "home"), tmp_path / "remote.git", tmp_path / "work"
        subprocess.run(["git", "init", "-q", "--bare", self.remote], check=True)
        subprocess.run(["git", "clone", "-q", self.remote, self.work], check=True, capture_output=True)
        git("checkout", "-q", "-b", "gh-pages", where=self.work)
        self.commit("CNAME", "app.example.org")

    def commit(self, name, text):
        (self.work / name).write_text(text)
        git("add", "-A", where=self.work)
        git("commit", "-q", "-m", name, where=self.work)
        git("push", "-q", "origin", "HEAD:gh-pages", where=self.work)

    def page(self):
        return Page(kind="git", target=str(self.remote))

    def home(self):
        return self._home

    def shown(self):
        names = git("ls-tree", "-r", "--name-only", "gh-pages", where=self.remote).decode().split()
        return {name: git("cat-file", "blob", f"gh-pages:{name}", where=self.remote) for name in names}

    def changes(self):
        return int(git("rev-list", "--count", "gh-pages", where=self.remote))

    def away(self):
        self.remote.rename(self.remote.with_name("gone.git"))

    def test_no_commit_of_anybody_is_lost(self):
        """Somebody pushes between two publications; a work tree and its branch are as they were."""
        self.put({"index.html": b"<p>one"})
        git("pull", "-q", "--rebase", "origin", "gh-pages", where=self.work)
        self.commit("style.css", "b{}")
        (self.work / "index.html").write_text("mine, not committed")
        self.put({"index.html": b"<p>two"})
        assert set(self.shown()) == {"CNAME", "index.html", "style.css"}
        assert self.changes() == 4
        assert (self.work / "index.html").read_text() == "mine, not committed"

    def test_a_branch_and_a_folder_that_are_not_there_are_made(self):
        page = Page(kind="git", target=str(self.remote), options={"branch": "pages", "path": "public"})
        GIT.publish(page, {"index.html": b"<p>"}, home=self._home)
        assert git("cat-file", "blob", "pages:public/index.html", where=self.remote) == b"<p>"

    @pytest.mark.parametrize(
        ("target", "options", "says"),
        [
            ("", {}, "needs a remote"),
            ("--upload-pack=x", {}, "needs a remote"),
            ("https://ann:secret@git.example/x", {}, "holds a password"),
            ("../x", {}, "is no address"),
            ("/x", {"branch": "../x"}, "cannot be a branch"),
            ("/x", {"path": "../x"}, "no folder"),
        ],
    )
    def test_what_cannot_be_meant(self, target, options, says):
        with pytest.raises(BadInput, match=says) as caught:
            GIT.check(Page(kind="git", target=target, options=options))
        assert "secret" not in str(caught.value)


class TestHuggingFace(PageContract):
    @pytest.fixture(autouse=True)
    def _hub(self, tmp_path, monkeypatch):
        monkeypatch.setattr("time.sleep", lambda _seconds: None)  # the waits between attempts of forges.http
        self._home = Home(tmp_path)
        secrets.keep(self._home, "huggingface", "hf_stand_in")
        with FakeHub() as self.hub:
            self.space = self.hub.space("ann/app")
            yield

    def page(self):
        return Page(kind="huggingface", target="ann/app", options={"url": self.hub.url})

    def home(self):
        return self._home

    def shown(self):
        return self.space.commits[self.space.branches["main"]]

    def changes(self):
        return len(self.space.commits)

    def away(self):
        self.hub.down()

    def test_a_space_that_is_no_page_is_left_alone(self):
        self.hub.space("ann/demo", sdk="gradio")
        with pytest.raises(BadInput, match="of the kind gradio"):
            HUGGINGFACE.publish(
                Page(kind="huggingface", target="ann/demo", options={"url": self.hub.url}), {"index.html": b"x"}, home=self._home
            )

    def test_a_space_that_changed_meanwhile_is_read_again(self):
        planted = self.hub.fault(faults.status(412, "A commit has happened since"), method="POST")
        self.put({"index.html": b"<p>one"})
        assert planted.hits == 1
        assert self.shown()["index.html"] == b"<p>one"

    def test_a_token_that_is_not_known_is_said(self):
        self.hub.tokens.clear()
        with pytest.raises(Exception, match="does not accept the token") as caught:
            self.put({"index.html": b"x"})
        assert "hf_stand_in" not in str(caught.value)

    @pytest.mark.parametrize(("target", "options"), [("app", {}), ("ann/app", {"url": "http://hub.example"})])
    def test_what_cannot_be_meant(self, target, options):
        with pytest.raises(BadInput):
            HUGGINGFACE.check(Page(kind="huggingface", target=target, options=options))
