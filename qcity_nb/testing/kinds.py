"""Kinds of runners for a simulated machine: one that takes jobs and beats, one that only lives."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import timedelta

from ..errors import BadInput
from ..model.home import Home
from ..model.service import Exit, ServiceSpec
from ..model.tunnel import Follower
from ..ports import Launch, RunnerKind


@dataclass(kw_only=True)  # not frozen: the protocol's attributes are plain ones
class FakeKind:
    """A `RunnerKind` that checks next to nothing: the option `bad` makes it refuse, as a real kind does with what cannot work."""

    takes_jobs: bool
    beats: bool
    speaks: bool = True
    attended: bool = False
    slots: int = 0

    def natural(self, how: Exit, words: Sequence[str]) -> str:
        """Nothing simulated ends by itself as it should."""
        return ""

    def check(self, spec: ServiceSpec) -> ServiceSpec:
        """The specification, with a silence that ends it after a minute."""
        if "bad" in spec.options:
            raise BadInput(f"runner {spec.name} cannot work: its option bad says so", "leave it out")
        if self.slots:
            spec = replace(spec, options={**spec.options, "slots": self.slots})
        return replace(spec, silent_after=spec.silent_after or timedelta(minutes=1))

    def check_follower(self, follower: Follower) -> None:
        """Everything may follow."""

    def launch(self, spec: ServiceSpec, *, home: Home) -> Launch:
        """A command that the simulated machine knows."""
        return Launch(argv=("fake", spec.name), env={}, cwd=home.service(spec.name))


KINDS: dict[str, RunnerKind] = {
    "local": FakeKind(takes_jobs=True, beats=True),
    "command": FakeKind(takes_jobs=False, beats=False, speaks=False),
    "notebooks": FakeKind(takes_jobs=False, beats=True, slots=2),
    "tunnel": FakeKind(takes_jobs=False, beats=True),
}
"""Under the names of the real ones, so that commands and rows look the same."""


def load(family: str, name: str) -> RunnerKind:
    """What `kinds.load` does, for simulated runners.

    Raises:
        BadInput: there is no such kind.
    """
    if family != "runners" or name not in KINDS:
        raise BadInput(f'there is no kind "{name}" of {family}', f"there are: {', '.join(KINDS)}")
    return KINDS[name]
