"""The fence of a claimed service: until when its place may act, in a file that the engine renews and the service's keeper, and its attendant, mind.

Moments are seconds of the clock that runs while the machine sleeps. A fence that is not there, or cannot be read, is over.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from ..model.fleet import Epoch
from . import keeper
from .clock import instant


@dataclass(frozen=True, kw_only=True)
class Fence:
    """From `stop` on a service of this epoch is asked to end, at `kill` nothing of it lives."""

    epoch: Epoch
    stop: float
    kill: float


def raise_(folder: Path, fence: Fence) -> None:
    """Put up a fence, or move the one that is there.

    Raises:
        OSError: it could not be written; the one that was there holds.
    """
    keeper.write_whole(folder / keeper.FENCE, asdict(fence))


def of(folder: Path) -> Fence | None:
    """The fence of a service; None when there is none."""
    try:
        found = json.loads((folder / keeper.FENCE).read_text())
        return Fence(epoch=Epoch(int(found["epoch"])), stop=float(found["stop"]), kill=float(found["kill"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def is_over(folder: Path) -> bool:
    """Whether nothing may be done any more in the name of the service's claim."""
    fence = of(folder)
    return fence is None or instant().total >= fence.stop
