"""A file of JSON lines that one process appends to and another follows, and a doorbell that spares the follower from asking.

Each record begins with a newline, so that a line torn by a crash or a full disk never swallows the next one.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TypeVar

import msgspec

T = TypeVar("T")


def append(path: Path, record: object) -> None:
    """Append one record in a single write. Raises `OSError` when the disk takes only a part; the torn part is skipped by readers."""
    raw = b"\n" + msgspec.json.encode(record) + b"\n"
    handle = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        if os.write(handle, raw) != len(raw):
            raise OSError(28, "the disk is full", str(path))
    finally:
        os.close(handle)


def read(path: Path, offset: int, kind: type[T]) -> tuple[list[T], int]:
    """The whole records after `offset` and the offset after them; lines that are torn or not of `kind` are skipped."""
    try:
        with path.open("rb") as file:
            file.seek(offset)
            raw = file.read()
    except FileNotFoundError:
        return [], offset
    end = raw.rfind(b"\n") + 1
    return list(_decoded(raw[:end], kind)), offset + end


def _decoded(raw: bytes, kind: type[T]) -> Iterator[T]:
    decoder = msgspec.json.Decoder(kind)
    for line in raw.split(b"\n"):
        if line:
            with contextlib.suppress(msgspec.DecodeError):
                yield decoder.decode(line)


class Doorbell:
    """A named pipe: whoever rings never blocks and never fails, whoever listens wakes up.

    Args:
        path: where the pipe is; made by the listener.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        with contextlib.suppress(FileExistsError):
            os.mkfifo(path, 0o600)
        self.fd = os.open(path, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)

    def clear(self) -> None:
        """Forget the rings so far."""
        with contextlib.suppress(BlockingIOError):
            while os.read(self.fd, 4096):
                pass

    def close(self) -> None:
        """Stop listening."""
        os.close(self.fd)


def ring(path: Path) -> bool:
    """Ring the doorbell at `path`; False when nobody listens."""
    try:
        handle = os.open(path, os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        os.write(handle, b"!")
    except OSError:
        return False
    finally:
        os.close(handle)
    return True
