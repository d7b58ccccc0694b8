"""Contract suites: what every implementation of a port has to do, as classes of tests. Subclass one, give it its subject, and pytest runs it.

The fakes of this package pass the same suites as the real parts, which is what makes them worth anything.
"""

from __future__ import annotations

import contextlib
import subprocess
from abc import abstractmethod
from datetime import timedelta
from pathlib import Path

import pytest

from ..errors import BadInput, QCityError
from ..model.home import Home
from ..model.service import Sandbox, ServiceSpec
from ..model.wire import CancelJob, Hello, Order, Seen
from ..ports import Alive, Cage, Ended, Launch, Processes, RunnerKind, SandboxKind, Wire

NAME = "alpha"
SPEC = ServiceSpec(name=NAME, kind="command", grace=timedelta(seconds=1))


class ProcessesContract:
    """What `ports.Processes` promises. A behaviour is one of: lives, exits (code 3, at once), ignores-term, leaves-behind, missing."""

    @abstractmethod
    def make(self) -> Processes:
        """A view of the same machine, as the next engine has it; close what it replaces yourself."""

    @abstractmethod
    def launch(self, behaviour: str) -> Launch:
        """How to start a program that behaves so."""

    @abstractmethod
    def kill(self, pid: int) -> None:
        """Kill -9 from outside."""

    @abstractmethod
    def wait(self, seconds: float) -> None:
        """Let a little time pass."""

    def start(self, processes: Processes, behaviour: str, incarnation: int = 1) -> int:
        """Start an incarnation."""
        return processes.start(SPEC, self.launch(behaviour), incarnation=incarnation, generation=1)

    def one_end(self, processes: Processes) -> Ended:
        """Wait for one tree to be gone."""
        for _ in range(300):
            if ended := processes.ended():
                assert len(ended) == 1
                return ended[0]
            self.wait(0.05)
        raise AssertionError("it never ended")

    def test_what_was_never_started_is_not_found(self) -> None:
        """None, not an error."""
        with contextlib.closing(self.make()) as processes:
            assert processes.find(NAME) is None
            assert list(processes.ended()) == []

    def test_what_lives_is_found_by_the_next_engine(self) -> None:
        """With its number and its pid."""
        with contextlib.closing(self.make()) as first:
            pid = self.start(first, "lives")
        with contextlib.closing(self.make()) as second:
            found = second.find(NAME)
            assert isinstance(found, Alive)
            assert found.incarnation == 1
            assert found.main is not None
            assert found.main.pid == pid
            second.end(NAME, stop_signal=15, grace=1)
            assert self.one_end(second).how.signal == 15

    def test_nothing_is_started_twice(self) -> None:
        """Neither by the same engine nor by the next one."""
        with contextlib.closing(self.make()) as processes:
            self.start(processes, "lives")
            with pytest.raises(BlockingIOError):
                self.start(processes, "lives", 2)
            with contextlib.closing(self.make()) as other, pytest.raises(BlockingIOError):
                self.start(other, "lives", 2)
            processes.end(NAME, stop_signal=15, grace=1)
            self.one_end(processes)
            self.start(processes, "lives", 2)
            processes.end(NAME, stop_signal=15, grace=1)
            assert self.one_end(processes).incarnation == 2

    def test_what_cannot_be_started_is_said(self) -> None:
        """And holds nothing: the next start is free."""
        with contextlib.closing(self.make()) as processes:
            with pytest.raises(OSError, match="No such file"):
                self.start(processes, "missing")
            self.start(processes, "exits", 2)
            assert self.one_end(processes).incarnation == 2

    def test_an_end_is_told_once_with_its_code(self) -> None:
        """Exit codes are seen."""
        with contextlib.closing(self.make()) as processes:
            self.start(processes, "exits")
            ended = self.one_end(processes)
            assert (ended.name, ended.incarnation, ended.how.code, ended.how.signal) == (NAME, 1, 3, None)
            assert list(processes.ended()) == []

    def test_a_kill_from_outside_is_seen_as_one(self) -> None:
        """The signal is known."""
        with contextlib.closing(self.make()) as processes:
            self.kill(self.start(processes, "lives"))
            ended = self.one_end(processes)
            assert (ended.how.code, ended.how.signal) == (None, 9)

    def test_an_end_that_no_engine_saw_is_found_by_the_next(self) -> None:
        """With its exit code: somebody wrote it down."""
        with contextlib.closing(self.make()) as first:
            self.start(first, "exits")
        for _ in range(100):
            self.wait(0.05)
            with contextlib.closing(self.make()) as second:
                found = second.find(NAME)
                if isinstance(found, Ended):
                    break
        assert isinstance(found, Ended)
        assert (found.incarnation, found.how.code) == (1, 3)

    def test_who_ignores_the_signal_is_killed_after_the_grace(self) -> None:
        """Asking twice does not prolong it."""
        with contextlib.closing(self.make()) as processes:
            self.start(processes, "ignores-term")
            self.wait(0.3)
            for _ in range(2):
                processes.end(NAME, stop_signal=15, grace=0.5)
            assert self.one_end(processes).how.signal == 9

    def test_nothing_is_left_behind(self) -> None:
        """What it forked into sessions of its own ends with it and is counted."""
        with contextlib.closing(self.make()) as processes:
            pid = self.start(processes, "leaves-behind")
            self.wait(0.5)
            self.kill(pid)
            assert self.one_end(processes).how.leftovers >= 1
            self.start(processes, "exits", 2)
            self.one_end(processes)

    def test_ending_what_does_not_live_does_nothing(self) -> None:
        """No error, no end."""
        with contextlib.closing(self.make()) as processes:
            processes.end(NAME, stop_signal=15, grace=0.1)
            assert list(processes.ended()) == []


class WireContract:
    """What `ports.Wire` promises to the engine; `say` is the worker's end."""

    @abstractmethod
    def make(self) -> Wire:
        """The engine's end; a second one sees the same."""

    @abstractmethod
    def say(self, incarnation: int, text: str) -> None:
        """The worker of an incarnation says Hello, with this text as what is missing."""

    @abstractmethod
    def told(self, incarnation: int) -> list[Order]:
        """What the worker of an incarnation was told."""

    def test_facts_arrive_in_order_and_once(self) -> None:
        """From any offset on."""
        wire = self.make()
        assert wire.receive(NAME, 1, 0) == ([], 0)
        self.say(1, "a")
        self.say(1, "b")
        facts, offset = wire.receive(NAME, 1, 0)
        assert facts == [Hello(sandbox="full", missing="a"), Hello(sandbox="full", missing="b")]
        assert wire.receive(NAME, 1, offset) == ([], offset)
        self.say(1, "c")
        assert self.make().receive(NAME, 1, offset)[0] == [Hello(sandbox="full", missing="c")]

    def test_incarnations_do_not_hear_each_other(self) -> None:
        """Neither way."""
        wire = self.make()
        self.say(1, "old")
        assert wire.receive(NAME, 2, 0)[0] == []
        wire.send(NAME, 2, Seen(heads={"refs/heads/main": "1"}))
        assert self.told(1) == []

    def test_orders_arrive_in_order(self) -> None:
        """Before the worker is born, too."""
        orders: list[Order] = [Seen(heads={}), CancelJob(token=NAME, reason="ünïcode\nand lines")]
        for order in orders:
            self.make().send(NAME, 1, order)
        assert self.told(1) == orders

    def test_a_service_that_was_never_there_is_silent(self) -> None:
        """No sign, no last words, no error."""
        wire = self.make()
        assert wire.sign("nobody", beats=True) == 0
        assert wire.sign("nobody", beats=False) == 0
        assert list(wire.words("nobody")) == []


class SandboxContract:
    """What every kind of sandbox promises, whatever level this machine allows it."""

    @abstractmethod
    def subject(self) -> SandboxKind:
        """The kind."""

    def usable(self) -> SandboxKind:
        """The kind, where this machine allows it."""
        kind = self.subject()
        level, missing = kind.probe()
        if level is Sandbox.NONE and missing:
            pytest.skip(missing)
        return kind

    def run(self, folder: Path, script: str) -> subprocess.CompletedProcess[str]:
        """Run a shell script inside."""
        folder.mkdir(exist_ok=True)
        folder.chmod(0o777)
        path = "/usr/local/bin:/usr/bin:/bin"
        cage = Cage(work=folder, env={"PATH": path, "KNOWN": "yes"})
        command = self.usable().wrap(["/bin/sh", "-c", script], cage=cage)
        into = {"cwd": folder, "env": dict(cage.env), "stdin": subprocess.DEVNULL}
        return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, **into)  # type: ignore[call-overload, no-any-return]

    def test_it_says_what_is_missing(self) -> None:
        """A level below full comes with a reason."""
        level, missing = self.subject().probe()
        assert level is Sandbox.FULL or missing

    def test_a_job_works(self, tmp_path: Path) -> None:
        """It may write where it works, and sees the environment it was given."""
        done = self.run(tmp_path / "work", 'echo "$KNOWN" > out && cat out')
        assert done.returncode == 0, done
        assert done.stdout.startswith("yes\n")  # a cage may add a line of its own about what it ended
        assert (tmp_path / "work" / "out").read_text() == "yes\n"

    def test_exit_codes_come_through(self, tmp_path: Path) -> None:
        """Those of the job, not of the sandbox."""
        assert self.run(tmp_path / "work", "exit 7").returncode == 7

    def test_the_environment_is_scrubbed(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Nothing of ours is put in that was not given."""
        monkeypatch.setenv("SECRET", "hush")
        assert "hush" not in self.run(tmp_path / "work", "env").stdout


class RunnerContract:
    """What every kind of runner promises."""

    @abstractmethod
    def subject(self) -> RunnerKind:
        """The kind."""

    @abstractmethod
    def good(self, folder: Path) -> ServiceSpec:
        """A specification that works."""

    def test_checking_fills_in_and_is_stable(self, tmp_path: Path) -> None:
        """What was checked passes again, unchanged."""
        once = self.subject().check(self.good(tmp_path))
        assert self.subject().check(once) == once
        assert once.name == self.good(tmp_path).name

    def test_nonsense_is_a_sentence(self, tmp_path: Path) -> None:
        """An option that the kind does not know is bad input with a way out, never a traceback."""
        good = self.good(tmp_path)
        bad = ServiceSpec(name=good.name, kind=good.kind, options={**good.options, "no_such_option": 1})
        with pytest.raises(BadInput) as caught:
            self.subject().check(bad)
        assert "no_such_option" in str(caught.value)
        assert caught.value.todo

    def test_it_can_be_launched(self, tmp_path: Path) -> None:
        """With a command of words, an environment of words and no secret among the words."""
        home = Home(tmp_path)
        spec = self.subject().check(self.good(tmp_path))
        home.service(spec.name).mkdir(parents=True, exist_ok=True)
        with contextlib.suppress(QCityError):  # a tool that this machine lacks is said at launch
            launch = self.subject().launch(spec, home=home)
            assert launch.argv
            assert all(isinstance(word, str) and word for word in launch.argv)
            assert all(isinstance(key, str) and isinstance(value, str) for key, value in launch.env.items())
