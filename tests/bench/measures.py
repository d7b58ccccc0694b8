"""What the benches of tunnels measure with: a nonce through an address, medians of rounds, a table with ratios."""

from __future__ import annotations

import http.client
import secrets as randomness
import statistics
import time
from collections.abc import Callable
from typing import Any

WATCH = 5.0
"""Seconds after which a contestant that has noticed nothing is said not to notice."""
Row = tuple[str, str, float | None]
"""What was measured, of whom, and seconds (or what the row's name says); None: not within `WATCH`."""


def proved(url: str, *, host: str = "", headers: dict[str, str] | None = None) -> bool:
    """Whether a random path comes back through the address (`url` is where to connect, `host` the name that is asked for)."""
    nonce = f"/{randomness.token_hex(8)}"
    connection = http.client.HTTPConnection(url.partition("://")[2], timeout=WATCH)
    try:
        connection.request("GET", nonce, headers={**(headers or {}), **({"Host": host} if host else {})})
        return connection.getresponse().read() == nonce.encode()
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def first_byte(url: str, **how: Any) -> float:
    """The moment at which a nonce has come back."""
    end = time.monotonic() + WATCH
    while not proved(url, **how) and time.monotonic() < end:
        time.sleep(0.005)
    return time.monotonic()


def median(rounds: int, work: Callable[[], tuple[float, ...]]) -> tuple[float, ...]:
    """The medians of what was measured in each round."""
    return tuple(map(statistics.median, zip(*(work() for _ in range(rounds)), strict=True)))


def shown(rows: list[Row], *, head: bool = False) -> None:
    """The table; a ratio is of ours to the other's."""
    if head:
        print(f"{'what':46} {'who':16} {'seconds':>14} {'ours / x':>8}")
    mine = {what: value for what, who, value in rows if who == "ours"}
    for what, who, value in rows:
        ratio = f"{mine[what] / value:6.2f}" if who != "ours" and value and mine.get(what) else ""
        print(f"{what:46} {who:16} {'not within 5 s' if value is None else f'{value:10.3f}':>14} {ratio:>8}", flush=True)
