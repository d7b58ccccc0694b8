"""What follows a tunnel's address: files in which it stands, pointers in the DNS, fallback pages.

Told in a thread, one after another, of the newest address only. What goes through somebody else's service with patience of its own, a pull or
merge request, has another thread, so that it holds up nobody, and is tried again at growing distances.
"""

from __future__ import annotations

import threading
import time
import traceback
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timezone

import msgspec

from ...decide import pointer
from ...decide.links import Rewriter, aim
from ...decide.proposals import told
from ...decide.redact import redact
from ...decide.wording import count, line
from ...errors import BadInput, PlatformError, QCityError
from ...io import rewrite
from ...model.home import Home
from ...model.link import Report
from ...model.tunnel import Binding, Followed, Issued, Page, Pointer
from ...model.wire import Fact, Follow, FollowerCard, TunnelFollowed
from .. import followers

LAST_SECONDS = 10.0
SETTLE = 30.0
"""Seconds between two changes of the same files."""
AGAIN, AGAIN_MOST = 60.0, 3600.0
"""Seconds until a proposal that failed is tried again: so many at first, twice as many each time."""
ACTOR = "tunnel"


class Followers:
    """All followers of one tunnel.

    Args:
        name: the tunnel.
        home: of this place.
        send: says what came of it.
    """

    def __init__(self, name: str, home: Home, send: Callable[[Fact], None]) -> None:
        self._name, self._home, self._send = name, home, send
        self._order = Follow()
        self._url, self._why, self.generation, self._written = "", "", 0, True
        self.known = False
        self._due: set[str] = set()
        self._force = False
        self._told: dict[str, float] = {}
        self._changed: dict[str, float] = {}
        self._failed: dict[str, tuple[int, float]] = {}  # proposals: how often in a row, and until when it is left alone
        self._had: list[Issued] = []  # the origins of this life; the engine's word of them may still be under way
        self._over = False
        self._change = threading.Condition()
        self._thread = threading.Thread(target=self._live, args=(_at_once,), name="qcity-followers", daemon=True)
        self._thread.start()
        self._proposer = threading.Thread(target=self._live, args=(_proposes,), name="qcity-proposals", daemon=True)

    def follow(self, order: Follow) -> None:
        """These are the followers from now on, and these the addresses that there were."""
        with self._change:
            known = {card.key: card.follower for card in self._order.followers}
            fresh = {card.key for card in order.followers if known.get(card.key) != card.follower}
            self._order, self.known = order, True
            self.generation = max(self.generation, order.generation)
            if self._url:
                self._due |= fresh
            if self._proposer.ident is None and any(_proposes(card) for card in order.followers):
                self._proposer.start()
            self._change.notify_all()

    def moved(self, url: str, generation: int, why: str, *, written: bool = True) -> None:
        """The address is another one; empty when there is none any more.

        Args:
            written: it is one that files may carry: a whole site's, not for one person alone.
        """
        with self._change:
            self._url, self.generation, self._why, self._written = url, generation, why, written
            if url and written:
                self._had.append(Issued(tunnel=self._name, generation=generation, provider="", origin=url, since=datetime.now(timezone.utc)))
            self._due |= {card.key for card in self._order.followers}
            self._failed.clear()
            self._change.notify_all()

    def again(self) -> None:
        """Tell all of them once more."""
        with self._change:
            self._due |= {card.key for card in self._order.followers}
            self._failed.clear()
            self._change.notify_all()

    def renew(self, *, serving: bool) -> None:
        """What has a lease is published again after a third of it, while the address is well."""
        if not serving:
            return
        with self._change:
            for card in self._order.followers:
                told = self._told.get(card.key)
                if told is not None and not isinstance(card.follower, Binding) and time.monotonic() - told >= _renewal(card.follower):
                    self._due.add(card.key)
                    self._change.notify_all()

    def close(self) -> None:
        """End after what is under way; a proposal that is goes on by itself or is taken up next time."""
        with self._change:
            self._over = True
            self._change.notify_all()
        self._thread.join(LAST_SECONDS)

    def _live(self, mine: Callable[[FollowerCard], bool]) -> None:
        while True:
            with self._change:
                self._due &= {one.key for one in self._order.followers}
                due = [one for one in self._order.followers if one.key in self._due and mine(one)]
                ready = [one for one in due if self._over or self._rest(one) <= 0]
                if self._over and (not ready or mine is _proposes):
                    return
                if not ready:
                    rests = [self._rest(one) for one in due]
                    self._change.wait(min(rests, default=None))
                    continue
                order, url, generation, why = self._order, self._url, self.generation, self._why
                self._due.discard(ready[0].key)
            self._tell(ready[0], order, url, generation, why)

    def _rest(self, card: FollowerCard) -> float:
        """Seconds for which files are left alone because they were changed just now: an address that comes and goes is not written down each time.

        A proposal that failed is left alone, too.
        """
        if not isinstance(card.follower, Binding):
            return 0.0
        changed = self._changed.get(card.key)
        settled = 0.0 if changed is None else changed + SETTLE
        return max(settled, self._failed.get(card.key, (0, 0.0))[1]) - time.monotonic()

    def _tell(self, card: FollowerCard, order: Follow, url: str, generation: int, why: str) -> None:
        begun, now = time.monotonic(), datetime.now(timezone.utc)
        wait: float | None = None  # at least until it is tried again
        try:
            what = self._carry(card, order, url, generation, why, now)
        except QCityError as error:
            wait = (error.retry_after or 0.0) if isinstance(error, PlatformError) else 0.0
            what = Followed(ok=False, text=redact(error.what), todo=error.todo)
        except Exception as error:  # noqa: BLE001 - of a library: printed, and said
            wait = 0.0
            traceback.print_exc()
            what = Followed(ok=False, text=redact(f"it failed ({error!r})"))
        what = replace(what, generation=generation if what.ok else what.generation, took=time.monotonic() - begun)
        self._remember(card, what, wait)
        self._send(TunnelFollowed(key=card.key, at=now, what=what))

    def _remember(self, carried: FollowerCard, what: Followed, wait: float | None) -> None:
        key = carried.key
        with self._change:
            self._told[key] = time.monotonic()
            if wait is None:
                self._failed.pop(key, None)
            elif _proposes(carried):
                times = self._failed.get(key, (0, 0.0))[0]
                self._failed[key] = (times + 1, self._told[key] + max(wait, min(AGAIN * 2**times, AGAIN_MOST)))
                self._due.add(key)
            if what.changed:
                self._changed[key] = self._told[key]
            cards = tuple(msgspec.structs.replace(card, last=what) if card.key == key else card for card in self._order.followers)
            self._order = msgspec.structs.replace(self._order, followers=cards)

    def _carry(self, card: FollowerCard, order: Follow, url: str, generation: int, why: str, now: datetime) -> Followed:
        follower = card.follower
        if not isinstance(follower, Binding):
            return followers.carry(follower, tunnel=self._name, url=url, generation=generation, home=self._home, last=card.last, now=now)
        if not url or not self._written:
            return Followed(ok=True, text="nothing was changed: there is no address now that everybody could use", address=url)
        others = [Issued(tunnel="", generation=0, provider="", origin=one, since=now) for one in order.others]
        issued = [*order.issued, *self._had, *others]
        rewriter = Rewriter(aim=aim(issued, tunnel=self._name, new=url), patterns=follower.patterns)
        if _proposes(card):
            from ..forges.proposing import propose  # with what it takes to speak to forges: only where somebody wants that

            return _said(propose(self._home, follower, rewriter, why=why, actor=ACTOR), url)
        return _said(rewrite.sync(self._home, follower, rewriter, tunnel=self._name, new=url, why=why, actor=ACTOR), url)


def _proposes(card: FollowerCard) -> bool:
    return isinstance(card.follower, Binding) and card.follower.commit.partition(":")[0] == "pull"


def _at_once(card: FollowerCard) -> bool:
    return not _proposes(card)


def _said(report: Report, url: str) -> Followed:
    """What came of rewriting files, in one sentence."""
    refused = [one for one in report.remarks if one.line == 0]
    text = f"{count(report.links, 'link')} in {count(len(report.files), 'file')} changed" if report.links else "all links are right"
    text += f"; {said}" if (said := told(report)) else ""
    if refused:
        text += f"; left alone: {line(refused[0].path)}, {refused[0].why}" + (f", and {len(refused) - 1} more" if len(refused) > 1 else "")
    todo = f"qcity links rollback {report.number} takes it back" if report.number else ""
    return Followed(ok=not refused, text=text, todo=todo, address=url, changed=report.links or int(bool(report.said)))


def _renewal(follower: Pointer | Page) -> float:
    try:
        return pointer.renewal(follower).total_seconds()
    except BadInput:
        return 3600.0  # it was told so already
