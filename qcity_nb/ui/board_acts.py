"""What a person may have done from the board, and how it is done: through the client, so that it is a command like any other, with its actor.

A name that is not there, a verb that is not offered, something that is under way already, or a step that was not confirmed is refused in words.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from typing import Any

from ..client import board as facts
from ..client.city import QCity
from ..decide.redact import redact
from ..decide.wording import count, line, sentence
from ..errors import BadInput, QCityError, Refused

KNOWN = 200
"""So many nonces are remembered: a message that comes twice is done once."""
Message = Mapping[str, Any]
"""What a front end asks with."""


def restart(city: QCity, name: str, _message: Message) -> str:
    """Stop a runner and start it again."""
    city.runners[name].stop()
    city.runners[name].start()
    return "it was stopped and is up again"


def start(city: QCity, name: str, _message: Message) -> str:
    """Start a runner as it was specified."""
    city.runners[name].start()
    return "it is up"


def drain(city: QCity, name: str, _message: Message) -> str:
    """Let a runner finish and stop; it is not waited for."""
    city.runners[name].drain()
    return "it takes no new jobs and stops when it has finished"


def pause(city: QCity, name: str, message: Message) -> str:
    """Let a runner finish and rest for a while, with a word of why; it is not waited for."""
    time = str(message.get("time") or "").strip()
    city.runners[name].pause(line(str(message.get("note") or ""), limit=200), time=time or None)
    return f"it rests {f'for {line(time, limit=20)} ' if time else ''}when it has finished"


def repair(city: QCity, name: str, message: Message) -> str:
    """Have a runner begun again as after a fault."""
    city.runners[name].repair(line(str(message.get("note") or ""), limit=200))
    return "it was begun again; its incident says how that was proved"


def revoke(city: QCity, name: str, _message: Message) -> str:
    """Take an agent's registration back: it is stopped, its forge forgets it, and so does this place."""
    city.runners[name].remove()
    return "its registration was taken back, and it is forgotten here"


def rerun(city: QCity, name: str, _message: Message) -> str:
    """Run a job again."""
    if not (name.isascii() and name.isdigit()):
        raise BadInput(f"{line(name, limit=40)} is no job's number", "Reload the page")
    again = city.jobs[int(name)].rerun()
    return f"{count(len(again), 'job')} queued: {', '.join(str(job.id) for job in again)}" if again else "it was queued again"


VERBS: Mapping[str, Callable[[QCity, str, Message], str]] = {
    one.__name__: one for one in (restart, start, drain, pause, repair, revoke, rerun)
}


class Acts:
    """The acts of one board: each in a thread of its own, because the kernel goes on meanwhile.

    Args:
        tell: takes the answer; called from that thread.
        actor: who asks, as the audit says.
    """

    def __init__(self, city: QCity, tell: Callable[[dict[str, Any]], None], *, actor: str) -> None:
        self._city, self._tell, self._actor = city, tell, actor
        self._under_way: set[tuple[str, str]] = set()
        self._known: dict[str, None] = {}
        self._lock = threading.Lock()

    def by(self, city: QCity, tell: Callable[[dict[str, Any]], None], *, actor: str) -> Acts:
        """The same acts for somebody else: what is under way for one of them is so for all."""
        other = Acts(city, tell, actor=actor)
        other.__dict__ |= {name: self.__dict__[name] for name in ("_under_way", "_known", "_lock")}
        return other

    def ask(self, message: Mapping[str, Any]) -> threading.Thread | None:
        """Do what a front end asks for; the thread that does it, None when it was refused or done before."""
        verb, name, nonce = (str(message.get(key) or "") for key in ("verb", "name", "nonce"))
        answer = {"kind": "result", "verb": verb[:20], "name": line(name, limit=128), "nonce": nonce[:100], "actor": self._actor}
        with self._lock:
            if not nonce or nonce in self._known:
                return None
            self._known[nonce] = None
            while len(self._known) > KNOWN:
                del self._known[next(iter(self._known))]
            why = self._refusal(verb, name, confirmed=message.get("confirmed") is True)
            if not why:
                self._under_way.add((verb, name))
        if why:
            self._tell({**answer, "ok": False, "text": why})
            return None
        thread = threading.Thread(target=self._do, args=(verb, name, message, answer), name=f"board-{verb}", daemon=True)
        thread.start()
        return thread

    def log(self, name: str) -> None:
        """Tell the end of a runner's log, if there is such a runner."""
        try:
            text = facts.log(self._city.link.store.home, self._city.runners[name].name)
        except (QCityError, OSError) as error:
            text = _words(error)
        self._tell({"kind": "log", "name": name, "text": text})

    def audit(self) -> None:
        """Tell who asked for what lately, and what came of it."""
        try:
            told: dict[str, Any] = {"rows": facts.audit(self._city.link.store)}
        except (QCityError, OSError) as error:
            told = {"rows": [], "text": _words(error)}
        self._tell({"kind": "audit", **told})

    def _refusal(self, verb: str, name: str, *, confirmed: bool) -> str:
        if verb not in VERBS:
            return f'nothing is called "{line(verb, limit=20)}" here. There are: {", ".join(VERBS)}.'
        if not confirmed:
            return "it was not confirmed, so nothing was done. Ask again and say yes."
        if any(subject == name for _, subject in self._under_way):
            return "something is under way for it already. Wait for its result."
        return ""

    def _do(self, verb: str, name: str, message: Message, answer: dict[str, Any]) -> None:
        try:
            said = {"ok": True, "text": VERBS[verb](self._city, name, message)}
        except Exception as error:  # noqa: BLE001 - whatever it was, who pressed the button has to hear of it
            said = {"ok": False, "text": _words(error)}
        finally:
            with self._lock:
                self._under_way.discard((verb, name))
        self._tell({**answer, **said})


def _words(error: Exception) -> str:
    if not isinstance(error, QCityError):
        error = Refused(f"it failed ({type(error).__name__}: {line(str(error))})", "qcity doctor says more")
    return sentence(redact(str(error)))
