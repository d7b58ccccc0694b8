"""A vault in a folder: a mounted Drive, another disk, a share. A copy is written beside its name and renamed, so that nobody finds half of one."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Sequence
from pathlib import Path

from ...errors import BadInput, HomeError
from ...io.files import write_atomic
from ...model.home import Home
from ...model.vault import Listing, VaultConfig
from . import known_options

STALE_SECONDS = 3600.0
"""A copy that was not whole after so long was cut off: whoever wrote it was killed."""


class Folder:
    """See `Vault`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def names(self) -> Listing:
        """See `Vault`; a folder that is not there yet holds nothing, one whose parent is not there was not mounted."""
        try:
            return Listing(names=tuple(path.name for path in self._folder.iterdir()))
        except FileNotFoundError:
            if not self._folder.parent.exists():
                raise HomeError(f"there is no folder {self._folder.parent}, so no vault in it", "Mount it first; on Colab: drive.mount") from None
            return Listing(names=())
        except OSError as error:
            raise HomeError(f"the vault {self._folder} cannot be read ({error.strerror})", "Make it a folder that you may read") from None

    def get(self, name: str) -> bytes:
        """See `Vault`."""
        try:
            return (self._folder / name).read_bytes()
        except OSError as error:
            raise HomeError(f"{name} cannot be read from the vault {self._folder} ({error.strerror})", "Restore another one") from None

    def put(self, name: str, data: bytes, *, drop: Sequence[str], seen: Listing) -> bool:
        """See `Vault`. A folder knows no version: of two that put one in the same moment both stay, and the older is refused the next time."""
        try:
            self._folder.mkdir(exist_ok=True, mode=0o700)
            write_atomic(self._folder / name, data, sync=True)
        except OSError as error:
            raise HomeError(f"the vault {self._folder} cannot be written ({error.strerror})", "Free some space there, or make it writable") from None
        for old in (*(self._folder / name for name in drop), *self._folder.glob(".qcity-*.vault.*")):
            with contextlib.suppress(OSError):  # what cannot be removed now is removed the next time
                if not old.name.startswith(".") or time.time() - old.stat().st_mtime > STALE_SECONDS:
                    old.unlink()
        return True


class KIND:
    """The kind `folder`: the target is an absolute path."""

    @staticmethod
    def open(config: VaultConfig, *, home: Home) -> Folder:
        """The vault at `target`; reaches nothing yet."""
        known_options(config, ())
        folder = Path(config.target)
        if not folder.is_absolute():
            raise BadInput(f'"{config.target}" is no absolute folder', "Give its whole path, as /content/drive/MyDrive/qcity on Colab")
        if folder.resolve().is_relative_to(home.root.resolve()):
            raise BadInput(f"the vault {folder} is below the home, and would go with it", "Give a folder that is somewhere else")
        return Folder(folder)
