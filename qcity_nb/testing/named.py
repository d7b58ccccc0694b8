"""Real name servers on loopback, for as long as a `with` block lasts: BIND as the primary, Knot as a secondary, BIND as a resolver that caches.

Only Debian's bind9 and knot are needed. They run as whoever runs the test, on high ports, with files of their own.
"""

from __future__ import annotations

import base64
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

from ..model.tunnel import Pointer

if TYPE_CHECKING:
    from typing_extensions import Self

START_SECONDS = 20.0
ZONE = "example.org"
NAME = f"_qcity.app.{ZONE}"
PRIMARY, SECONDARY = "127.0.0.1", "127.0.0.2"


def program(name: str) -> str:
    """Where `named` or `knotd` is; empty when it is not installed."""
    return shutil.which(name) or shutil.which(name, path="/usr/sbin:/usr/local/sbin") or ""


class Named:
    """The servers of the zone example.org, in which two keys may change something.

    Args:
        secondary: whether there is a Knot that follows the primary.
        resolver: whether there is a BIND that asks the primary and caches.

    Attributes:
        key: the TSIG key that may change `_qcity.app` and `app`, as a credential of a home holds it; `stranger` has the same name and another secret;
            `other` is a known key that may change another name only.
        port: the primary is there at 127.0.0.1, the secondary at 127.0.0.2; the resolver has a port of its own.
    """

    def __init__(self, *, secondary: bool = False, resolver: bool = False) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="qcity-named-"))
        self.key, self.stranger, self.other = (f"hmac-sha256:{name}:{_secret()}" for name in ("runner", "runner", "other"))
        self.port, self._resolver_port = _free_port(), _free_port()
        self._want = {"primary": True, "secondary": secondary, "resolver": resolver}
        self._running: dict[str, subprocess.Popen[bytes]] = {}

    def __enter__(self) -> Self:
        self._write()
        for which, wanted in self._want.items():
            if wanted:
                self.start(which)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        for which in list(self._running):
            self.kill(which)
        shutil.rmtree(self.folder, ignore_errors=True)

    @property
    def primary(self) -> str:
        """The primary, as options name it."""
        return f"{PRIMARY}:{self.port}"

    @property
    def secondary(self) -> str:
        """The secondary, as options name it."""
        return f"{SECONDARY}:{self.port}"

    @property
    def resolver(self) -> str:
        """The resolver, as options name it."""
        return f"{PRIMARY}:{self._resolver_port}"

    def pointer(self, name: str = NAME, **more: str) -> Pointer:
        """A pointer in the zone, with the key in the credential `tsig`."""
        return Pointer(kind="rfc2136", name=name, options={"server": self.primary, "key": "tsig", "ttl": "5", **more})

    def start(self, which: str) -> None:
        """Start one of the three, and wait until it answers for the zone.

        Raises:
            RuntimeError: it did not begin; what it said is in the error.
        """
        folder = self.folder / which
        command = ["knotd", "-c", "knot.conf"] if which == "secondary" else ["named", "-g", "-n", "1", "-c", "named.conf"]
        argv = [program(command[0]), *command[1:]]
        if not argv[0]:
            raise RuntimeError(f"{command[0]} is not installed; .ci/run installs it (apt-get install bind9 knot)")
        with (folder / "log").open("ab") as log:
            child = subprocess.Popen(argv, cwd=folder, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)
        self._running[which] = child
        host, port = SECONDARY if which == "secondary" else PRIMARY, self._resolver_port if which == "resolver" else self.port
        end = time.monotonic() + START_SECONDS
        while time.monotonic() < end and child.poll() is None:
            if _answers(host, port):
                return
            time.sleep(0.02)
        raise RuntimeError(f"{command[0]} did not begin: {(folder / 'log').read_text()[-2000:]}")

    def kill(self, which: str = "primary") -> None:
        """End one of the three at once, as a crash would."""
        child = self._running.pop(which)
        os.killpg(child.pid, signal.SIGKILL)
        child.wait()

    def _write(self) -> None:
        primary, secondary, resolver = (self.folder / which for which in self._want)
        for folder in (primary, secondary, resolver):
            folder.mkdir()
        known = [one.split(":") for one in (self.key, self.other)]
        keys = "".join(f'key "{name}" {{ algorithm {kind}; secret "{secret}"; }};\n' for kind, name, secret in known)
        shared = (
            f"listen-on port %d {{ {PRIMARY}; }}; listen-on-v6 {{ none; }}; pid-file none; session-keyfile none; dnssec-validation no; "
            "querylog no; notify-delay 0; allow-transfer { 127.0.0.0/8; };"
        )
        notify = f"notify explicit; also-notify {{ {SECONDARY} port {self.port}; }};" if self._want["secondary"] else "notify no;"
        policy = f"grant runner name {NAME}. TXT; grant runner name app.{ZONE}. A AAAA CNAME; grant other name other.{ZONE}. TXT;"
        options = f'options {{ directory "{primary}"; recursion no; {shared % self.port} {notify} }};'
        zone = f'zone "{ZONE}" {{ type primary; file "zone"; update-policy {{ {policy} }}; }};'
        (primary / "named.conf").write_text(f"controls {{ }};\n{keys}{options}\n{zone}\n")
        second = f"@ NS ns2\nns2 A {SECONDARY}\n" if self._want["secondary"] else ""
        records = f'$TTL 5\n@ SOA ns1 admin 1 60 10 600 5\n@ NS ns1\nns1 A {PRIMARY}\n{second}app A 192.0.2.1\nspf TXT "v=spf1 -all"\n'
        (primary / "zone").write_text(records)
        forward = f"forward only; forwarders {{ {PRIMARY} port {self.port}; }};"
        options = f'options {{ directory "{resolver}"; recursion yes; {shared % self._resolver_port} {forward} }};'
        (resolver / "named.conf").write_text(f"controls {{ }};\n{options}\n")
        (secondary / "knot.conf").write_text(
            f"server:\n    rundir: {secondary}\n    listen: {SECONDARY}@{self.port}\ndatabase:\n    storage: {secondary}\n"
            f"log:\n  - target: stderr\n    any: info\nremote:\n  - id: primary\n    address: {PRIMARY}@{self.port}\n    via: {SECONDARY}\n"
            f"acl:\n  - id: notify\n    address: 127.0.0.0/8\n    action: notify\n"
            f"zone:\n  - domain: {ZONE}\n    storage: {secondary}\n    master: primary\n    acl: notify\n"
        )


def _answers(host: str, port: int) -> bool:
    import dns.exception
    import dns.message
    import dns.query

    try:
        return bool(dns.query.udp(dns.message.make_query(ZONE, "SOA"), host, port=port, timeout=0.5).answer)
    except (dns.exception.DNSException, OSError):
        return False


def _secret() -> str:
    return base64.b64encode(os.urandom(32)).decode()


def _free_port() -> int:
    """One that is free for both protocols at both addresses."""
    for _ in range(50):
        with socket.socket() as probe:
            probe.bind((PRIMARY, 0))
            port = int(probe.getsockname()[1])
        try:
            for host in (PRIMARY, SECONDARY):
                for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
                    with socket.socket(type=kind) as probe:
                        probe.bind((host, port))
        except OSError:
            continue
        return port
    raise RuntimeError("no port is free on loopback")
