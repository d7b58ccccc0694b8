"""The partial sandbox: for root on a machine without user namespaces. A uid of its own, limits, and Landlock where the kernel has it.

The job shares the machine's network, process list and temporary folders; a keeper process ends whatever it leaves behind.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Sequence

from ...model.service import Sandbox
from ...ports import Cage
from .kept import kept
from .proof import prove


class OwnUid:
    """Another uid, limits and Landlock."""

    def probe(self) -> tuple[Sandbox, str]:
        """`partial` when another uid was really shut out just now; asked once for each process."""
        return _probe()

    def wrap(self, argv: Sequence[str], *, cage: Cage) -> tuple[str, ...]:
        """The command that runs `argv` as the cage's uid."""
        return kept(argv, cage, uid=cage.uid)


@functools.lru_cache(maxsize=1)
def _probe() -> tuple[Sandbox, str]:
    if os.geteuid() != 0:
        return Sandbox.NONE, "only root can give a job a uid of its own"
    return prove(KIND, Sandbox.PARTIAL, "a uid of its own")


KIND = OwnUid()
