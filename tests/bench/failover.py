"""The bench of a whole failover, with real parts: a tunnel over SSH dies, a localtunnel takes over, 500 links in 50 files and a TXT record follow.

`--quick`: fewer rounds. Also 1,000 probes while both cores are busy. It prints figures and asserts nothing; no peer does this, so there is no ratio.
"""

from __future__ import annotations

import argparse
import contextlib
import multiprocessing
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import dns.resolver
import msgspec

import qcity_nb
from qcity_nb.client.city import QCity
from qcity_nb.client.tunnels import Tunnel
from qcity_nb.io import secrets
from qcity_nb.model.tunnel import Binding, TunnelState
from qcity_nb.testing.edge import NonceApp
from qcity_nb.testing.localtunnel_server import LocaltunnelServer
from qcity_nb.testing.named import NAME, Named
from qcity_nb.testing.sshd import Sshd

FILES, LINKS = 50, 10
PATIENCE = 60.0


class Stage:
    """Everything that takes part in one round."""

    def __init__(self, folder: Path, *, named: Named) -> None:
        self.folder, self.named, self.app = folder, named, NonceApp()
        self.docs = folder / "docs"
        self.docs.mkdir(parents=True)
        self.stack = contextlib.ExitStack()
        self.sshd = self.stack.enter_context(Sshd())
        self.spare = LocaltunnelServer(folder / "spare")
        self.spare.start()
        self.stack.callback(self.spare.kill)
        self.city: QCity = self.stack.enter_context(qcity_nb.open(folder / "home"))
        secrets.keep(self.city.link.store.home, "dns", named.key)

    def open(self) -> Tunnel:
        """The tunnel, over SSH, with its followers."""
        given = {f"ssh.{key}": value for key, value in self.sshd.options.items()}
        chain = {"chain": "ssh,localtunnel", "options": {**given, "localtunnel.host": self.spare.url}}
        tunnel = self.city.tunnels.open(self.app.port, name="app", **chain)  # type: ignore[arg-type]
        for number in range(FILES):
            lines = [f"- [page {one}]({tunnel.url}/page/{one}) and http://elsewhere.example/{one}" for one in range(LINKS)]
            (self.docs / f"{number}.md").write_text("\n".join(lines) + "\n")
        for follower in (Binding(root=str(self.docs), patterns=("*.md",)), self.named.pointer(key="dns")):
            self.city.link.ask("follow.put", "app", {"follower": msgspec.to_builtins(follower)})
        until(lambda: len([one for one in tunnel.followers() if one.last is not None and one.last.ok]) == 2)
        return tunnel

    def close(self) -> None:
        """The end of the round."""
        self.city.stop()
        self.stack.close()
        self.app.close()


def until(probe: Callable[[], object]) -> float:
    """When it is so, on the monotonic clock."""
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        if probe():
            return time.monotonic()
        time.sleep(0.005)
    raise RuntimeError("not seen in time")


def published(named: Named) -> str:
    """What the primary says now."""
    resolver = dns.resolver.Resolver(configure=False)
    resolver.nameservers, resolver.port = ["127.0.0.1"], named.port
    with contextlib.suppress(dns.exception.DNSException):
        return b"".join(next(iter(resolver.resolve(NAME, "TXT"))).strings).decode()
    return ""


def failover(named: Named, how: str) -> dict[str, float]:
    """One round: seconds from the fault to each thing that has to be right again."""
    folder = Path(tempfile.mkdtemp(prefix="qcity-failover-"))
    stage = Stage(folder, named=named)
    try:
        tunnel = stage.open()
        old = tunnel.url
        begun = time.monotonic()
        stage.sshd.cut() if how == "killed" else stage.sshd.freeze()
        proved = until(lambda: tunnel.view.generation > 1 and tunnel.url != old)
        new = tunnel.url
        links = until(lambda: all(old not in path.read_text() for path in stage.docs.glob("*.md")))
        pointer = until(lambda: new in published(named))
        assert sum(path.read_text().count(new) for path in stage.docs.glob("*.md")) == FILES * LINKS
        return {"proved": proved - begun, "links": links - begun, "DNS": pointer - begun}
    finally:
        stage.close()
        shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def busy(cores: int) -> Iterator[None]:
    """Keep cores busy."""
    working = [multiprocessing.Process(target=_work, daemon=True) for _ in range(cores)]
    for one in working:
        one.start()
    try:
        yield
    finally:
        for one in working:
            one.kill()
            one.join()


def _work() -> None:
    while True:
        sum(range(10_000))


def alarms(named: Named, probes: int) -> None:
    """So many probes, a second each, on a machine whose cores are all busy: how often one was suspect, and how often an address changed."""
    folder = Path(tempfile.mkdtemp(prefix="qcity-alarms-"))
    stage = Stage(folder, named=named)
    try:
        tunnel = stage.open()
        with busy(multiprocessing.cpu_count()):
            time.sleep(probes)
        told = [flip for flip in tunnel.story(limit=1000) if flip.new == TunnelState.SUSPECT.value]
        print(f"{probes} probes on a busy machine: suspect {len(told)} times, false alarms {tunnel.view.generation - 1}")
    finally:
        stage.close()
        shutil.rmtree(folder, ignore_errors=True)


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer rounds")
    given = parser.parse_args()
    rounds, probes = (3, 60) if given.quick else (20, 1000)
    with Named() as named:
        for how in ("killed", "frozen"):
            found = [failover(named, how) for _ in range(rounds)]
            for what in ("proved", "links", "DNS"):
                figures = sorted(one[what] for one in found)
                p95 = figures[max(0, int(len(figures) * 0.95 + 0.999) - 1)]
                print(f"{how}: {what:7} p50 {statistics.median(figures):.2f} s  p95 {p95:.2f} s  max {figures[-1]:.2f} s  ({rounds} rounds)")
        alarms(named, probes)


if __name__ == "__main__":
    main()
