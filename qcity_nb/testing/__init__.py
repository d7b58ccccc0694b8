"""For tests, ours and yours: clocks that obey, processes that never were, a simulated world that drives the real engine, contract suites."""

from __future__ import annotations

from .clock import FakeClock
from .fuse import EngineKilled, Fuse
from .kinds import FakeKind
from .machine import Machine, Program
from .processes import FakeProcesses
from .wire import FakeWire, Repository

__all__ = ["EngineKilled", "FakeClock", "FakeKind", "FakeProcesses", "FakeWire", "Fuse", "Machine", "Program", "Repository"]
