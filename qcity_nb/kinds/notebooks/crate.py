"""A crate: the artifacts of a run that was executed elsewhere, on their way back.

Plain files only, whose names lead nowhere else, and not too many; all or none.
"""

from __future__ import annotations

import base64
import io
import os
import stat
import tarfile
import tempfile
import zlib
from pathlib import Path, PurePosixPath

from ...decide.wording import line, size
from ..sandboxes.folders import replace

LARGEST = 64_000_000
"""Bytes of all files together."""
MOST = 10_000
"""Files."""


def pack(folder: Path) -> tuple[str, str]:
    """What is in a folder, as text; empty when there is nothing, or when it cannot come back, and then why."""
    found, whole = [], 0
    for place, _, names in os.walk(folder):
        for name in sorted(names):
            path = Path(place, name)
            seen = path.lstat()
            if stat.S_ISREG(seen.st_mode):
                found.append(path)
                whole += seen.st_size
    if whole > LARGEST:
        return "", f"its artifacts stayed where it ran: they have {size(whole)}, and {size(LARGEST)} come back"
    if len(found) > MOST:
        return "", f"its artifacts stayed where it ran: they are {len(found)} files, and {MOST} come back"
    if not found:
        return "", ""
    packed = io.BytesIO()
    try:
        with tarfile.open(fileobj=packed, mode="w:gz") as archive:
            for path in found:
                archive.add(path, arcname=path.relative_to(folder).as_posix(), recursive=False)
    except OSError as error:
        return "", f"its artifacts stayed where it ran: {error.strerror or error}"
    return base64.b64encode(packed.getvalue()).decode(), ""


def unpack(text: str, folder: Path) -> str:
    """Put them into a folder, all or none; why that cannot be done, else an empty text."""
    if not text:
        return ""
    with tempfile.TemporaryDirectory(prefix=".crate-", dir=folder.parent) as made:
        incoming = Path(made, "artifacts")
        incoming.mkdir()
        try:
            with tarfile.open(fileobj=io.BytesIO(base64.b64decode(text)), mode="r:gz") as archive:
                _take(archive, incoming)
        except (ValueError, OSError, EOFError, tarfile.TarError, zlib.error) as error:
            return f"its artifacts could not be taken: {line(str(error), limit=160)}"
        replace(incoming, folder)
    return ""


def _take(archive: tarfile.TarFile, folder: Path) -> None:
    left = LARGEST
    for number, member in enumerate(archive):
        path = PurePosixPath(member.name)
        if not member.isreg() or path.is_absolute() or ".." in path.parts or not path.parts:
            raise ValueError(f'"{member.name}" is no plain file below them')
        left -= member.size
        content = archive.extractfile(member)
        if left < 0 or number >= MOST or content is None:
            raise ValueError("they are more than may come back")
        to = folder / path
        to.parent.mkdir(parents=True, exist_ok=True)
        with to.open("xb") as file:
            file.write(content.read(member.size))
        to.chmod(0o755 if member.mode & 0o100 else 0o644)
