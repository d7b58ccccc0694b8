"""`qcity serve` as a process of its own: how it begins, what it prints, how it ends; and `city.serve()`."""

from __future__ import annotations

import json
import os
import pty
import re
import signal
import socket
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import httpx
import psutil
import pytest

from qcity_nb import cli
from qcity_nb.client import served
from qcity_nb.io.files import tail

pytestmark = pytest.mark.real


@pytest.fixture
def begin(sqlite, tmp_path):
    """Starts `qcity serve`; gives its process, what it said, and its page once that is there."""
    started = []

    def start(*args: str, stdout=None):
        said = tmp_path / f"said-{len(started)}"
        command = [sys.executable, "-m", "qcity_nb", "serve", "--home", str(sqlite.home.root), *args]
        with said.open("wb") as file:
            process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=stdout or file, stderr=file)
        started.append(process)
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline and process.poll() is None:
            if mine := [page for page in served.living(sqlite.home) if page.pid == process.pid]:
                return process, said, mine[0]
            process_pause(process)
        return process, said, None

    yield start
    for process in started:
        if process.poll() is None:
            process.kill()
        process.wait()


def process_pause(process):
    """A tenth of a second, or until it ended."""
    try:
        process.wait(0.1)
    except subprocess.TimeoutExpired:
        return


def links(sqlite, capsys, *args):
    assert cli.main(["serve", "link", "--home", str(sqlite.home.root), *args]) == 0
    return capsys.readouterr().out.split()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_ends_cleanly_with_a_visitor_on_it(begin, sqlite, capsys, number):
    process, said, page = begin("--port", "0")
    [link] = links(sqlite, capsys, "--role", "viewer")
    with httpx.Client(base_url=page.url) as client:
        assert client.post("/login", json={"token": link.partition("#")[2]}).status_code == 200
        with client.stream("GET", "/events") as events:
            assert next(events.iter_lines()).startswith("retry")
            process.send_signal(number)
            assert process.wait(20) == 0
    text = said.read_text()
    assert text.endswith("The page has ended; every link to it is void.\n")
    assert "Traceback" not in text
    assert "#" not in text  # a link is printed to terminals only, and this is a file
    assert served.living(sqlite.home) == []
    assert list((sqlite.home.root / "serve").glob("*/")) == []


def test_a_terminal_gets_a_link_that_works(begin):
    ours, theirs = pty.openpty()
    process, _, page = begin("--port", "0", "--role", "viewer", stdout=theirs)
    os.close(theirs)
    text = b""
    while b"Ctrl-C" not in text:
        text += os.read(ours, 4096)
    token = re.search(rb"login#(\S+)", text)[1].decode()
    assert httpx.post(f"{page.url}login", json={"token": token}).status_code == 200
    assert token not in " ".join(Path(f"/proc/{process.pid}/cmdline").read_text().split("\0"))
    process.terminate()
    assert process.wait(20) == 0
    os.close(ours)


def test_links_are_printed_on_demand_and_taken_back(begin, sqlite, capsys):
    _, _, page = begin("--port", "0")
    for role in ("viewer", "operator", "master"):
        [link] = links(sqlite, capsys, "--role", role, "--name", "ada")
        with httpx.Client(base_url=page.url) as client:
            client.post("/login", json={"token": link.partition("#")[2]})
            assert client.get("/session").json() == {"role": role}
            if role == "master":
                assert cli.main(["serve", "revoke", "--home", str(sqlite.home.root)]) == 0
                assert client.get("/session").status_code == 401
    capsys.readouterr()
    assert cli.main(["serve", "link", "--home", str(sqlite.home.root), "--role", "operator", "--shared"]) == 2
    assert "Only a link for viewer can be shared" in capsys.readouterr().err
    assert cli.main(["serve", "list", "--home", str(sqlite.home.root), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["pages"] == [{"url": page.url, "port": page.port, "pid": page.pid}]


def test_what_cannot_be_served_is_a_sentence(begin, sqlite, capsys, monkeypatch, tmp_path):
    home = ["--home", str(sqlite.home.root)]
    with closing(socket.socket()) as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert cli.main(["serve", *home, "--port", str(port)]) == 1
        assert capsys.readouterr().err == f"qcity: the port {port} of 127.0.0.1 is taken.\n       qcity serve --port 0 takes a free one.\n"
    assert cli.main(["serve", *home, "--host", "nowhere.invalid"]) == 2
    assert cli.main(["serve", *home, "--every", "0.1s"]) == 2
    assert cli.main(["serve", *home, "--port", "70000"]) == 2
    assert cli.main(["serve", "--home", str(tmp_path / "said"), "link"]) == 1
    assert "qcity serve starts one" in capsys.readouterr().err
    (tmp_path / "file").write_text("")
    assert cli.main(["serve", "--home", str(tmp_path / "file")]) == 1
    assert "is a file, not a folder" in capsys.readouterr().err
    monkeypatch.setitem(sys.modules, "uvicorn", None)  # as if it were not installed
    assert cli.main(["serve", *home]) == 1
    assert 'the served page needs uvicorn.\n       pip install "qcity-nb[serve]"' in capsys.readouterr().err


def test_a_notebook_serves_from_a_process_of_its_own(city):
    page = city.serve()
    pid = page._served.pid
    try:
        assert city.serve().url == page.url  # the cell is run again
        assert page.live
        token = page.link("viewer").partition("#")[2]
        assert token not in repr(page)
        assert httpx.post(f"{page.url}login", json={"token": token}).status_code == 200
        assert "Traceback" not in "\n".join(tail(city.home / "serve.log"))
    finally:
        page.close()
    assert not psutil.pid_exists(pid)  # so its hand is not on the store either
    assert not page.live
    page.close()


def test_a_page_of_a_killed_process_is_not_taken_for_one(begin, sqlite, capsys):
    process, _, page = begin("--port", "0")
    process.kill()
    process.wait()
    assert served.living(sqlite.home) == []
    assert cli.main(["serve", "link", "--home", str(sqlite.home.root)]) == 1
    begin("--port", "0")
    assert not sqlite.home.served(page.port).exists()
