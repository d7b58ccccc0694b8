"""What a live board is told: one snapshot, then numbered ticks that hold only what changed. Numbers of beats travel as bytes beside the text."""

from __future__ import annotations

import sys
import time
from array import array
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from ..client import board as facts
from ..client.board import Board
from ..decide import board as decide
from ..decide.wording import visible
from ..errors import QCityError
from ..store.database import Store

Message = dict[str, Any]
MOST_OFTEN = 0.25
"""Seconds between two messages at least: what comes faster than the eye is put together."""
LOOK_SECONDS = 5.0


class Looker:
    """Looks at the store for one board, and only when something may be other.

    Args:
        board: what is known when it begins.
    """

    def __init__(self, store: Store, board: Board) -> None:
        self._store, self._board = store, board
        self._mark: object = None
        self._looked = 0.0

    def look(self) -> Board | str:
        """The board of now, or why there is none. Looked at anew now and then although nothing was written, because sentences hold ages."""
        try:
            at, mark = time.monotonic(), facts.mark(self._store)
            if mark is None or mark != self._mark or at - self._looked >= LOOK_SECONDS:
                self._board = facts.take(self._store)
                self._mark, self._looked = mark, at
                return self._board
            return replace(self._board, at=time.time())
        except QCityError as error:
            return str(error)
        except Exception as error:  # noqa: BLE001 - a view that stops without a word would look alive
            return f"the place cannot be read ({type(error).__name__}: {error})"


class Feed:
    """The numbering of one live board.

    Args:
        board: what is known when it begins.
        every: seconds between two ticks.
        actor: who asks for what is asked in it, as the audit will say.
    """

    def __init__(self, board: Board, *, every: float, actor: str) -> None:
        self.board, self.every, self.actor, self.seq = board, every, actor, 0

    def snapshot(self) -> Message:
        """All that is known, under the number that was told last."""
        board = self.board
        return {
            "seq": self.seq,
            "at": round(board.at, 2),
            "slot": board.slot,
            "every": self.every,
            "actor": visible(self.actor),
            "tables": {name: [list(pair) for pair in table.items()] for name, table in board.tables.items()},
            "pulse": [[name, _digits(beats), board.seen[name]] for name, beats in board.beats.items()],
        }

    def tick(self, board: Board) -> tuple[Message, list[bytes]]:
        """What changed since the last tick, and the numbers that belong to it.

        The first buffer holds sixty bytes for each name in `beats`, the last one 32 bits for each name in `seen`; either is left out when empty.
        """
        old, self.board = self.board, board
        self.seq += 1
        moved = [name for name, beats in board.beats.items() if old.beats.get(name) != beats]
        heard = [name for name, at in board.seen.items() if old.seen.get(name) != at]
        message: Message = {"kind": "tick", "seq": self.seq, "at": round(board.at, 2)}
        if board.slot != old.slot:
            message["slot"] = board.slot
        if changed := decide.changes(old.tables, board.tables):
            message["tables"] = changed
        buffers = []
        if moved:
            message["beats"] = moved
            buffers.append(b"".join(board.beats[name] for name in moved))
        if heard:
            message["seen"] = heard
            buffers.append(_numbers(board.seen, heard))
        return message, buffers

    def told(self, found: Board | str) -> tuple[Message, list[bytes]]:
        """The tick of what a look gave."""
        return (self.silent(found), []) if isinstance(found, str) else self.tick(found)

    def silent(self, why: str) -> Message:
        """A tick that says that nothing could be read, and why."""
        self.seq += 1
        return {"kind": "tick", "seq": self.seq, "trouble": visible(why)}


def _digits(beats: bytes) -> str:
    return "".join(map(str, beats))


def _numbers(of: Mapping[str, int], names: list[str]) -> bytes:
    numbers = array("I", [of[name] for name in names])
    if sys.byteorder == "big":
        numbers.byteswap()
    return numbers.tobytes()
