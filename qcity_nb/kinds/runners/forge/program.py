"""What differs between the official agents of two forges: how one is registered, and how it is started."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from ....model.agent import Wanted
from ....ports import Registration
from .options import Options


class Program(Protocol):
    """What differs between the agents of two forges."""

    forge: str
    single_use: bool  # an ephemeral agent needs a registration of its own in each life

    def configured(self, root: Path) -> int | None:
        """The id of the registration whose files are in the folder; 0 when they name none, None when there are none."""

    def configure(self, root: Path, wanted: Wanted, given: Registration, *, url: str) -> None:
        """Put a registration into the folder. Raises `QCityError` with what the program said."""

    def unconfigure(self, root: Path) -> None:
        """Remove the registration's files; its platform is not asked."""

    def command(self, root: Path, options: Options, given: Registration | None) -> tuple[list[str], dict[str, str]]:
        """The program to become, and what its environment needs besides. Secrets are in the environment or in a file of mode 0600, never in argv."""
