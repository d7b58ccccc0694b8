"""Files full of links and of what only looks like them, made from a seed, each with what it has to become: for tests and the bench of link sync.

Every file is a row of chunks that end with a mark of their own and hold one address each, so that a method's mistakes can be counted: links that it
missed, decoys that it changed, bytes that it changed elsewhere.
"""

from __future__ import annotations

import itertools
import random
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

OLD = ("https://a1b2-203-0-113-7.ngrok-free.app", "https://calm-lake.trycloudflare.com", "http://127.0.0.1:8881")
OTHER = "https://c3d4-203-0-113-7.ngrok-free.app"
"""Issued for another tunnel."""
NEW = "https://fresh-owl.trycloudflare.com"
_OWNED = (
    "{}", "{}/", "{}/docs/a?x=1#f", "{}?token=abc", "{}#top", "({}/a)", "<{}>", "{}.", "{}, then", "{};", "'{}'", "{}…", "see {}!",
)  # fmt: skip
_DECOYS = (
    "{}.evil.com/x", "{}:9443/", "{}@evil.com/", "{}-old/", "{}_x", "{}x.dev", "{}5", "x{}", "+{}", "-{}", "{}.internal", "{}:9", "{}é.example",
    "{}%2eevil.com", "{}&#46;evil.com", "https://ffff-203-0-113-7.ngrok-free.app/a", "https://other.trycloudflare.com", "https://example.org/",
    "wss{rest}/socket", "https://u@{host}/", "//{host}/x", "{host}", "https%3A%2F%2F{host}%2Fa", OTHER, OTHER + "/a",
)  # fmt: skip
_STOPS = rb"\s\"'<>()|`"
_ADDRESS = re.compile(rb"[^%s]*(?:\\?/\\?/|%%3A|\.ngrok|\.trycloudflare|127\.0)[^%s]*" % (_STOPS, _STOPS))
_MARK = re.compile(rb"\[~\d+~\]")


@dataclass(frozen=True, kw_only=True)
class Sample:
    """A file: as it is, as it has to become, and which of its chunks hold a link of ours."""

    before: bytes
    after: bytes
    owned: tuple[bool, ...]


@dataclass(frozen=True, kw_only=True)
class Score:
    """How a method did: links right, links missed, decoys changed, files with bytes changed elsewhere."""

    right: int
    missed: int
    false: int
    stray: int


def corpus(*, files: int = 900, seed: int = 5) -> dict[str, Sample]:
    """Markdown, JSON and HTML in equal parts, with line ends, byte order marks, indents and spellings as people's files have them."""
    rng = random.Random(seed)
    made = {}
    for number in range(files):
        kind = ("md", "json", "html")[number % 3]
        made[f"{kind}/{number // 30:02}/file{number}.{kind}"] = _sample(rng, kind)
    return made


def score(samples: Mapping[str, Sample], results: Mapping[str, bytes]) -> Score:
    """Count a method's mistakes."""
    right = missed = false = stray = 0
    for path, sample in samples.items():
        texts = (sample.before, sample.after, results[path])
        chunks = [[_tokens(chunk) for chunk in _MARK.split(text)] for text in texts]
        stray += _ADDRESS.sub(b"", sample.before) != _ADDRESS.sub(b"", results[path])
        for number, (old, wanted, got) in enumerate(itertools.zip_longest(*chunks)):
            owned = number < len(sample.owned) and sample.owned[number]
            right += owned and got == wanted
            missed += owned and got == old
            false += not owned and got != wanted
    return Score(right=right, missed=missed, false=false, stray=stray)


def _tokens(chunk: bytes) -> list[bytes]:
    return [token.replace(b"\\/", b"/") for token in _ADDRESS.findall(chunk)]


def _sample(rng: random.Random, kind: str) -> Sample:
    end = rng.choice(("\n", "\n", "\r\n"))
    indent = rng.choice((" ", "  ", "    "))
    escaped = kind == "json" and rng.random() < 0.3
    chunks, owned = [], []
    for _ in range(rng.randrange(10, 24)):
        old, ours = rng.choice(OLD), rng.random() < 0.53
        new = NEW if ours else old
        shape = rng.choice([one for one in (_OWNED if ours else _DECOYS) if kind != "html" or "<" not in one])
        pair = [_spell(shape, one, kind=kind, escaped=escaped) for one in (old, new)]
        if not ours:
            pair[1] = pair[0]
        owned.append(ours)
        chunks.append(pair)
    texts = ["".join(_wrapped(rng_words, kind, end, indent)) for rng_words in ([pair[0] for pair in chunks], [pair[1] for pair in chunks])]
    mark, last = rng.choice(("", "", "\ufeff")), rng.choice(("", end))
    before, after = ((mark + text + last).encode() for text in texts)
    return Sample(before=before, after=after, owned=tuple(owned))


def _spell(shape: str, origin: str, *, kind: str, escaped: bool) -> str:
    rest = origin.partition(":")[2]
    text = shape.format(origin, host=rest[2:], rest=":" + rest)
    text = text.replace("<", "\\u003c") if kind == "json" else text
    return text.replace("/", "\\/") if escaped else text


def _wrapped(words: list[str], kind: str, end: str, indent: str) -> Iterator[str]:
    if kind == "json":
        yield "{" + end
        starts = ("first ", "a line\\n", "")
        yield f",{end}".join(f'{indent}"k{number}": "{starts[number % 3]}{word}" ,"m": "[~{number}~]"' for number, word in enumerate(words))
        yield end + "}"
    elif kind == "html":
        yield f"<!doctype html>{end}<body>{end}"
        for number, word in enumerate(words):
            yield f'{indent}<a  href="{word}">a</a><!-- [~{number}~] -->{end}' if number % 2 else f"{indent}<p>see {word} </p> [~{number}~]{end}"
        yield "</body>"
    else:
        yield f"# Title{end}{end}"
        for number, word in enumerate(words):
            shapes = (f"- see {word} [~{number}~]", f"[a]: {word} [~{number}~]", f"`{word}` [~{number}~]  ", f"| {word} | [~{number}~] |")
            yield shapes[number % 4] + end
