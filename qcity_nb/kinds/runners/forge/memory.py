"""What is remembered of an agent from one life to the next: its registration, what was repaired, which versions were good. No secret is in it."""

from __future__ import annotations

import contextlib
import hashlib
import socket
from datetime import timedelta
from pathlib import Path

import msgspec

from ....decide.repair import Memory
from ....io.files import write_atomic
from ....model.home import Home

FILE = "agent.json"


class AgentMemory(msgspec.Struct, kw_only=True):
    """One agent's. `known`: ids of registrations that we made and their names; `worst`: jobs' names and the longest they took, in seconds."""

    repair: Memory = msgspec.field(default_factory=Memory)
    id: int | None = None
    name: str = ""
    renames: int = 0
    fingerprint: str = ""
    known: dict[int, str] = {}
    good: list[str] = []
    failed: list[str] = []
    version: str = ""
    update_starts: int = 0
    worst: dict[str, float] = {}
    rerun: list[int] = []
    lost: dict[int, str] = {}  # registrations (id and name) that were lost with a job under way
    last_online: float | None = None
    begun: int = 0  # the last life whose opening has written this
    life: int = 0  # the last life that became the agent, and when
    opened: float = 0.0
    canary_at: float | None = None  # when the last canary began, seconds of the wall clock
    canary_failures: int = 0  # in a row
    canary: str = ""  # what was wrong at the last one


def load(home: Home, name: str) -> AgentMemory:
    """What is remembered; nothing when it was never written or cannot be read."""
    with contextlib.suppress(OSError, msgspec.DecodeError, msgspec.ValidationError):
        return msgspec.json.decode((home.service(name) / FILE).read_bytes(), type=AgentMemory)
    return AgentMemory()


def save(home: Home, name: str, memory: AgentMemory) -> None:
    """Remember. A full disk forgets, and nothing else is harmed."""
    with contextlib.suppress(OSError):
        write_atomic(home.service(name) / FILE, msgspec.json.encode(memory))


def machine() -> str:
    """A fingerprint of this machine: a copied folder has another one."""
    with contextlib.suppress(OSError):
        return hashlib.sha256(Path("/etc/machine-id").read_bytes() + socket.gethostname().encode()).hexdigest()[:16]
    return hashlib.sha256(socket.gethostname().encode()).hexdigest()[:16]


def longest(memory: AgentMemory, job: str) -> timedelta | None:
    """The longest that a job of this name took here."""
    seconds = memory.worst.get(job)
    return None if seconds is None else timedelta(seconds=seconds)
