"""The bench of link sync: ours beside `str.replace`, a provider's pattern and a JSON round trip, on the same files in one run. `--quick`: one round.

It prints speeds, ratios and mistakes (links missed, decoys changed, files with bytes changed elsewhere, files that a second pass changes) and asserts
nothing: figures belong to the machine they were taken on.
"""

from __future__ import annotations

import argparse
import json
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from qcity_nb.decide import links
from qcity_nb.io import rewrite
from qcity_nb.model.home import Home
from qcity_nb.model.link import Wanted, done
from qcity_nb.model.tunnel import Binding
from qcity_nb.testing import link_corpus as corpus

AIM = links.Aim(tunnel="app", new=corpus.NEW, old=corpus.OLD)
WHOLE = Wanted(whole=True)
PROVIDER = re.compile(r"https?://[\w.-]+\.(?:ngrok-free\.app|trycloudflare\.com)|http://127\.0\.0\.1:\d+")
PATTERNS = ("**/*.md", "**/*.json", "**/*.html")
Method = Callable[[str, bytes], bytes]


def ours(path: str, data: bytes) -> bytes:
    """Exact origins, boundaries, what is seen and not changed."""
    return done(data, links.read(path, data, AIM, WHOLE).edits)


def naive(path: str, data: bytes) -> bytes:
    """Every occurrence of the old text."""
    for old in corpus.OLD:
        data = data.replace(old.encode(), corpus.NEW.encode())
    return data


def pattern(path: str, data: bytes) -> bytes:
    """Whatever looks like an address of the providers."""
    return PROVIDER.sub(corpus.NEW, data.decode()).encode()


def round_trip(path: str, data: bytes) -> bytes:
    """JSON read and written again, the rest naively."""
    if not path.endswith(".json"):
        return naive(path, data)
    text = json.dumps(json.loads(data.decode("utf-8-sig")), indent=2, ensure_ascii=False)
    return naive(path, text.encode())


METHODS: Mapping[str, Method] = {
    "ours (bytes, in memory)": ours,
    "str.replace": naive,
    "a provider's pattern": pattern,
    "json.loads and dumps": round_trip,
}


def in_memory(files: Mapping[str, corpus.Sample], count: int, rounds: int) -> None:
    """All methods on all files, in turns, so that a busy machine slows them alike."""
    took: dict[str, list[float]] = {name: [] for name in METHODS}
    results: dict[str, dict[str, bytes]] = {}
    for _ in range(rounds):
        for name, method in METHODS.items():
            begun = time.perf_counter()
            results[name] = {path: method(path, sample.before) for path, sample in files.items()}
            took[name].append(time.perf_counter() - begun)
    speeds = {name: count / statistics.median(some) for name, some in took.items()}
    slowest = speeds["ours (bytes, in memory)"]
    print(f"{'method':<28}{'links/s':>10}{'ratio':>8}{'right':>8}{'missed':>8}{'false':>8}{'stray files':>13}{'not idempotent':>16}")
    for name, method in METHODS.items():
        score = corpus.score(files, results[name])
        again = sum(method(path, data) != data for path, data in results[name].items())
        speed = f"{name:<28}{speeds[name]:>10,.0f}{speeds[name] / slowest:>8.2f}"
        print(f"{speed}{score.right:>8}{score.missed:>8}{score.false:>8}{score.stray:>13}{again:>16}")


def on_disk(files: Mapping[str, corpus.Sample], count: int, rounds: int) -> None:
    """Plan, journal, replace, prove; beside the same files written over without any of that."""
    took: dict[str, list[float]] = {"ours, without fsync": [], "ours, with fsync": [], "ours, nothing to do": [], "str.replace, written over": []}
    wrong = 0
    for _ in range(rounds):
        for name, durable in (("ours, without fsync", False), ("ours, with fsync", True)):
            with tempfile.TemporaryDirectory() as folder:
                root, home = _lay(Path(folder), files)
                took[name].append(_sync(root, home, durable=durable))
                wrong += sum((root / path).read_bytes() != sample.after for path, sample in files.items())
                took["ours, nothing to do"].append(_sync(root, home, durable=durable))
        with tempfile.TemporaryDirectory() as folder:
            root, _ = _lay(Path(folder), files)
            begun = time.perf_counter()
            for path in files:
                (root / path).write_bytes(naive(path, (root / path).read_bytes()))
            took["str.replace, written over"].append(time.perf_counter() - begun)
    base = statistics.median(took["ours, without fsync"])
    print(f"\n{'on the disk':<28}{'links/s':>10}{'ratio':>8}{'seconds':>9}   files that are not as they have to be: {wrong}")
    for name, some in took.items():
        middle = statistics.median(some)
        print(f"{name:<28}{count / middle:>10,.0f}{base / middle:>8.2f}{middle:>9.3f}")


def fifty(rounds: int) -> None:
    """What a failover waits for: 500 links in 50 files of a git repository."""
    took: list[float] = []
    for _ in range(rounds):
        with tempfile.TemporaryDirectory() as folder:
            root = Path(folder) / "root"
            root.mkdir()
            for number in range(50):
                (root / f"{number}.md").write_text("".join(f"see {corpus.OLD[0]}/{line}\n" for line in range(10)))
            who = ["-c", "user.name=a", "-c", "user.email=a@example.org"]
            for words in (["init", "-q"], ["add", "-A"], [*who, "commit", "-qm", "x"]):
                subprocess.run(["git", *words], cwd=root, check=True)
            took.append(_sync(root, Home(Path(folder) / "home"), durable=True))
    print(f"\n500 links in 50 files of a repository, with fsync: median {statistics.median(took) * 1000:.0f} ms, worst {max(took) * 1000:.0f} ms")


def _lay(folder: Path, files: Mapping[str, corpus.Sample]) -> tuple[Path, Home]:
    root = folder / "root"
    for path, sample in files.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(sample.before)
    return root, Home(folder / "home")


def _sync(root: Path, home: Home, *, durable: bool) -> float:
    rewriter = links.Rewriter(aim=AIM, patterns=PATTERNS)
    binding = Binding(root=str(root), patterns=PATTERNS)
    return rewrite.sync(home, binding, rewriter, tunnel="app", new=corpus.NEW, why="bench", actor="bench", durable=durable).took


def main() -> int:
    """Run all of it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one round")
    rounds = 1 if parser.parse_args().quick else 5
    files = corpus.corpus()
    count = sum(sum(sample.owned) for sample in files.values())
    decoys = sum(len(sample.owned) for sample in files.values()) - count
    size = sum(len(one.before) for one in files.values())
    print(f"{len(files)} files, {count:,} links, {decoys:,} decoys, {size:,} bytes; {rounds} round(s), medians\n")
    in_memory(files, count, rounds)
    on_disk(files, count, rounds)
    if shutil.which("git"):
        fifty(rounds)
    return 0


if __name__ == "__main__":
    sys.exit(main())
