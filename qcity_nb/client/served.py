"""Pages that are served of a place: which live, the links that let people in, and taking them back.

A link is a random token; its page finds it as a file below the home, named by the token's hash, so that whoever may write there may let people in
and nobody has to talk to the page. What a page is told of nobody else knows: it is not in the store, not in a log, not in a command line.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import secrets
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..decide.health import EngineState
from ..decide.roles import Role
from ..decide.wording import line, sentence, span
from ..errors import BadInput, EngineError, MissingTool, NotFound
from ..io.files import is_locked, tail, write_atomic
from ..model.home import Home
from ..model.tunnel import TunnelState
from ..store import tunnels
from ..store.database import Store
from .view import View

LINK_SECONDS = 600.0
LONGEST = 400 * 86400.0
START_SECONDS = 20.0
STOP_SECONDS = 10.0
PORT = 8787
INSTALL = 'pip install "qcity-nb[serve]"'


@dataclass(frozen=True, kw_only=True)
class Ticket:
    """What a link is good for.

    Args:
        name: who uses it, for the audit.
        until: seconds since 1970.
        shared: it lets in everybody who has it until then; without, one person once.
    """

    role: Role
    name: str
    until: float
    shared: bool = False


@dataclass(frozen=True, kw_only=True)
class Served:
    """A page that is served now: its process, its port on this machine, and its address here."""

    port: int
    pid: int
    url: str


def needed() -> None:
    """Look whether a page can be served here.

    Raises:
        MissingTool: a package is not installed.
    """
    from importlib.util import find_spec

    if missing := [name for name in ("starlette", "uvicorn") if find_spec(name) is None]:
        raise MissingTool(f"the served page needs {' and '.join(missing)}", INSTALL)


def living(home: Home) -> list[Served]:
    """The pages of a place whose processes live, by port."""
    return sorted(_found(home), key=lambda one: one.port)


def one(home: Home, port: int | None = None) -> Served:
    """The page that is meant.

    Raises:
        NotFound: there is none.
        BadInput: there are several.
    """
    found = [page for page in living(home) if port in (None, page.port)]
    if not found:
        where = f" at port {port}" if port else ""
        raise NotFound(f"no page of {home.root} is served{where}", "qcity serve starts one")
    if len(found) > 1:
        ports = ", ".join(str(page.port) for page in found)
        raise BadInput(f"{len(found)} pages of {home.root} are served", f"Say which with --port: {ports}")
    return found[0]


def issue(home: Home, port: int, role: Role, *, name: str = "", seconds: float = LINK_SECONDS, shared: bool = False) -> str:
    """A new token for the page at this port.

    Raises:
        BadInput: it would let several people act, or for ever.
    """
    if shared and role is not Role.VIEWER:
        raise BadInput(f"a link for {role.value} lets one person in", "Only a link for viewer can be shared: who acts has a name in the audit")
    if not 1 <= seconds <= LONGEST:
        raise BadInput(f"a link cannot be good for {span(seconds)}", f"Say a time up to {span(LONGEST)}")
    token, folder = secrets.token_urlsafe(32), home.served(port) / "links"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    known = {"role": role.value, "name": line(name, limit=40) or secrets.token_hex(2), "until": time.time() + seconds, "shared": shared}
    write_atomic(folder / _hash(token), json.dumps(known))
    return token


def redeem(home: Home, port: int, token: str) -> Ticket | None:
    """What a token is good for, None when for nothing (any more). One that is not shared is used up: of two at once only one gets in."""
    path = home.served(port) / "links" / _hash(token)
    try:
        known = json.loads(path.read_text())
        ticket = Ticket(role=Role(known["role"]), name=str(known["name"]), until=float(known["until"]), shared=bool(known["shared"]))
        over = time.time() > ticket.until
        if over or not ticket.shared:
            path.unlink()
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return None if over else ticket


def revoke(home: Home, port: int) -> None:
    """Take back every link to the page at this port, and sign everybody out."""
    for path in (home.served(port) / "links").glob("*"):
        path.unlink(missing_ok=True)
    write_atomic(home.served(port) / "revoked", str(time.time_ns()))
    home.metrics_token.unlink(missing_ok=True)


def revoked(home: Home, port: int) -> int:
    """A number that is another one after everything was revoked."""
    try:
        return (home.served(port) / "revoked").stat().st_mtime_ns
    except OSError:
        return 0


def metrics_token(home: Home) -> str:
    """What a reader of the metrics shows: made once, in a file of mode 0600, taken back with the links."""
    try:
        return home.metrics_token.read_text().strip()
    except OSError:
        home.metrics_token.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_atomic(home.metrics_token, secrets.token_urlsafe(32))
        return home.metrics_token.read_text().strip()


def outside(store: Store, port: int) -> list[str]:
    """The addresses of tunnels that lead to this port."""
    with store.read() as connection:
        views = [row.view for row in tunnels.all_of(connection, store.place)]
    return [view.url for view in views if view.port == port and view.url and view.state is not TunnelState.OFF]


def link(url: str, token: str) -> str:
    """What a person opens. The token stands behind the #: browsers send that to nobody, so no log of a proxy has it."""
    return f"{url.rstrip('/')}/login#{token}"


def health(view: View | None, trouble: str = "") -> dict[str, Any]:
    """What `/healthz` answers: whether the engine lives and the store can be read, in one sentence, with no name in it."""
    if view is None:
        return {"ok": False, "engine": None, "sentence": sentence(trouble)}
    alive = view.engine.state is EngineState.RUNNING
    return {"ok": alive, "engine": view.engine.state.value, "sentence": sentence(f"The engine {view.engine.condition.text}")}


def pages(found: Iterable[Served]) -> dict[str, Any]:
    """`qcity serve list --json`."""
    return {"pages": [{"url": page.url, "port": page.port, "pid": page.pid} for page in found]}


class Page:
    """A page in a process of its own, as `city.serve()` gives it; one that is served already is the same one."""

    def __init__(self, store: Store, served: Served) -> None:
        self._store, self._served = store, served
        self.url = served.url

    @property
    def live(self) -> bool:
        """Whether it is served."""
        return any(page == self._served for page in living(self._store.home))

    def link(self, role: str = "operator", *, name: str = "", seconds: float = LINK_SECONDS, shared: bool = False) -> str:
        """A link that lets somebody in. It works once, for ten minutes: what a cell keeps of it is soon worth nothing.

        Args:
            role: viewer looks, operator acts, master may do all.
            name: of whom it is for, as the audit will say.
            seconds: how long it is good for.
            shared: for viewers: it lets in everybody who has it.
        """
        found = {one.value: one for one in Role}
        if role not in found:
            raise BadInput(f'there is no role "{line(role)}"', f"There are: {', '.join(found)}")
        token = issue(self._store.home, self._served.port, found[role], name=name, seconds=seconds, shared=shared)
        return link((outside(self._store, self._served.port) or [self.url])[0], token)

    def revoke(self) -> None:
        """Take back all links, and sign everybody out."""
        revoke(self._store.home, self._served.port)

    def close(self) -> None:
        """End it, and wait until its process is gone: what is in the home is nobody's then. Twice is harmless."""
        if not self.live:
            return
        os.kill(self._served.pid, signal.SIGTERM)
        deadline = time.monotonic() + STOP_SECONDS
        while not _gone(self._served.pid) and time.monotonic() < deadline:
            time.sleep(0.02)

    def __repr__(self) -> str:
        how = "page.link() gives a link that lets you in" if self.live else "closed"
        return f"<Page {self.url} · {how}>"


def start(store: Store, *, port: int = 0) -> Page:
    """Serve a page of a place from a process of its own, which survives whoever asked for it.

    Raises:
        QCityError: it did not come up; the sentence is what it said.
    """
    needed()
    if found := living(store.home):
        return Page(store, found[0])
    log = store.home.root / "serve.log"
    command = [sys.executable, "-m", "qcity_nb", "serve", "--home", str(store.home.root), "--port", str(port)]
    with log.open("wb") as said:
        child = subprocess.Popen(command, cwd=store.home.root, stdin=subprocess.DEVNULL, stdout=said, stderr=said, start_new_session=True)
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and child.poll() is None:
        if mine := [page for page in living(store.home) if page.pid == child.pid]:
            child.returncode = 0  # it goes on by itself: without this, Popen warns that it still runs
            return Page(store, mine[0])
        time.sleep(0.02)
    child.kill()
    child.wait()
    last = " ".join(text.strip().removeprefix("qcity: ") for text in tail(log, lines=3))
    raise EngineError(f"the page did not come up: {last.rstrip('.') or 'it said nothing'}", f"Look into {log}", permanent=False)


def note(home: Home, page: Served) -> None:
    """Say where a page is; its process holds the lock beside it meanwhile."""
    write_atomic(home.served(page.port) / "about.json", json.dumps({"pid": page.pid, "url": page.url}))


def sweep(home: Home, *, but: int = 0) -> None:
    """Remove what pages left that have ended."""
    for about in (home.root / "serve").glob("*/about.json"):
        port = about.parent.name
        if port.isdecimal() and int(port) != but and not is_locked(lock_of(home, int(port))):
            shutil.rmtree(about.parent, ignore_errors=True)


def _found(home: Home) -> Iterator[Served]:
    for about in (home.root / "serve").glob("*/about.json"):
        try:
            known: Mapping[str, Any] = json.loads(about.read_text())
            page = Served(port=int(about.parent.name), pid=int(known["pid"]), url=str(known["url"]))
        except (OSError, ValueError, KeyError, TypeError):
            continue
        if is_locked(lock_of(home, page.port)):
            yield page


def lock_of(home: Home, port: int) -> Path:
    """Held by the page at this port while it lives."""
    return home.served(port) / "lock"


def _gone(pid: int) -> bool:
    """Whether a process has ended; a child of ours would else stay as a zombie."""
    with contextlib.suppress(ChildProcessError):
        return os.waitpid(pid, os.WNOHANG)[0] == pid
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


def _hash(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()
