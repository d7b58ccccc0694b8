"""Faults at a chosen point: the engine is killed, or the disk is full, at the n-th thing it does.

A test arms a fuse with n = 1, 2, 3, … and so meets every point between two acts, not only the ones somebody thought of.
"""

from __future__ import annotations


class EngineKilled(BaseException):
    """What kill -9 looks like from inside: nothing catches it, nothing is cleaned up. The message is the point where it struck."""


class Fuse:
    """Counts the points that are passed and strikes at the n-th one after it was armed."""

    def __init__(self) -> None:
        self.passed = 0
        self.struck: list[str] = []
        self._left: int | None = None

    def arm(self, points: int) -> None:
        """Strike at the `points`-th point from now."""
        self._left = points

    def disarm(self) -> None:
        """Do not strike any more."""
        self._left = None

    def at(self, point: str) -> None:
        """Pass a point.

        Raises:
            EngineKilled: this is the one.
        """
        self.passed += 1
        if self._left is None:
            return
        self._left -= 1
        if self._left <= 0:
            self._left = None
            self.struck.append(point)
            raise EngineKilled(point)
