"""Fixtures for all tests: a home, a store on SQLite and on PostgreSQL, what a fresh machine has at hand, the options of the simulator.

PostgreSQL comes from QCITY_TEST_POSTGRES (a URL), else a private cluster is started once for the session. Where there is none, these
tests say why they skip; in CI they fail instead.
"""

from __future__ import annotations

import contextlib
import http.server
import json
import os
import pwd
import shutil
import socket
import subprocess
import sys
import sysconfig
import tempfile
import threading
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from qcity_nb.model.home import Home
from qcity_nb.store.database import Store, prepare, prepare_home

OURS = ("qcity_nb", "_editable_impl_qcity_nb")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--world-seeds", type=int, default=0, help="how many seeds the simulator runs (default: what fits in its time)")


@pytest.fixture
def home(tmp_path: Path) -> Home:
    """A fresh home in a folder of its own."""
    return prepare_home(tmp_path / "home")


@pytest.fixture(params=["sqlite", "postgresql"])
def store_url(request: pytest.FixtureRequest) -> str | None:
    """The address of an empty database: None for the home's own file."""
    if request.param == "sqlite":
        return None
    return str(request.getfixturevalue("postgres_database"))


@pytest.fixture
def store(home: Home, store_url: str | None) -> Iterator[Store]:
    """A migrated, empty store."""
    opened, said = prepare(home, store_url)
    assert not said
    with contextlib.closing(opened):
        yield opened


@pytest.fixture
def hook() -> Iterator[tuple[str, list[dict[str, str]]]]:
    """A webhook: its address, and what it was told."""
    got: list[dict[str, str]] = []

    class Posts(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            got.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Posts)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}/x", got
    server.shutdown()
    server.server_close()


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[str]:
    """The address of a PostgreSQL server on which databases may be made."""
    if url := os.environ.get("QCITY_TEST_POSTGRES"):
        yield url
        return
    with _private_cluster(_programs()) as cluster:
        yield cluster.url


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    """A PostgreSQL server for one test, which may stop and start it."""
    with _private_cluster(_programs()) as own:
        yield own


@pytest.fixture
def postgres_database(postgres_server: str) -> Iterator[str]:
    """The address of an empty database that goes away after the test."""
    import psycopg
    from sqlalchemy.engine import make_url

    server = make_url(postgres_server)
    plain = server.set(drivername="postgresql").render_as_string(hide_password=False)
    name = f"qcity_{uuid.uuid4().hex[:12]}"
    with psycopg.connect(plain, autocommit=True) as connection:
        connection.execute(f"create database {name}")
    yield server.set(database=name).render_as_string(hide_password=False)
    with psycopg.connect(plain, autocommit=True) as connection:
        connection.execute(f"drop database {name} with (force)")


def _programs() -> Path:
    """The newest folder that holds initdb and pg_ctl: Debian keeps them off PATH, and a link on PATH leads to it. Without one the test skips."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[4]), reverse=True)
    if on_path := shutil.which("initdb"):
        found.append(Path(on_path).resolve())
    if found:
        return found[0].parent
    reason = "PostgreSQL is not installed here (no initdb on PATH or in /usr/lib/postgresql): apt-get install postgresql"
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)


class Cluster:
    """A PostgreSQL server in a temporary folder, as the user postgres when we are root: the server refuses to run as root."""

    def __init__(self, programs: Path) -> None:
        where = "/tmp" if os.geteuid() == 0 else None  # root's own folder for temporary files may be closed to the user postgres
        self._programs, self.folder = programs, Path(tempfile.mkdtemp(prefix="qcity-pg-", dir=where))
        self._become: dict[str, object] = {}
        if os.geteuid() == 0:
            user = pwd.getpwnam("postgres")
            os.chown(self.folder, user.pw_uid, user.pw_gid)
            self._become = {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self._port = probe.getsockname()[1]
        self._data = str(self.folder / "data")
        self.url = f"postgresql+psycopg://qcity@127.0.0.1:{self._port}/postgres"

    def make(self) -> None:
        """Make its files."""
        self._run("initdb", "-D", self._data, "-U", "qcity", "-A", "trust", "-E", "UTF8", "--no-sync")

    def start(self) -> None:
        """Start it and wait until it answers."""
        options = f"-p {self._port} -c listen_addresses=127.0.0.1 -k {self.folder} -c fsync=off -c max_connections=120"
        self._run("pg_ctl", "-D", self._data, "-w", "-l", str(self.folder / "log"), "-o", options, "start")

    def stop(self) -> None:
        """End it as a crash would."""
        self._run("pg_ctl", "-D", self._data, "-w", "-m", "immediate", "stop")

    def _run(self, *command: str) -> None:
        with (self.folder / "said").open("ab") as said:  # not a pipe: the server would keep it open
            argv = [str(self._programs / command[0]), *command[1:]]
            subprocess.run(argv, check=True, cwd=self.folder, stdout=said, stderr=said, **self._become)


@contextlib.contextmanager
def _private_cluster(programs: Path) -> Iterator[Cluster]:
    cluster = Cluster(programs)
    try:
        cluster.make()
        cluster.start()
        yield cluster
    finally:
        with contextlib.suppress(subprocess.CalledProcessError):
            cluster.stop()
        shutil.rmtree(cluster.folder, ignore_errors=True)


@pytest.fixture(scope="session")
def dependencies():
    """A folder for PYTHONPATH with all that the package needs and not the package itself, so that installing it takes seconds and no index."""
    folder = Path(tempfile.mkdtemp(prefix="qcity-lib-"))
    folder.chmod(0o755)
    for path in Path(sysconfig.get_paths()["purelib"]).iterdir():
        if not path.name.startswith(OURS) and path.suffix != ".pth":
            (folder / path.name).symlink_to(path)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture(scope="session")
def python():
    """A Python that makes virtual environments: the one below ours."""
    return str(Path(sys.base_prefix) / "bin" / f"python3.{sys.version_info[1]}")
