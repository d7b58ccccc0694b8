"""Supervisors side by side: ours, supervisord and circus behind one small interface, each with the settings its documentation recommends.

The peers are installed by pip into an environment of their own. Every contestant supervises the same commands.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import time
import uuid
import xmlrpc.client
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from qcity_nb.io.keeper import end_descendants, start_of
from qcity_nb.store.database import prepare, prepare_home
from qcity_nb.testing.real_engine import RealEngine

Commands = Mapping[str, Sequence[str]]


def wait_for(what: Callable[[], object], *, seconds: float = 30.0) -> float:
    """Ask twice in a millisecond until it is true; how long it took, infinity when it never came true."""
    begin = time.perf_counter()
    while not what():
        if time.perf_counter() - begin > seconds:
            return float("inf")
        time.sleep(0.0005)
    return time.perf_counter() - begin


def tree(pid: int) -> list[int]:
    """A process and all its descendants."""
    found, ahead = [], [pid]
    while ahead:
        one = ahead.pop()
        found.append(one)
        with contextlib.suppress(OSError):
            ahead += [int(child) for child in Path(f"/proc/{one}/task/{one}/children").read_text().split()]
    return found


class Contestant:
    """A supervisor under test."""

    name = ""
    notices_silence = False

    def __init__(self, folder: Path, commands: Commands) -> None:
        self.folder, self.commands = folder, commands
        folder.mkdir(parents=True, exist_ok=True)
        self.main: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Be up, with all services."""
        raise NotImplementedError

    def again(self) -> None:
        """Start after a kill, as a boot script would."""
        self.start()

    def stop(self, service: str) -> None:
        """Ask for one service to end; do not wait."""
        raise NotImplementedError

    def own(self) -> list[int]:
        """The processes that are the supervisor itself, services left out."""
        return [self.main.pid] if self.main else []

    def kill(self) -> None:
        """Kill -9 of the supervisor."""
        assert self.main is not None
        self.main.kill()
        self.main.wait()

    def end(self) -> None:
        """End everything, as well as the contestant can, and then everything that it could not."""
        if self.main is not None and self.main.poll() is None:
            self.main.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.main.wait(15)
        end_descendants("")  # the bench is a subreaper: whatever was orphaned is its child now

    def spawn(self, argv: Sequence[str]) -> subprocess.Popen[bytes]:
        """Start the supervisor's own process."""
        with (self.folder / "said").open("ab") as said:
            return subprocess.Popen(argv, cwd=self.folder, stdin=subprocess.DEVNULL, stdout=said, stderr=said, start_new_session=True)


class Ours(Contestant):
    """The engine as a process of its own."""

    name = "qcity"
    notices_silence = True

    def __init__(self, folder: Path, commands: Commands, *, silent_after: float | None = None, careful: frozenset[str] = frozenset()) -> None:
        super().__init__(folder, commands)
        self.store, _ = prepare(prepare_home(folder / "home"))
        self.engine = RealEngine(self.store)
        self.silent_after, self.careful = silent_after, careful

    def start(self) -> None:
        """An engine; each service is asked for, without waiting for it."""
        self.main = self.engine.start()
        for name, argv in self.commands.items():
            # the peers have no budget that would end a series of kills; what is meant to fail keeps its own
            policy = {} if name in self.careful else {"burst": 100_000, "base": 0.0}
            self.engine.ask("runner.start", name, kind="command", options={"command": list(argv)}, policy=policy, silent_after=self.silent_after)

    def again(self) -> None:
        """An engine that finds what there is."""
        self.main = self.engine.spawn()

    def stop(self, service: str) -> None:
        """Insert the command."""
        self.engine.ask("runner.stop", service)

    def own(self) -> list[int]:
        """The engine, its fork server and the services' keepers."""
        services = {pid for pid in (self.engine.row(name).pid for name in self.commands) if pid}
        assert self.main is not None
        return sorted({*tree(self.main.pid), *self.keepers()} - services)

    def keepers(self) -> set[int]:
        """The parents of the services."""
        records = [json.loads(path.read_text()) for path in self.engine.home.root.glob("services/*/proc.json")]
        return {record["keeper"] for record in records if start_of(record["keeper"]) == record["keeper_start"]}

    def end(self) -> None:
        """With all services."""
        self.engine.end()
        self.store.close()
        super().end()


class Supervisord(Contestant):
    """supervisord, with killasgroup and stopasgroup."""

    name = "supervisord"

    def start(self) -> None:
        """A configuration file and the daemon."""
        lines = [f"[unix_http_server]\nfile={self.folder}/s\n[supervisord]\nnodaemon=true\npidfile={self.folder}/pid\nlogfile={self.folder}/log"]
        lines.append("[rpcinterface:supervisor]\nsupervisor.rpcinterface_factory = supervisor.rpcinterface:make_main_rpcinterface")
        for name, argv in self.commands.items():
            lines.append(f"[program:{name}]\ncommand={_quoted(argv)}\nautorestart=true\nkillasgroup=true\nstopasgroup=true\nstopwaitsecs=2")
        (self.folder / "supervisord.conf").write_text("\n".join(lines))
        self.again()

    def again(self) -> None:
        """The daemon."""
        self.main = self.spawn([str(peers() / "supervisord"), "-c", str(self.folder / "supervisord.conf")])

    def stop(self, service: str) -> None:
        """By XML-RPC over its socket."""
        body = xmlrpc.client.dumps((service, False), "supervisor.stopProcess")
        with contextlib.closing(_UnixConnection(str(self.folder / "s"))) as connection:
            connection.request("POST", "/RPC2", body, {"Content-Type": "text/xml"})
            connection.getresponse().read()


class Circus(Contestant):
    """circusd with its usual settings; `respawn` is on."""

    name = "circus"

    def start(self) -> None:
        """A configuration file and the daemon."""
        self.port = _free_port()
        ports = f"endpoint = tcp://127.0.0.1:{self.port}\npubsub_endpoint = tcp://127.0.0.1:{_free_port()}"
        lines = [f"[circus]\ncheck_delay = 5\n{ports}\n"]
        lines += [f"[watcher:{name}]\ncmd = {_quoted(argv)}\ncopy_env = True\ngraceful_timeout = 2\n" for name, argv in self.commands.items()]
        (self.folder / "circus.ini").write_text("\n".join(lines))
        self.again()

    def again(self) -> None:
        """The daemon."""
        self.main = self.spawn([str(peers() / "circusd"), str(self.folder / "circus.ini")])

    def stop(self, service: str) -> None:
        """By its ZeroMQ protocol."""
        import zmq

        with zmq.Context() as context, context.socket(zmq.DEALER) as wire:
            wire.setsockopt(zmq.IDENTITY, uuid.uuid4().hex.encode())
            wire.setsockopt(zmq.LINGER, 0)
            wire.connect(f"tcp://127.0.0.1:{self.port}")
            wire.send(json.dumps({"id": uuid.uuid4().hex, "command": "stop", "properties": {"name": service, "waiting": False}}).encode())
            wire.poll(2000)


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: str) -> None:
        super().__init__("localhost")
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(self._path)


_PEERS: list[Path] = []


def peers() -> Path:
    """The folder of the peers' programs; they are installed at first use."""
    if not _PEERS:
        place = Path(os.environ.get("QCITY_BENCH_PEERS") or Path(os.environ.get("TMPDIR", "/tmp")) / "qcity-bench-peers")
        if not (place / "bin" / "circusd").exists():
            subprocess.run([sys.executable, "-m", "venv", str(place)], check=True)
            subprocess.run([str(place / "bin/pip"), "install", "-q", "supervisor", "circus", "setuptools<80"], check=True)
        _PEERS.append(place / "bin")
    return _PEERS[0]


def alive(pid: int) -> bool:
    """Whether a process lives; a zombie does not."""
    return start_of(pid) != 0


def kill(pid: int, number: int = signal.SIGKILL) -> None:
    """Send a signal to something that may be gone."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)


def _quoted(argv: Sequence[str]) -> str:
    import shlex

    return shlex.join(argv)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
