"""Serving a page until somebody ends it: one socket, one process, Ctrl-C or SIGTERM for a clean end. Never prints a link where it would be kept."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

import uvicorn

from ..client import served
from ..client.city import QCity
from ..client.served import Served
from ..decide.roles import Role
from ..decide.web import HERE
from ..errors import BadInput, QCityError, Refused
from ..io.files import try_lock
from .app import Site
from .key import KEY
from .sessions import Sessions
from .stream import SEND_SECONDS, Hub

ENDING_SECONDS = 3
TUNNEL = "page"


@dataclass(frozen=True, kw_only=True)
class Plan:
    """How a page is served.

    Args:
        hosts: more names under which it may be asked for.
        chain: providers of the tunnel, by preference; empty: what suits where we are. None: no tunnel.
        options: of those providers, never a secret.
        public: everybody may reach that tunnel, and the terms were read.
    """

    host: str = "127.0.0.1"
    port: int = served.PORT
    base: str = "/"
    role: Role = Role.OPERATOR
    every: float = 1.0
    hosts: tuple[str, ...] = ()
    chain: str | None = None
    options: Mapping[str, str] = field(default_factory=dict)
    public: bool = False


def serve(city: QCity, plan: Plan, *, say: Callable[[str], None]) -> int:
    """Serve until the end; 0.

    Args:
        say: told what a person should know, a line at a time.

    Raises:
        QCityError: it cannot be served here.
    """
    key = os.environ.pop(KEY, "")  # nothing that is started from here shall have it
    if key and plan.base == "/":
        raise BadInput("a page behind Jupyter needs its path", "qcity serve --base-url says it")
    base = f"/{plan.base.strip('/')}/".replace("//", "/")
    listening = _listen(plan.host, plan.port)
    port = int(listening.getsockname()[1])
    here = plan.host if plan.host not in ("0.0.0.0", "::") else "127.0.0.1"  # noqa: S104 - compared, not bound
    page = Served(port=port, pid=os.getpid(), url=f"http://{f'[{here}]' if ':' in here else here}:{port}{base}")
    with contextlib.closing(listening), _alone(city, page):
        hub = Hub(city.link.store, every=plan.every)
        sessions = Sessions(city.link.store.home, port, key=key)
        site = Site(city, sessions, hub, base=base, hosts=plan.hosts, framed=bool(key))
        _greet(city, page, plan, say=say, behind=bool(key))
        asyncio.run(_run(_server(site), listening, hub, lambda: _tunnel(city, page, plan, say=say)))
        if plan.chain is not None:
            with contextlib.suppress(QCityError):
                city.tunnels[TUNNEL].close()
    say("The page has ended; every link to it is void.")
    return 0


async def _run(server: uvicorn.Server, listening: socket.socket, hub: Hub, begun: Callable[[], None]) -> None:
    loop = asyncio.get_running_loop()

    def end() -> None:
        hub.close()
        server.force_exit, server.should_exit = server.should_exit, True  # a second time means at once

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, end)
    hub.start()
    threading.Thread(target=begun, name="page-tunnel", daemon=True).start()
    await server.serve(sockets=[listening])


class _Server(uvicorn.Server):
    """Signals are ours: its own way ends the process by the signal once more."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Capture none."""
        yield


def _server(site: Site) -> uvicorn.Server:
    return _Server(
        uvicorn.Config(
            site.app(),
            log_config=None,
            log_level="critical",  # no access log: it would hold addresses of visitors; what fails is said by the page
            access_log=False,
            lifespan="off",
            ws="none",
            server_header=False,
            proxy_headers=False,  # whoever is in front is known by our key or by the tunnel's name, not by what he says
            timeout_graceful_shutdown=ENDING_SECONDS,
        )
    )


def _listen(host: str, port: int) -> socket.socket:
    made = None
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0][0]
        made = socket.socket(family, socket.SOCK_STREAM)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if hasattr(socket, "TCP_USER_TIMEOUT"):  # each connection has it then: one that nobody reads does not hold its memory for ever
            made.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(SEND_SECONDS * 2000))
        made.bind((host, port))
        made.listen(256)
    except (OSError, OverflowError) as error:
        if made is not None:
            made.close()
        code = error.errno if isinstance(error, OSError) else 0
        if code == errno.EADDRINUSE:
            raise Refused(f"the port {port} of {host} is taken", "qcity serve --port 0 takes a free one") from None
        if code == errno.EACCES:
            raise Refused(f"the port {port} needs a privileged user", f"qcity serve --port {served.PORT} needs none") from None
        raise BadInput(f"nothing can listen at {host}, port {port} ({error})", "qcity serve without --host listens on this machine only") from None
    return made


@contextlib.contextmanager
def _alone(city: QCity, page: Served) -> Iterator[None]:
    """Be known as the page at this port, with no link of an earlier one."""
    home = city.link.store.home
    home.served(page.port).mkdir(mode=0o700, parents=True, exist_ok=True)
    lock = try_lock(served.lock_of(home, page.port))
    if lock is None:
        raise Refused(f"a page of this place is served at port {page.port} already", "qcity serve link prints a link to it")
    try:
        served.sweep(home, but=page.port)
        for old in (home.served(page.port) / "links").glob("*"):
            old.unlink(missing_ok=True)
        served.note(home, page)
        yield
    finally:
        os.close(lock)
        served.sweep(home)


def _greet(city: QCity, page: Served, plan: Plan, *, say: Callable[[str], None], behind: bool) -> None:
    home = city.link.store.home
    say(f"The page of {home.root} is served at {page.url}")
    if plan.host not in HERE:
        say("  without encryption, to your whole network: a tunnel (--tunnel) or a proxy with TLS in front is better")
    if behind:
        return
    if sys.stdout.isatty():
        token = served.issue(home, page.port, plan.role)
        say(f"  sign in as {plan.role.value}: {served.link(page.url, token)}")
        say("  that works once, within 10 minutes; qcity serve link prints another one, also for viewer, operator, master")
    else:
        say("  qcity serve link prints a link that lets somebody in")
    served.metrics_token(home)
    say(f"  metrics for Prometheus: {page.url}metrics, with the bearer token in {home.metrics_token}")
    say("  Ctrl-C ends it")


def _tunnel(city: QCity, page: Served, plan: Plan, *, say: Callable[[str], None]) -> None:
    """Open an address that leads to the page, proved by nonce; the page goes on without one."""
    if plan.chain is None:
        return
    try:
        made = city.tunnels.open(page.port, name=TUNNEL, chain=plan.chain or (), options=plan.options, public=plan.public)
    except QCityError as error:
        say(f"  no tunnel: {error}")
        return
    say(f"  from outside: {made.url}, proved by nonce; qcity serve link prints links for there too")
