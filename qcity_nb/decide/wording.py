"""How things are said: durations, sizes, ages, the nearest right word, and text from outside made safe to show. Pure."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable
from datetime import datetime, timedelta

_UNITS = {"ms": 0.001, "s": 1, "sec": 1, "second": 1, "min": 60, "m": 60, "minute": 60, "h": 3600, "hour": 3600, "d": 86400, "day": 86400}
_SIZES = {"b": 1, "kb": 10**3, "mb": 10**6, "gb": 10**9, "tb": 10**12, "kib": 1 << 10, "mib": 1 << 20, "gib": 1 << 30, "tib": 1 << 40}
_ANSI = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\))")
_BIDI = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


def span(value: timedelta | float | None) -> str:
    """A duration as people say it: `0.4 s`, `12 s`, `4 min`, `3 h 20 min`, `2 days`; a dash when there is none."""
    if value is None:
        return "-"
    seconds = value.total_seconds() if isinstance(value, timedelta) else float(value)
    seconds = max(0.0, seconds)
    if seconds < 0.0005:
        return "0 s"
    if seconds < 0.0995:
        return f"{seconds:.2f} s" if seconds >= 0.0095 else f"{seconds * 1000:.0f} ms"
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    if seconds < 89.5:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    if minutes < 90:
        return f"{minutes} min"
    hours, rest = divmod(minutes, 60)
    if hours < 48:
        return f"{hours} h {rest} min" if rest else f"{hours} h"
    return f"{round(seconds / 86400)} days"


def since(moment: datetime | None, now: datetime) -> str:
    """How long ago something was; a clock that went back counts as no time."""
    return "never" if moment is None else f"{span(now - moment)} ago"


def size(count: int | None) -> str:
    """A number of bytes as people say it."""
    if count is None:
        return "no limit"
    value = float(count)
    for unit in ("B", "kB", "MB", "GB"):
        if value < 1000:
            return f"{value:.0f} {unit}" if unit == "B" or value >= 10 else f"{value:.1f} {unit}"
        value /= 1000
    return f"{value:.1f} TB"


def count(number: int, one: str, many: str = "") -> str:
    """`1 runner`, `3 runners`."""
    return f"{number} {one if number == 1 else many or one + 's'}"


def percent(share: float | None) -> str:
    """A share as a percentage that never rounds up to a perfect 100."""
    if share is None:
        return "-"
    if share >= 1:
        return "100 %"
    return f"{int(share * 1000) / 10:.1f} %"


def visible(text: str, *, keep: str = "\n\t") -> str:
    """Text from outside (logs, commit subjects, names) made safe for a terminal or a page.

    Colour codes are dropped; every other control or direction-changing character is shown as a symbol instead of obeyed.
    """
    if text.isascii() and text.isprintable():  # nearly all of it is, and dashboards show a lot
        return text
    return "".join(_symbol(char, keep) for char in _ANSI.sub("", text).replace("\r\n", "\n"))


def line(text: str, *, limit: int = 200) -> str:
    """The same in one line of at most `limit` characters."""
    flat = " ".join(visible(text).split())
    return flat if len(flat) <= limit else flat[: limit - 1] + "…"


def sentence(text: str) -> str:
    """Text that ends with a full stop."""
    text = text.strip()
    return text if not text or text[-1] in ".!?…" else text + "."


def nearest(word: str, known: Iterable[str]) -> str:
    """The known word that was most likely meant; empty when none is near."""
    table = {name.lower(): name for name in known}
    found = difflib.get_close_matches(word.lower(), list(table), n=1, cutoff=0.6)
    return table[found[0]] if found else ""


def did_you_mean(word: str, known: Iterable[str], *, what: str, none: str = "") -> str:
    """What to do after an unknown name: the nearest one, else what there is, else `none`."""
    names = list(known)
    near = nearest(word, names)
    if near:
        return f'Did you mean "{near}"?'
    shown = ", ".join(names[:8]) + (", …" if len(names) > 8 else "")
    return f"There {'is' if len(names) == 1 else 'are'}: {shown}" if names else none or f"There is no {what} yet"


def duration(value: object) -> timedelta:
    """A duration as a person writes it: seconds, or `90 s`, `10 min`, `6 h`, `2 days`.

    Raises:
        ValueError: it is neither.
    """
    if isinstance(value, (int, float)) and not isinstance(value, bool) and 0 <= value < 1e9:
        return timedelta(seconds=value)
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([a-z]+)\s*", value.lower()) if isinstance(value, str) else None
    unit = match and (_UNITS.get(match[2]) or _UNITS.get(match[2].removesuffix("s")))
    if not match or not unit:
        raise ValueError(value)
    return timedelta(seconds=float(match[1]) * unit)


def bytes_of(value: object) -> int:
    """A size as a person writes it: bytes, or `500 MB`, `4 GB`, `4 GiB`.

    Raises:
        ValueError: it is neither.
    """
    if isinstance(value, int) and not isinstance(value, bool) and value > 0:
        return value
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([a-z]+)\s*", value.lower()) if isinstance(value, str) else None
    if not match or match[2] not in _SIZES:
        raise ValueError(value)
    return int(float(match[1]) * _SIZES[match[2]])


def _symbol(char: str, keep: str) -> str:
    code = ord(char)
    if char in keep or (code >= 0x20 and code != 0x7F and not 0x80 <= code < 0xA0 and char not in _BIDI and not 0xD800 <= code < 0xE000):
        return char
    if code < 0x20:
        return chr(0x2400 + code)
    return "\u2421" if code == 0x7F else "\ufffd"
