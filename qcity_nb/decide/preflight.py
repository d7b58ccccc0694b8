"""Whether a machine may take a job now: what was measured goes in; what to mend, what to refuse and why come out. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta

from ..model.agent import Act
from .symptoms import FREE_DISK, FREE_INODES, FREE_SHARE
from .wording import count, size, span

FREE_MEMORY = 256 << 20
"""Bytes of memory below which a job would most likely be killed."""
CLOCK = timedelta(minutes=5)
"""From here on GitHub refuses what a machine signs; less may make a build odd, and is no reason to refuse it."""


@dataclass(frozen=True, kw_only=True)
class Measured:
    """What a look at the machine found; None means it could not be measured, which refuses nothing."""

    free_disk: int | None = None
    free_disk_share: float | None = None
    free_inodes_share: float | None = None
    free_memory: int | None = None
    skew: timedelta | None = None
    path: str = ""  # the layer of the network that fails on the way to the forge: dns, tcp or tls
    forge: str = ""  # the forge's address, for people
    credentials: bool = True  # the registration's files are there and whole
    missing_tools: tuple[str, ...] = ()
    tools: dict[str, str] = field(default_factory=dict)  # name: version
    gpus: int | None = None
    gpu_error: str = ""
    leftovers: int = 0  # processes of the last job
    not_ours: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Check:
    """One thing that was looked at: what is wrong with it (empty when nothing), and what would mend it."""

    name: str
    wrong: str = ""
    act: Act | None = None


def examine(seen: Measured) -> tuple[Check, ...]:
    """Every check, in the order in which they are told."""
    low_disk = (seen.free_disk is not None and seen.free_disk < FREE_DISK) or (
        seen.free_disk_share is not None and seen.free_disk_share < FREE_SHARE
    )
    low_inodes = seen.free_inodes_share is not None and seen.free_inodes_share < FREE_INODES
    low_memory = seen.free_memory is not None and seen.free_memory < FREE_MEMORY
    left = count(seen.leftovers, "process", "processes")
    skewed = seen.skew is not None and abs(seen.skew) >= CLOCK
    return (
        Check(name="disk", wrong=f"only {size(seen.free_disk)} are free" if low_disk else "", act=Act.PURGE),
        Check(name="inodes", wrong="the file system has no room for more files" if low_inodes else "", act=Act.PURGE),
        Check(name="memory", wrong=f"only {size(seen.free_memory)} of memory are free" if low_memory else ""),
        Check(name="clock", wrong=f"the clock differs by {span(abs(seen.skew or CLOCK))} from the forge's" if skewed else ""),
        Check(name="network", wrong=f"{seen.forge or 'the forge'} cannot be reached: {seen.path} fails" if seen.path else ""),
        Check(name="credentials", wrong="" if seen.credentials else "the registration's files are damaged"),
        Check(name="tools", wrong=f"{', '.join(seen.missing_tools)} not installed" if seen.missing_tools else ""),
        Check(name="GPU", wrong=seen.gpu_error),
        Check(name="leftovers", wrong=f"{left} of the last job still run" if seen.leftovers else "", act=Act.REAP),
        Check(name="work folder", wrong=f"{seen.not_ours[0]} belongs to another user" if seen.not_ours else "", act=Act.OWN),
    )


def to_mend(checks: Sequence[Check]) -> tuple[Act, ...]:
    """What can be mended by ourselves, each once."""
    return tuple(dict.fromkeys(check.act for check in checks if check.wrong and check.act is not None))


def refusal(checks: Sequence[Check]) -> str:
    """Why no job may run now, after what could be mended was; empty when one may."""
    return "; ".join(f"{check.name}: {check.wrong}" for check in checks if check.wrong)


def told(before: Sequence[Check], after: Sequence[Check]) -> str:
    """One sentence for the record."""
    mended = [one.name for one, now in zip(before, after, strict=True) if one.wrong and not now.wrong]
    if why := refusal(after):
        return f"refused ({why})" + (f"; mended: {', '.join(mended)}" if mended else "")
    return f"all is well after mending {', '.join(mended)}" if mended else "all is well"
