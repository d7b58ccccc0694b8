"""The dashboard: one widget that is told what changed, and a static copy beside it for where nobody is live.

One thread looks at the store and is the only one that tells the board anything in order; it is no task of the kernel's loop, because a
cell that computes would silence that, and the view would say STALE while all is well. Nothing here prints: a thread's output lands anywhere.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

import psutil

from ..client import board as facts
from ..client.board import Board
from ..client.city import QCity
from ..client.tables import Html
from ..decide import board as decide
from ..errors import BadInput
from ..store.commands import actor
from . import board_static as static
from .board_acts import Acts
from .board_feed import MOST_OFTEN, Feed, Looker

INSTALL = 'The live dashboard needs anywidget: pip install "qcity-nb[dashboard]", then run this cell again.'
HELLO_SECONDS = 10.0
"""A front end that shows widgets has said hello by then; for one that does not, the static copy is kept up to date instead."""
UNHEARD = (
    "The live view has not answered: this page may lack the widgets of this kernel, or have another version of them; qcity doctor says which"
    " are here. This copy is kept up to date instead, without buttons."
)
RESYNC_SECONDS = 2.0
"""A snapshot is sent again at most this often, however many ask: a storm of gaps would else feed itself."""
_shown: dict[tuple[str, str], Dashboard] = globals().get("_shown", {})  # autoreload runs this module again: what is open stays known


class Dashboard:
    """A place at a glance. Made by `city.dashboard()`; showing it starts the live view, and ends the one that was there under its name.

    Args:
        name: it takes the place of the one with its name.
        every: seconds between two looks.
    """

    def __init__(self, city: QCity, *, name: str, every: float) -> None:
        if not every >= MOST_OFTEN:
            raise BadInput(f"a dashboard cannot look every {every:g} s", f"every={MOST_OFTEN} is the shortest, every=1 the usual")
        self._city, self.name, self.every = city, name, float(every)
        self._live: _Live | None = None

    def static(self) -> Html:
        """The board of now as HTML without script."""
        return Html(static.page(facts.take(self._city.link.store)))

    @property
    def live(self) -> bool:
        """Whether a live view is kept up to date."""
        return self._live is not None and not self._live.over

    def close(self) -> None:
        """End the live view; its static copy stays, with what was known last. Twice is harmless."""
        if self._live is not None:
            self._live.close()
        if _shown.get(self._key) is self:
            del _shown[self._key]

    @property
    def _key(self) -> tuple[str, str]:
        return str(self._city.home), self.name

    def _ipython_display_(self) -> None:
        from IPython.display import display

        if not is_watched():
            display(self._bundle(facts.take(self._city.link.store)), raw=True)
            return
        board = facts.take(self._city.link.store)
        if (make := _widget_class()) is None:
            display(self._bundle(board, note=INSTALL), raw=True)
            return
        if self._live is None or self._live.over:
            if (before := _shown.pop(self._key, None)) is not None:
                before.close()
            self._live = _Live(self._city, board, make, every=self.every)
            _shown[self._key] = self
        display(self._live.widget)
        handle = display(self._bundle(board, folded=decide.replays(os.environ)), raw=True, display_id=True)
        self._live.beside(lambda bundle: handle.update(bundle, raw=True))

    def _repr_html_(self) -> str:
        return str(self.static())

    def __repr__(self) -> str:
        return f"<Dashboard {self.name} of {self._city.home} · {'live' if self.live else 'not shown'}>"

    def _bundle(self, board: Board, *, note: str = "", folded: bool = False) -> dict[str, str]:
        html = static.collapsed(board) if folded else static.page(board, note=note)
        return {"text/plain": f"{board.head['glyph']} {board.head['text']}", "text/html": html}


class _Live:
    """One widget, its thread, and the static copies beside it."""

    def __init__(self, city: QCity, board: Board, make: Callable[..., Any], *, every: float) -> None:
        self._store, self.over = city.link.store, False
        self._feed = Feed(board, every=every, actor=actor())
        self._looker = Looker(self._store, board)
        self._acts = Acts(city, self._send, actor=self._feed.actor)
        self._copies: list[Callable[[dict[str, str]], None]] = []
        self._stop, self._wake, self._lost = threading.Event(), threading.Event(), False
        self._told = -RESYNC_SECONDS  # when a snapshot was sent last
        self.greeted, self._begun, self._stood = False, time.monotonic(), 0.0
        self.widget = make(snapshot=self._feed.snapshot())
        self.widget.on_msg(self._hear)
        self._thread = threading.Thread(target=self._run, name=f"board-{self.widget.model_id[:8]}", daemon=True)
        self._thread.start()

    def beside(self, replace: Callable[[dict[str, str]], None]) -> None:
        """A static copy stands beside it now; `replace` shows another one in its place."""
        self._copies.append(replace)
        if self.greeted:
            self._fold()

    def close(self) -> None:
        """End it: thread, widget, and what a front end shows of it."""
        if self.over:
            return
        self.over = True
        self._stop.set()
        self._wake.set()
        if threading.current_thread() is not self._thread:
            self._thread.join(5)
        self._send({"kind": "closed", "text": "this view was closed; run its cell again for a new one"})
        self.widget.on_msg(self._hear, remove=True)
        layout = self.widget.layout
        self.widget.close()
        layout.close()  # each widget makes one of its own, and ipywidgets would keep it for ever
        self._fold()

    def _hear(self, _widget: object, message: object, _buffers: object = None) -> None:
        """What the front end says; whatever it is, it may not end anything here."""
        if not isinstance(message, dict) or self.over:
            return
        kind = message.get("kind")
        if kind in ("hello", "resync"):
            self._lost = self._lost or message.get("seq") != self._feed.seq
            self._wake.set()
            if kind == "hello" and not self.greeted:
                self.greeted = True
                self._fold()
        elif kind == "act":
            self._acts.ask(message)
        elif kind == "log":
            threading.Thread(target=self._acts.log, args=(str(message.get("name") or ""),), name="board-log", daemon=True).start()
        elif kind == "audit":
            threading.Thread(target=self._acts.audit, name="board-audit", daemon=True).start()

    def _run(self) -> None:
        due = time.monotonic() + self._feed.every
        while not self._stop.is_set():
            self._wake.wait(max(0.0, due - time.monotonic()))
            self._wake.clear()
            if self._stop.is_set():
                return
            if self._lost and time.monotonic() - self._told >= RESYNC_SECONDS:
                self._lost, self._told = False, time.monotonic()
                self.widget.snapshot = self._feed.snapshot()
            if time.monotonic() >= due:
                self._tick()
                due = time.monotonic() + self._feed.every

    def _tick(self) -> None:
        self._send(*self._feed.told(self._looker.look()))
        at = time.monotonic()
        if not self.greeted and at - self._begun >= HELLO_SECONDS and at - self._stood >= RESYNC_SECONDS:
            self._stood = at
            self._put(static.page(self._feed.board, note=UNHEARD))

    def _send(self, message: dict[str, Any], buffers: list[bytes] | None = None) -> None:
        if self.widget.comm is not None:
            self.widget.send(message, buffers or [])

    def _fold(self) -> None:
        self._put(static.collapsed(self._feed.board))

    def _put(self, html: str) -> None:
        head = self._feed.board.head
        bundle = {"text/plain": f"{head['glyph']} {head['text']}", "text/html": html}
        for put in self._copies:
            put(bundle)


def is_watched() -> bool:
    """Whether this is a kernel with a front end that can show widgets."""
    if "IPython" not in sys.modules:
        return False
    from IPython import get_ipython

    if getattr(get_ipython(), "kernel", None) is None:
        return False
    try:
        parent = psutil.Process(os.getppid()).cmdline()
    except psutil.Error:
        parent = []
    return decide.watched(os.environ, parent, colab="google.colab" in sys.modules)


def _widget_class() -> Callable[..., Any] | None:
    try:
        from .board_widget import BoardWidget
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] in ("anywidget", "ipywidgets", "traitlets"):
            return None
        raise
    return BoardWidget
