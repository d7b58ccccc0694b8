"""Links: what is to be replaced in a file, what was only seen there, and the record of one change of many files.

Offsets are bytes of the file as it was before, moments are aware UTC, durations are seconds; paths of files are relative to a change's root.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Protocol

import msgspec


class Edit(msgspec.Struct, frozen=True, array_like=True):
    """The bytes from `start` to `end` are `old` and become `new`."""

    start: int
    end: int
    old: str
    new: str


class Remark(msgspec.Struct, frozen=True, kw_only=True):
    """What was seen and left as it is, and why. `line` counts from 1; 0 means the file as a whole."""

    path: str
    line: int
    text: str
    why: str


class Edits(msgspec.Struct, frozen=True, kw_only=True):
    """What one file needs. `refused`: why nothing of it may be touched; then there are no edits."""

    edits: tuple[Edit, ...] = ()
    remarks: tuple[Remark, ...] = ()
    refused: str = ""


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """That a file is among the bound ones: all of it (`whole`), and spots in it as JSON pointers or `[LABEL]` of a reference link."""

    whole: bool
    spots: tuple[str, ...] = ()


class FileChange(msgspec.Struct, frozen=True, kw_only=True):
    """A file of a change: SHA-256 before and after, and what was replaced."""

    path: str
    before: str
    after: str
    edits: tuple[Edit, ...]


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """One change of links, as its journal keeps it.

    `state`: planned (it may be half done), committed, or rolled back. `commit`: as in a binding, with the branch's name. `sha`: the commit that
    carries it. `dirty`: files with changes that were not committed were allowed. `undoes`: the number of the change that it rolls back.
    `proposal`: the address of the pull or merge request that carries it.
    """

    number: int
    at: datetime
    tunnel: str
    new: str
    why: str
    actor: str
    root: str
    files: tuple[FileChange, ...]
    state: str = "planned"
    commit: str = ""
    sha: str = ""
    dirty: bool = False
    undoes: int = 0
    proposal: str = ""

    @property
    def links(self) -> int:
        """How many were replaced."""
        return sum(len(one.edits) for one in self.files)


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """What came of it: files and links that changed (or would), what was seen or refused, the number of the change (0: there was none), seconds.

    Of a proposal: `number` is the change that it carries, also when that is an older one, `proposal` its address, `said` what was done with it.
    """

    files: tuple[FileChange, ...]
    remarks: tuple[Remark, ...]
    number: int = 0
    sha: str = ""
    took: float = 0.0
    seen: int = 0  # files that were read
    proposal: str = ""
    said: str = ""

    @property
    def links(self) -> int:
        """How many were replaced, or would be."""
        return sum(len(one.edits) for one in self.files)


class Rewriting(Protocol):
    """What decides, for whoever carries it out: `decide.links.Rewriter`."""

    @property
    def tunnel(self) -> str:
        """Whose address it is; empty when a person replaces one by hand."""

    @property
    def literal(self) -> tuple[str, ...]:
        """Paths that were named without a wildcard."""

    @property
    def walks(self) -> bool:
        """Whether folders have to be looked through."""

    def wants(self, path: str) -> Wanted | None:
        """Whether a file is meant, and what of it."""

    def enters(self, folder: str) -> bool:
        """Whether files in a folder could be meant."""

    def read(self, path: str, data: bytes, wanted: Wanted, *, seen: bool = True) -> Edits:
        """What a file needs; `seen`: also what is left alone."""


def done(data: bytes, edits: Iterable[Edit]) -> bytes:
    """A file with its edits done; they stand in their order and do not overlap.

    Raises:
        ValueError: an edit's old text is not where it should be.
    """
    parts: list[bytes] = []
    at = 0
    for start, end, old, new in ((edit.start, edit.end, edit.old, edit.new) for edit in edits):
        if start < at or data[start:end] != old.encode():
            raise ValueError(start)
        parts += (data[at:start], new.encode())
        at = end
    return b"".join((*parts, data[at:]))


def undone(edits: Iterable[Edit]) -> tuple[Edit, ...]:
    """The edits that take others back, with offsets of the file as it is after them."""
    found, shift = [], 0
    for edit in edits:
        size = len(edit.new.encode())
        found.append(Edit(edit.start + shift, edit.start + shift + size, edit.new, edit.old))
        shift += size - (edit.end - edit.start)
    return tuple(found)
