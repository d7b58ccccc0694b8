"""What is written down of a run while it goes on: the state of each cell, and the notebook on disk.

Saves are whole or not at all (a new file that takes the old one's name) and never cost more than a tenth of the time that passes.
"""

from __future__ import annotations

import errno
import os
import threading
import time
from pathlib import Path
from typing import Any

from nbformat import NotebookNode, v4
from papermill.engines import NotebookExecutionManager
from papermill.iorw import LocalHandler, papermill_io, write_ipynb

EVERY = 1.0
"""Seconds between two saves at least."""
SHARE = 10.0
"""A save that took a second is followed by ten seconds without one."""
KEPT = 64
"""How many outputs are remembered as ours: papermill writes each once more after its run."""
_handlers = threading.Lock()
CANCELLED, TIMED_OUT, DEAD, FAILED, DONE = "cancelled", "timed out", "kernel died", "failed", "done"


class Record(NotebookExecutionManager):
    """papermill's manager, with states that are true and saves that are cheap.

    Args:
        nb: the notebook, changed in place.
        output_path: where it is saved; None means nowhere.
    """

    def __init__(self, nb: NotebookNode, output_path: str | None, **options: Any) -> None:
        super().__init__(nb, output_path=output_path, **options)
        self._saved, self._cost = float("-inf"), 0.0
        self._path = local(str(output_path)) if output_path else None
        self.flush = lambda: None  # puts what is still buffered of the running cell's output into the notebook

    def notebook_start(self, **more: Any) -> None:
        """All cells wait. It is on disk before anything runs, so that an output path that cannot be written is known at once."""
        self.nb.metadata["qcity"] = {"status": "running"}
        super().notebook_start(**more)

    def save(self, **_: Any) -> None:
        """Save, unless that was done just now; papermill asks twice for each cell."""
        if time.monotonic() - self._saved >= max(EVERY, self._cost * SHARE):
            self.write()

    def autosave_cell(self) -> None:
        """Save while a cell runs; called for every message that it sends."""
        if self.autosave_cell_every:
            self.save()

    def write(self) -> None:
        """Save now. Raises `OSError`."""
        if not self.output_path:
            return
        begin = time.monotonic()
        self.flush()
        if self._path is not None:
            write_whole(v4.writes(self.nb) + "\n", self._path)
        else:
            write_ipynb(self.nb, self.output_path)
        self._saved = time.monotonic()
        self._cost = self._saved - begin

    def end(self, status: str, *, reason: str = "", cell: int | None = None) -> None:
        """How the run ended, for readers of the file: cells that never ran stay pending.

        Args:
            status: one of the words above.
            reason: one sentence.
            cell: the number of the cell that it ended in, from 0.
        """
        found = {"status": status, "reason": reason, "cell": cell}
        self.nb.metadata["qcity"] = {key: value for key, value in found.items() if value not in ("", None)}
        if status != DONE:
            self.nb.metadata.papermill["exception"] = True

    def notebook_complete(self, *, save: bool = True, **_: Any) -> None:
        """The end of the run. What still counts as running did not come to its end.

        Args:
            save: False where papermill saves it next.
        """
        self.end_time = self.now()
        told = self.nb.metadata.papermill
        told["end_time"] = self.end_time.isoformat()
        told["duration"] = (self.end_time - self.start_time).total_seconds()
        for cell in self.nb.cells:
            if cell.metadata.papermill["status"] == self.RUNNING:
                cell.metadata.papermill["status"] = self.FAILED
        self.cleanup_pbar()
        if save:
            self.write()


class Whole(LocalHandler):
    """How papermill itself writes a file of ours at the end: whole or not at all.

    Args:
        given: the output as papermill was told it; papermill asks for every path that begins so.
        path: where that is.
        rest: does what is not about it.
    """

    def __init__(self, given: str, path: Path, rest: LocalHandler) -> None:
        super().__init__()
        self.given, self.path, self.rest = given, path, rest

    def read(self, path: str) -> str:
        """Read what lies there, wherever papermill is."""
        return str(self.rest.read(path))

    def listdir(self, path: str) -> list[str]:
        """What is in a folder."""
        return list(self.rest.listdir(path))

    def write(self, buf: str, path: str) -> None:
        """Write it."""
        if path == self.given:
            write_whole(buf, self.path)
        else:
            self.rest.write(buf, path)


def local(output_path: str) -> Path | None:
    """Where papermill writes an output, whatever folder is the current one by then; None when that is no file of this machine."""
    handler = papermill_io.get_handler(output_path)
    rest = handler.rest if isinstance(handler, Whole) else handler
    if not isinstance(rest, LocalHandler):
        return None
    path = Path(rest._cwd or Path.cwd(), output_path)  # noqa: SLF001 - papermill has no other way to ask
    known = papermill_io._handlers  # noqa: SLF001 - there is no way to take one back
    with _handlers:
        mine = [one for one in known if isinstance(one[1], Whole)]
        for old in [one for number, one in enumerate(mine) if number >= KEPT or one[0] == output_path]:
            known.remove(old)
        papermill_io.register(output_path, Whole(output_path, path, rest))
    return path


def write_whole(text: str, path: Path) -> None:
    """Write a file so that a reader finds the old one or the new one, never a part. Raises `OSError`."""
    if not path.parent.is_dir():
        raise FileNotFoundError(errno.ENOENT, "the folder of the output does not exist", str(path.parent))
    part = path.with_name(f".{path.name}.{os.getpid()}-{threading.get_ident()}.part")
    try:
        with part.open("w", encoding="utf-8") as file:
            file.write(text)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
