"""A fallback page in a folder that some web server shows. All new files are written beside the old ones first, then each takes its place at once."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path

from ...errors import BadInput, PlatformError
from ...model.home import Home
from ...model.tunnel import Page
from . import check_options


class Folder:
    """The kind `folder`, as `ports.PageKind`. The target is an absolute folder; it is made when its parent is there."""

    def check(self, page: Page) -> None:
        """See `ports.PageKind`."""
        check_options(page, ())
        if not Path(page.target).is_absolute():
            raise BadInput(f'"{page.target}" is no absolute folder', "Give the whole path of the folder that the web server shows")

    def publish(self, page: Page, files: Mapping[str, bytes], *, home: Home) -> str:
        """See `ports.PageKind`."""
        self.check(page)
        folder, made = Path(page.target), dict[str, str]()
        try:
            folder.mkdir(mode=0o755, exist_ok=True)
            changed = {name: data for name, data in files.items() if not _same(folder / name, data)}
            for name, data in changed.items():
                made[name] = _beside(folder, name, data)
            for name in list(made):
                os.replace(made.pop(name), folder / name)
        except OSError as error:
            what = f"the page cannot be written below {folder} ({error.strerror})"
            raise PlatformError(what, "Check that the folder may be written, and that the disk is not full", kind="invalid") from None
        finally:
            for left in made.values():
                with contextlib.suppress(OSError):
                    os.unlink(left)
        return f"the page is in {folder}" + ("" if changed else ", unchanged")


def _beside(folder: Path, name: str, data: bytes) -> str:
    handle, path = tempfile.mkstemp(prefix=f".{name}.", dir=folder)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
        os.chmod(path, 0o644)  # a web server is somebody else
    except OSError:
        os.unlink(path)
        raise
    return path


def _same(path: Path, data: bytes) -> bool:
    try:
        return path.read_bytes() == data
    except FileNotFoundError:
        return False


KIND = Folder()
