"""The bench of pointers: an update until it is seen at a real BIND, at a real Knot behind it and at a resolver, and how large the fallback page is.

`python tests/bench/pointers.py [--rounds N]` (a script called dns.py would hide dnspython). It prints a table and asserts
nothing: figures belong to the machine they were taken on. What is aimed at: 0.2 s at the primary, 2 s at the secondary, a page of 14,000 bytes.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from datetime import datetime, timezone
from pathlib import Path

from qcity_nb.decide.pointer import ours
from qcity_nb.io import secrets
from qcity_nb.kinds.dns.servers import ask, servers
from qcity_nb.kinds.followers import carry
from qcity_nb.model.home import Home
from qcity_nb.model.tunnel import Page
from qcity_nb.testing.named import Named


def seen(at: str, name: str, text: str, *, recursive: bool, limit: float) -> float:
    """Seconds until a server shows a text."""
    server, began = servers(at)[0], time.monotonic()
    while time.monotonic() - began < limit:
        if ours(ask(server, name, "TXT", recursive=recursive).values) == text:
            break
        time.sleep(0.002)
    return time.monotonic() - began


def pointer_figures(rounds: int) -> None:
    names = ("sign and publish, primary only", "seen at the primary", "seen at the secondary", "seen at the resolver")
    figures: dict[str, list[float]] = {name: [] for name in names}
    with tempfile.TemporaryDirectory() as folder, Named(secondary=True, resolver=True) as named:
        home, last = Home(Path(folder)), None
        secrets.keep(home, "tsig", named.key)
        pointer = named.pointer(servers=named.primary, ttl="2")
        for number in range(rounds):
            began = time.monotonic()
            url = f"https://a{number}.example"
            last = carry(pointer, tunnel="app", url=url, generation=number + 1, home=home, last=last, now=datetime.now(timezone.utc))
            assert last.ok, last
            done = time.monotonic() - began
            figures[names[0]].append(done)
            for name, at in zip(names[1:], (named.primary, named.secondary, named.resolver), strict=True):
                seen(at, pointer.name, last.address, recursive=at == named.resolver, limit=10)
                figures[name].append(time.monotonic() - began)
    print(f"{'seconds (TTL 2 s at the resolver)':<36}{'median':>9}{'p95':>9}{'max':>9}{'n':>5}")
    for name, found in figures.items():
        p95 = statistics.quantiles(found, n=20)[-1] if len(found) > 1 else found[0]
        print(f"{name:<36}{statistics.median(found):>9.4f}{p95:>9.4f}{max(found):>9.4f}{len(found):>5}")


def page_figures(rounds: int) -> None:
    took = []
    with tempfile.TemporaryDirectory() as folder:
        home, target, last = Home(Path(folder) / "home"), Path(folder) / "public", None
        page = Page(kind="folder", target=str(target), options={"contact": "ops@example.org"}, low_data=("mirror.example",))
        for number in range(rounds):
            url = f"https://a{number}.example"
            last = carry(page, tunnel="app", url=url, generation=number + 1, home=home, last=last, now=datetime.now(timezone.utc))
            took.append(last.took)
        size = (target / "index.html").stat().st_size
    print(f"{'page built and in its folder':<36}{statistics.median(took):>9.4f}{'':>9}{max(took):>9.4f}{rounds:>5}")
    print(f"{'bytes of the page':<36}{size:>9}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=30)
    asked = parser.parse_args().rounds
    pointer_figures(asked)
    page_figures(asked)
