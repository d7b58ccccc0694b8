"""The kind `foreign`: an agent that somebody else started, by hand or as a service. It is watched and told of, never started, ended or mended."""

from __future__ import annotations

from collections.abc import Sequence

from ....errors import Refused
from ....model.home import Home
from ....model.service import Exit, ServiceSpec
from ....ports import Launch


class Foreign:
    """An agent that is not ours."""

    takes_jobs = False
    speaks = False
    beats = False
    attended = True

    def check(self, spec: ServiceSpec) -> ServiceSpec:
        """Nobody starts one. Raises `Refused`."""
        raise Refused(f"{spec.name} was started by somebody else", "Start it the way it was started; it is watched here, and nothing is done to it")

    def launch(self, spec: ServiceSpec, *, home: Home) -> Launch:
        """Nobody starts one. Raises `Refused`."""
        raise Refused(f"{spec.name} was started by somebody else", "Start it the way it was started")

    def natural(self, how: Exit, words: Sequence[str]) -> str:
        """Its end is its owner's business."""
        return "its owner's business"


KIND = Foreign()
