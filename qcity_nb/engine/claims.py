"""What this place may do under its claims now: asked before every start, and written into the fence of whatever runs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from ..decide import tenure as rules
from ..decide.tenure import Tenure
from ..errors import LeaseError
from ..io import clock, fence
from ..io.fence import Fence
from ..model.fleet import Epoch, FleetConfig, Instant
from ..model.home import Home
from ..model.service import ServiceSpec


@dataclass
class Claims:
    """The tenures of a place. `instant` gives both clocks of the machine."""

    home: Home
    instant: Callable[[], Instant] = clock.instant
    config: FleetConfig | None = None
    tenures: dict[str, Tenure] = field(default_factory=dict)
    unfit: str = ""  # why this place may take nothing over

    def held(self, claim: str) -> Epoch:
        """The epoch that this place holds a claim in now; 0 when it does not."""
        tenure = self.tenures.get(claim)
        return tenure.held if tenure is not None and rules.holds(tenure, self.instant()) else Epoch(0)

    def barred(self, spec: ServiceSpec) -> str:
        """Why a service may not run here now; empty when it may."""
        if not spec.claim or self.held(spec.claim):
            return ""
        tenure = self.tenures.get(spec.claim)
        if self.config is None:
            return f"no leases are set up for its claim {spec.claim}"
        if self.unfit and (tenure is None or not tenure.held):
            return f"this place may not take {spec.claim}: {self.unfit}"
        if tenure is None or tenure.seen is None:
            why = f" ({tenure.trouble})" if tenure is not None and tenure.trouble else ""
            return f"who holds {spec.claim} is not known yet{why}"
        if tenure.record is None or tenure.ours:
            return f"{spec.claim} is about to be taken here" if not tenure.trouble else f"{spec.claim} could not be renewed ({tenure.trouble})"
        return f"{spec.claim} is held by {tenure.record.name or tenure.record.place[:8]} (epoch {tenure.record.epoch})"

    def raise_fence(self, spec: ServiceSpec) -> Epoch:
        """Put up the fence of a service, or move it to the limits of the last renewal.

        Raises:
            LeaseError: the claim is not held.
            OSError: the fence could not be written.
        """
        epoch = self.held(spec.claim)
        if not epoch:
            raise LeaseError(f"this place does not hold {spec.claim}", permanent=False)
        stop, kill = rules.limits(self.tenures[spec.claim])
        fence.raise_(self.home.service(spec.name), Fence(epoch=epoch, stop=stop, kill=kill))
        return epoch

    def fence_of(self, name: str) -> Fence | None:
        """The fence of what runs of a service."""
        return fence.of(self.home.service(name))
