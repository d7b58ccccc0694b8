"""The visible cell that keeps work alive: it says until when, how old the last copy is and where the work goes, and lets buttons work meanwhile.

It is a cell that executes and nothing else: no click, no ping, no sound. Interrupt ends the cell; the engine goes on.
"""

from __future__ import annotations

import asyncio
import sys
from typing import Any

from ..client.life import Watch
from ..client.link import now
from ..client.tables import escape
from ..decide import life as rules
from ..decide.life import Seen, Words
from .live import _display, _shell

LOOK_SECONDS = 1.0
"""Between two looks, and between two drawings at least."""
DRAIN_SECONDS = 0.05
COMMS = ("comm_open", "comm_msg", "comm_close")


class Stopped(asyncio.CancelledError):
    """A person stopped the cell. A notebook shows the sentence and no traceback; the cells that wait behind it are not run."""

    def _render_traceback_(self) -> list[str]:
        return [str(self)]


async def keep_alive(watch: Watch, pump: Any, *, until_idle: bool, unassign: bool) -> str:
    """Keep it alive until it is over; the last words.

    Args:
        pump: lets a second pass, in a thread; an engine that lives in this process runs meanwhile.
    """
    screen, seen = Screen(), Seen()
    try:
        while True:
            seen = await asyncio.to_thread(watch.look)
            if watch.due:
                screen.note = await asyncio.to_thread(watch.hand_over)
            if why := watch.over(until_idle=until_idle):
                break
            screen.draw(rules.words(watch.life, seen, watch.at, until_idle=until_idle, handed=watch.handed))
            await _pass(pump)
    except (asyncio.CancelledError, KeyboardInterrupt):
        wrong = watch.save()  # here and now: whoever interrupts twice does not want to wait
        text = f"{rules.ended('you stopped it', watch.look(), now())} {wrong}".strip()
        screen.put((text,))
        raise Stopped(text) from None
    wrong = await asyncio.to_thread(watch.save)
    back = watch.give_back() if unassign else ""
    text = rules.ended(why, await asyncio.to_thread(watch.look), now(), returned=unassign and not back)
    screen.put((" ".join(filter(None, (text, wrong, back))),))
    return text


async def _pass(pump: Any) -> None:
    """Let a second pass, and let through what buttons say meanwhile."""
    passing = asyncio.get_running_loop().run_in_executor(None, pump, LOOK_SECONDS)
    while not passing.done():
        await drain()
        await asyncio.wait([passing], timeout=DRAIN_SECONDS)
    passing.result()


async def drain() -> None:
    """Hand over what a front end's widgets have said while a cell waits, and nothing else: cells that wait stay in line, in their order.

    Only ipykernel 6 needs it, which Colab has: its one queue does not move while a cell waits. ipykernel 7 handles comms beside it.
    """
    kernel = getattr(_shell(), "kernel", None)
    queue = getattr(kernel, "msg_queue", None)
    if queue is None:
        return
    waiting = []
    while queue.qsize():
        waiting.append(queue.get_nowait())
    comms = [item for item in waiting if _type_of(kernel, item) in COMMS]
    for item in waiting:
        if item not in comms:
            queue.put_nowait(item)  # before anything is awaited: nothing that comes now may get in front
    for _, dispatch, args in comms:
        await _between(kernel, dispatch, args)


async def _between(kernel: Any, dispatch: Any, args: Any) -> None:
    """Handle one message inside of a cell that runs, and be that cell again afterwards."""
    ident, parent = kernel._parent_ident["shell"], kernel.get_parent("shell")  # noqa: SLF001 - ipykernel 6 has no other way
    handler = getattr(kernel, "saved_sigint_handler", None)
    try:
        await dispatch(*args)
    finally:
        kernel.set_parent(ident, parent, channel="shell")
        kernel.saved_sigint_handler = handler
        kernel._publish_status("busy", "shell")  # noqa: SLF001 - the message has said idle


def _type_of(kernel: Any, item: Any) -> str:
    """What kind of message waits there, by its header alone: a signature may be checked only once."""
    try:
        _, parts = kernel.session.feed_identities(item[2][0], copy=False)
        return str(kernel.session.unpack(parts[1].bytes)["msg_type"])
    except (IndexError, KeyError, TypeError, ValueError, AttributeError):
        return ""  # something of the kernel's own


class Screen:
    """What the cell shows, replaced in place; outside of notebooks lines are printed when they change, not when an age does."""

    def __init__(self) -> None:
        self._replace: Any = None
        self._steady: tuple[str, ...] = ()
        self._last: tuple[str, ...] = ()
        self.note = ""

    def draw(self, words: Words) -> None:
        """Show it, if it is other than what is shown."""
        steady = tuple(filter(None, (*words.steady, self.note)))
        if _shell() is not None:
            self.put(tuple(filter(None, (*words.lines, self.note))))
        elif steady != self._steady:
            self.put((*words.lines, self.note) if self.note else words.lines)
        self._steady = steady

    def put(self, lines: tuple[str, ...]) -> None:
        """Show these lines."""
        if lines == self._last:
            return
        self._last = lines
        if _shell() is None:
            sys.stdout.write("\n".join(lines) + "\n")
            sys.stdout.flush()
            return
        first, *more = lines
        shown = f'<div style="font-weight:600">{escape(first)}</div>' + "".join(f"<div>{escape(line)}</div>" for line in more)
        bundle = {"text/plain": "\n".join(lines), "text/html": f'<div role="status">{shown}</div>'}
        if self._replace is None:
            self._replace = _display(bundle)
        else:
            self._replace(bundle)
