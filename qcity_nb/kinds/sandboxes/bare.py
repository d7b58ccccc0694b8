"""No sandbox: limits and a clean environment, and a keeper that ends whatever a job leaves behind. It is never taken for more than that."""

from __future__ import annotations

from collections.abc import Sequence

from ...model.service import Sandbox
from ...ports import Cage
from .kept import kept


class Bare:
    """Limits and a clean environment."""

    def probe(self) -> tuple[Sandbox, str]:
        """Always `none`."""
        return Sandbox.NONE, "jobs run with the rights of the runner"

    def wrap(self, argv: Sequence[str], *, cage: Cage) -> tuple[str, ...]:
        """The command that runs `argv` under the keeper."""
        return kept(argv, cage, uid=None)


KIND = Bare()
