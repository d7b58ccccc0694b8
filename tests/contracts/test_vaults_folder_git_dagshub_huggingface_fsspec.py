"""Every kind of vault keeps the same contract: a folder, a branch of a real repository, a dataset of the stand-in hub, fsspec's own file systems."""

import base64
import http.server
import os
import shutil
import subprocess
import threading
from dataclasses import replace

import pytest

from qcity_nb.errors import BadInput, NotFound
from qcity_nb.io import secrets
from qcity_nb.kinds.vaults import open_vault
from qcity_nb.model.home import Home
from qcity_nb.model.vault import VaultConfig
from qcity_nb.testing.hub import FakeHub
from qcity_nb.testing.vault_contract import VaultContract

pytest.importorskip("cryptography", reason="it seals the copies")
PHRASE = "a phrase with blanks"


def phrase(home):
    secrets.keep(home, "vault-it", base64.urlsafe_b64encode(PHRASE.encode()).decode())


def cut(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


class TestFolder(VaultContract):
    @pytest.fixture(autouse=True)
    def _folder(self, tmp_path):
        self.folder = tmp_path / "drive" / "qcity"
        self.folder.parent.mkdir()

    def config(self):
        return VaultConfig(name="it", kind="folder", target=str(self.folder), keep=3)

    def equip(self, home):
        pass

    def away(self):
        shutil.rmtree(self.folder.parent)

    def spoil(self, name):
        cut(self.folder / name)

    def test_other_files_stay_and_half_of_a_copy_is_never_seen(self, tmp_path):
        self.folder.mkdir()
        (self.folder / "letter.txt").write_text("mine")
        half = self.folder / ".qcity-00000001-00000001-20200101T000000Z-aaaaaaaa.vault.x1"
        half.write_bytes(b"of one that was killed")
        os.utime(half, (0, 0))
        home = self.home(tmp_path / "a", "x")
        for _ in range(5):
            self.put(home)
        assert sorted(path.suffix for path in self.folder.iterdir()) == [".txt", ".vault", ".vault", ".vault"]
        assert (self.folder / self.there(home)[-1].name).stat().st_mode & 0o077 == 0

    @pytest.mark.parametrize(("target", "says"), [("drive", "no absolute folder"), ("{home}/below", "below the home")])
    def test_what_cannot_be_meant(self, target, says, tmp_path):
        home = self.home(tmp_path / "a")
        config = replace(self.config(), target=target.format(home=home.root))
        with pytest.raises(BadInput, match=says):
            open_vault(config, home=home)


class TestSealedFolder(TestFolder):
    """The same, encrypted."""

    def config(self):
        return replace(super().config(), sealed=True)

    def equip(self, home):
        phrase(home)

    def test_what_lies_there_says_nothing(self, tmp_path):
        home = self.home(tmp_path / "a", "confidential")
        (self.folder / self.put(home).name).read_bytes().index(b"sealed")
        other = self.home(tmp_path / "b")
        secrets.keep(other, "vault-it", base64.urlsafe_b64encode(b"wrong").decode())
        with pytest.raises(Exception, match="cannot be opened with this passphrase"):
            self.restore(other)
        secrets.forget(other, "vault-it")
        with pytest.raises(Exception, match="no passphrase is here"):
            self.restore(other)
        secrets.forget(home, "vault-it")
        with pytest.raises(NotFound, match="no passphrase for the vault"):
            self.put(home)


@pytest.mark.real
class TestGit(VaultContract):
    """A bare repository that has another branch already."""

    @pytest.fixture(autouse=True)
    def _remote(self, tmp_path):
        self.remote = tmp_path / "remote.git"
        subprocess.run(["git", "init", "-q", "--bare", self.remote], check=True)

    def git(self, *args):
        return subprocess.run(["git", *args], cwd=self.remote, check=True, capture_output=True).stdout

    def config(self):
        return VaultConfig(name="it", kind="git", target=str(self.remote), keep=3)

    def equip(self, home):
        phrase(home)

    def away(self):
        self.remote.rename(self.remote.with_name("gone.git"))

    def spoil(self, name):
        data = self.git("cat-file", "blob", f"qcity-vault:{name}")
        work = self.remote.with_name("work")
        subprocess.run(["git", "clone", "-q", "-b", "qcity-vault", self.remote, work], check=True, capture_output=True)
        (work / name).write_bytes(data[: len(data) // 2])
        who = ("-c", "user.name=ann", "-c", "user.email=a@x")
        subprocess.run(["git", *who, "commit", "-qam", "spoilt"], cwd=work, check=True)
        subprocess.run(["git", "push", "-q", "origin", "HEAD:qcity-vault"], cwd=work, check=True)

    def test_the_branch_has_no_history_and_shows_nothing(self, tmp_path):
        home = self.home(tmp_path / "a", "confidential")
        for _ in range(5):
            self.put(home)
        assert self.git("rev-list", "--count", "qcity-vault").strip() == b"1"
        assert len(self.git("ls-tree", "qcity-vault").splitlines()) == 3
        assert b"sealed" in self.git("cat-file", "blob", f"qcity-vault:{self.there(home)[-1].name}")[:40]

    @pytest.mark.parametrize(("target", "says"), [("https://ann:secret@git.example/x", "holds a password"), ("--x", "needs a remote")])
    def test_what_cannot_be_meant(self, target, says, tmp_path):
        with pytest.raises(BadInput, match=says) as caught:
            open_vault(replace(self.config(), target=target), home=Home(tmp_path))
        assert "secret" not in str(caught.value)


class TestHuggingFace(VaultContract):
    @pytest.fixture(autouse=True)
    def _hub(self, monkeypatch):
        monkeypatch.setattr("time.sleep", lambda _seconds: None)  # the waits between attempts of forges.http
        with FakeHub() as self.hub:
            self.dataset = self.hub.dataset("ann/vault")
            yield

    def config(self):
        return VaultConfig(name="it", kind="huggingface", target="ann/vault", keep=3, options={"url": self.hub.url})

    def equip(self, home):
        phrase(home)
        secrets.keep(home, "huggingface", "hf_stand_in")

    def away(self):
        self.hub.down()

    def spoil(self, name):
        content = self.dataset.commits[self.dataset.branches["qcity-vault"]][name]
        self.dataset.put("qcity-vault", {name: content[: len(content) // 2 // 4 * 4]}, "spoilt")


class TestFsspecInMemory(VaultContract):
    """An object store: files appear whole."""

    @pytest.fixture(autouse=True)
    def _memory(self):
        self.fsspec = pytest.importorskip("fsspec")
        self.files = self.fsspec.filesystem("memory")
        yield
        if self.files.exists("/bucket"):
            self.files.rm("/bucket", recursive=True)

    def config(self):
        return VaultConfig(name="it", kind="fsspec", target="memory://bucket/qcity", keep=3)

    def equip(self, home):
        phrase(home)

    def away(self):
        self.files.rm("/bucket", recursive=True)
        self.files.pipe_file("/bucket/qcity", b"a file")

    def spoil(self, name):
        data = self.files.cat_file(f"/bucket/qcity/{name}")
        self.files.pipe_file(f"/bucket/qcity/{name}", data[: len(data) // 2])


class TestFsspecOnDisk(VaultContract):
    """A file system: a copy is put beside its name and moved."""

    @pytest.fixture(autouse=True)
    def _disk(self, tmp_path):
        pytest.importorskip("fsspec")
        self.folder = tmp_path / "far"

    def config(self):
        return VaultConfig(name="it", kind="fsspec", target=f"file://{self.folder}", keep=3)

    def equip(self, home):
        phrase(home)

    def away(self):
        shutil.rmtree(self.folder)
        self.folder.write_bytes(b"no folder")

    def spoil(self, name):
        cut(self.folder / name)

    def test_what_cannot_be_meant(self, tmp_path):
        for target in ("bucket", "s3://key:secret@bucket/x", "nosuch://x"):
            with pytest.raises(BadInput, match="no address") as caught:
                open_vault(replace(self.config(), target=target), home=Home(tmp_path))
        assert "Traceback" not in str(caught.value)


class GitServer(http.server.BaseHTTPRequestHandler):
    """git's own HTTP backend behind a password, as DagsHub has it."""

    root, seen = "", []

    def do_GET(self):
        self.seen.append(self.headers.get("Authorization", ""))
        if self.seen[-1] != "Basic " + base64.b64encode(b"ann:dh_stand_in").decode():
            self.send_response(401)
            self.end_headers()
            return
        path, _, query = self.path.partition("?")
        env = {**os.environ, "GIT_PROJECT_ROOT": self.root, "GIT_HTTP_EXPORT_ALL": "1", "PATH_INFO": path, "QUERY_STRING": query}
        env |= {"REQUEST_METHOD": self.command, "CONTENT_TYPE": self.headers.get("Content-Type", ""), "REMOTE_USER": "ann"}
        env |= {"HTTP_CONTENT_ENCODING": self.headers.get("Content-Encoding", ""), "GIT_PROTOCOL": self.headers.get("Git-Protocol", "")}
        body = self.rfile.read(int(self.headers.get("Content-Length", 0) or 0))
        done = subprocess.run(["git", "http-backend"], env=env, input=body, capture_output=True, check=True).stdout
        head, _, rest = done.partition(b"\r\n\r\n")
        lines = [line.split(": ", 1) for line in head.decode().split("\r\n")]
        self.send_response(int(dict(lines).get("Status", "200").split()[0]))
        for name, value in lines:
            if name != "Status":
                self.send_header(name, value)
        self.send_header("Content-Length", str(len(rest)))
        self.end_headers()
        self.wfile.write(rest)

    do_POST = do_GET  # noqa: N815  # as the library names it

    def log_message(self, *_):
        pass


@pytest.mark.real
class TestDagsHub(TestGit):
    """The kind `dagshub` against git's own HTTP server with a token: it goes into a header and nowhere else."""

    @pytest.fixture(autouse=True)
    def _remote(self, tmp_path):
        self.remote = tmp_path / "ann" / "app.git"
        subprocess.run(["git", "init", "-q", "--bare", self.remote], check=True)
        subprocess.run(["git", "config", "http.receivepack", "true"], cwd=self.remote, check=True)
        handler = type("Handler", (GitServer,), {"root": str(tmp_path), "seen": []})
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()
        yield
        self.server.shutdown()
        self.server.server_close()

    def config(self):
        url = f"http://127.0.0.1:{self.server.server_address[1]}"
        return VaultConfig(name="it", kind="dagshub", target="ann/app", keep=3, options={"url": url})

    def equip(self, home):
        phrase(home)
        secrets.keep(home, "dagshub", "dh_stand_in")

    def away(self):
        self.remote.rename(self.remote.with_name("gone.git"))

    def test_a_wrong_token_is_said_and_not_shown(self, tmp_path):
        home = self.home(tmp_path / "a", "x")
        secrets.keep(home, "dagshub", "dh_wrong")
        with pytest.raises(Exception, match="cannot be pushed") as caught:
            self.put(home)
        assert "dh_wrong" not in str(caught.value)

    @pytest.mark.parametrize(("target", "says"), [("app", "no repository"), ("ann/app/more", "no repository")])
    def test_what_cannot_be_meant(self, target, says, tmp_path):
        with pytest.raises(BadInput, match=says):
            open_vault(replace(self.config(), target=target), home=Home(tmp_path))
