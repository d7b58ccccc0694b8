"""The bench of the dashboard: bytes on the wire and processor of the kernel for each tick, ours beside 20 plotly FigureWidgets and an HTML re-render.

All three show the same: 20 runners, 1,000 points each, one new point of each runner a tick. Ratios are from this one run; nothing is asserted.
Needs ipywidgets 8. `--ticks N` says how many (default 30).
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field, replace
from datetime import datetime, timezone
from pathlib import Path

import comm
import ipywidgets
import numpy as np
import plotly.graph_objects as go
from comm.base_comm import BaseComm
from jupyter_client.session import Session

from qcity_nb.client import board
from qcity_nb.model.service import Desired, Phase, ServiceSpec, ServiceState
from qcity_nb.store import history, services
from qcity_nb.store.database import Store, prepare, prepare_home
from qcity_nb.store.schema import beats
from qcity_nb.ui import board_static
from qcity_nb.ui.board_feed import Feed
from qcity_nb.ui.board_widget import BoardWidget

RUNNERS, POINTS = 20, 1000


@dataclass
class Count:
    """What went over the comms since it was last emptied."""

    session: Session = field(default_factory=lambda: Session(key=b"k"))
    size: int = 0
    messages: int = 0

    def took(self, kind: str, data: object, buffers: list | None) -> None:
        message = self.session.msg(kind, {"comm_id": "0" * 32, "data": data}, parent=self.session.msg("execute_request", {})["header"])
        self.size += sum(map(len, self.session.serialize(message))) + sum(memoryview(one).nbytes for one in buffers or ())
        self.messages += 1

    def emptied(self) -> tuple[int, int]:
        found = self.size, self.messages
        self.size = self.messages = 0
        return found


COUNT = Count()


class Counting(BaseComm):
    """A comm whose messages are counted and go nowhere."""

    def publish_msg(self, msg_type, data=None, metadata=None, buffers=None, **keys):
        COUNT.took(msg_type, data, buffers)


@dataclass(frozen=True)
class Result:
    """What one contestant took: bytes at the start, then bytes, messages and milliseconds of processor for each tick."""

    name: str
    start: int
    size: float
    messages: float
    ms: float


def measure(name: str, begin: Callable[[], Callable[[int], None]], ticks: int) -> Result:
    """Begin, then tick. What counting itself takes is in the time of all of them."""
    COUNT.emptied()
    tick = begin()
    start, _ = COUNT.emptied()
    cpu = time.process_time()
    for turn in range(ticks):
        tick(turn)
    cpu = time.process_time() - cpu
    size, messages = COUNT.emptied()
    return Result(name, start, size / ticks, messages / ticks, cpu / ticks * 1000)


def fill(store: Store) -> None:
    """Twenty runners with a thousand beats each."""
    at = datetime.now(timezone.utc)
    with store.write() as connection:
        for number in range(RUNNERS):
            name = f"runner-{number:02}"
            state = ServiceState(name=name, phase=Phase.RUNNING, desired=Desired.UP, since=at)
            row = services.add(connection, store.place, ServiceSpec(name=name, kind="local"), state, at=at)
            seconds = [int(at.timestamp()) - 5 * count for count in range(POINTS)]
            connection.execute(beats.insert(), [{"service": row.id, "at": second, "up": 1, "busy": 0} for second in seconds])
        history.roll_up(connection, now=at)


def moved(known: board.Board, turn: int) -> board.Board:
    """The same with a beat more of each runner."""
    return replace(known, at=known.at + turn, seen={name: at + turn for name, at in known.seen.items()})


def ours(known: board.Board) -> Callable[[], Callable[[int], None]]:
    def begin() -> Callable[[int], None]:
        feed = Feed(known, every=1.0, actor="")
        widget = BoardWidget(snapshot=feed.snapshot())

        def tick(turn: int) -> None:
            message, buffers = feed.tick(moved(known, turn + 1))
            widget.send(message, buffers)

        return tick

    return begin


def rendered(known: board.Board) -> Callable[[], Callable[[int], None]]:
    def begin() -> Callable[[int], None]:
        widget = ipywidgets.HTML(board_static.page(known))

        def tick(turn: int) -> None:
            widget.value = board_static.page(moved(known, turn + 1))

        return tick

    return begin


def figures() -> Callable[[int], None]:
    values = np.random.default_rng(7).random((RUNNERS, POINTS + 10_000))
    made = [go.FigureWidget(go.Scatter(y=values[number, :POINTS])) for number in range(RUNNERS)]

    def tick(turn: int) -> None:
        for number, figure in enumerate(made):
            with figure.batch_update():
                figure.data[0].y = values[number, turn + 1 : turn + 1 + POINTS]

    return tick


def main() -> None:
    """Run all and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--ticks", type=int, default=30)
    ticks = parser.parse_args().ticks
    comm.create_comm = Counting
    with tempfile.TemporaryDirectory(prefix="qcity-bench-") as folder:
        store, _ = prepare(prepare_home(Path(folder) / "home"))
        with closing(store):
            fill(store)
            known = board.take(store)
            begin, cpu = time.perf_counter(), time.process_time()
            for _ in range(ticks):
                board.take(store)
            read, cpu = (time.perf_counter() - begin) / ticks * 1000, (time.process_time() - cpu) / ticks * 1000
    found = [
        measure("ours", ours(known), ticks),
        measure("20 FigureWidgets", figures, ticks),
        measure("HTML re-render", rendered(known), ticks),
    ]
    first = found[0]
    print(f"{RUNNERS} runners, {POINTS} points each, {ticks} ticks; ours reads the store in {read:.1f} ms ({cpu:.1f} of processor), in a thread")
    print(f"{'':18}{'at the start':>14}{'x / ours':>10}{'a tick':>12}{'x / ours':>10}{'messages':>10}{'ms of processor':>17}{'x / ours':>10}")
    for one in found:
        sizes = f"{one.start:>12} B{one.start / first.start:>10.1f}{one.size:>10.0f} B{one.size / first.size:>10.1f}"
        print(f"{one.name:18}{sizes}{one.messages:>10.0f}{one.ms:>17.2f}{one.ms / first.ms:>10.1f}")


if __name__ == "__main__":
    main()
