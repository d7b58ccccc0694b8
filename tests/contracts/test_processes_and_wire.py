"""The contracts of `Processes` and `Wire`, kept by the fakes and by the real ones."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import time
from datetime import timedelta
from pathlib import Path

import pytest

from qcity_nb.io import spool
from qcity_nb.io.processes import LinuxProcesses
from qcity_nb.io.wire import FileWire
from qcity_nb.model.home import Home
from qcity_nb.model.wire import Hello, Order
from qcity_nb.ports import Alive, Launch
from qcity_nb.testing import FakeClock, FakeProcesses, FakeWire, Machine, Program
from qcity_nb.testing.contracts import NAME, ProcessesContract, WireContract

PROGRAMS = {
    "lives": "import time; time.sleep(1000)",
    "exits": "raise SystemExit(3)",
    "ignores-term": "import signal, time; signal.signal(15, signal.SIG_IGN); time.sleep(1000)",
    "leaves-behind": "import os, time\nif os.fork() == 0:\n    os.setsid()\n    if os.fork():\n        os._exit(0)\ntime.sleep(1000)",
}


class TestFakeProcesses(ProcessesContract):
    @pytest.fixture(autouse=True)
    def _machine(self):
        self.machine = Machine(FakeClock())
        self.programs = {
            "lives": Program(),
            "exits": Program(lives=timedelta(0), code=3),
            "ignores-term": Program(ignores_term=True),
            "leaves-behind": Program(leftovers=2),
            "missing": Program(error="nowhere: No such file or directory"),
        }

    def make(self):
        return FakeProcesses(self.machine)

    def launch(self, behaviour):
        self.machine.programs[NAME] = self.programs[behaviour]
        return Launch(argv=("fake",), cwd=Path("/"))

    def kill(self, pid):
        assert self.machine.last(NAME).main.pid == pid
        self.machine.kill(NAME)

    def wait(self, seconds):
        self.machine.clock.advance(seconds)


@pytest.mark.real
class TestRealProcesses(ProcessesContract):
    @pytest.fixture(autouse=True)
    def _home(self, tmp_path):
        self.home = Home(tmp_path)
        yield
        with contextlib.closing(self.make()) as processes:
            if isinstance(processes.find(NAME), Alive):
                processes.end(NAME, stop_signal=signal.SIGKILL, grace=0)
                for _ in range(100):
                    if processes.ended():
                        break
                    time.sleep(0.02)  # polled: this is the clean-up, not the test

    def make(self):
        return LinuxProcesses(self.home, "contract-place")

    def launch(self, behaviour):
        argv = ("/nowhere/agent",) if behaviour == "missing" else (sys.executable, "-I", "-S", "-c", PROGRAMS[behaviour])
        return Launch(argv=argv, env=dict(os.environ), cwd=self.home.root)

    def kill(self, pid):
        os.kill(pid, signal.SIGKILL)

    def wait(self, seconds):
        time.sleep(seconds)  # polled by the suite against a deadline


class TestFakeWire(WireContract):
    @pytest.fixture(autouse=True)
    def _wire(self):
        self.wire = FakeWire(Machine(FakeClock()))

    def make(self):
        return self.wire

    def say(self, incarnation, text):
        self.wire.facts[NAME, incarnation].append(Hello(sandbox="full", missing=text))

    def told(self, incarnation):
        return list(self.wire.orders[NAME, incarnation])


class TestFileWire(WireContract):
    @pytest.fixture(autouse=True)
    def _home(self, tmp_path):
        self.home = Home(tmp_path)
        self.home.service(NAME).mkdir(parents=True)

    def make(self):
        return FileWire(self.home)

    def say(self, incarnation, text):
        spool.append(self.home.facts(NAME, incarnation), Hello(sandbox="full", missing=text))

    def told(self, incarnation):
        return spool.read(self.home.orders(NAME, incarnation), 0, Order)[0]

    def test_a_torn_line_swallows_nothing(self):
        """A worker that died while it wrote costs its last line only."""
        self.say(1, "a")
        with self.home.facts(NAME, 1).open("ab") as file:
            file.write(b'\n{"type":"hel')
        self.say(1, "b")
        assert [fact.missing for fact in self.make().receive(NAME, 1, 0)[0]] == ["a", "b"]

    def test_the_last_words_are_the_last_line_that_says_anything(self):
        (self.home.service(NAME) / "log").write_text("first\nError: it broke\n\n   \n")
        assert self.make().words(NAME)[-1] == "Error: it broke"
