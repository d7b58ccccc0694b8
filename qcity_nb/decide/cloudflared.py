"""What the log of Cloudflare's agent means when it gives no address. Lines in, errors out; pure, and tolerant of lines it has never seen.

Sources: cloudflared's issues 972 (1015 and 429), 487, 1299 and 1428 (an answer without an id), 785 (its configuration), read in 2026.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from ..errors import TunnelError
from ..model.tunnel import Fault

_TAKEN = "Cloudflare takes no more quick tunnels from here just now"
_ROWS: tuple[tuple[str, Fault, str, str, float | None], ...] = (
    (r"\b1015\b|\b429\b|Too Many Requests", Fault.LIMITED, _TAKEN, "It is tried again", 60.0),
    (r"invalid UUID length|failed to parse quick Tunnel ID", Fault.LIMITED, "Cloudflare's answer had no tunnel in it", "It is tried again", 60.0),
    (r"ingress rules|configuration file", Fault.REFUSED, "a configuration stands in its way", "Move config.yml below ~/.cloudflared away", None),
    (r"flag provided but not defined|Incorrect Usage", Fault.TOO_OLD, "this version has no quick tunnels", "Update it: cloudflared update", None),
    (r"address already in use", Fault.CONFLICT, "the port for its metrics was taken", "It is tried again", 0.0),
    (
        r"no such host|server misbehaving|unreachable|connection refused|timeout|TLS handshake|failed to request quick Tunnel",
        Fault.NETWORK,
        "Cloudflare cannot be reached",
        "Check that this machine may reach it (TCP 443, TCP and UDP 7844)",
        None,
    ),
)


def error(lines: Sequence[str]) -> TunnelError | None:
    """The error that the last lines tell of, or None. What is about the service goes before what is about the network."""
    text = "\n".join(lines)
    for pattern, fault, what, todo, after in _ROWS:
        if found := re.search(pattern, text, re.IGNORECASE):
            line = next((one for one in reversed(lines) if found[0] in one), "")
            said = _words(line)
            return TunnelError(f"cloudflared gives no address: {what}" + (f" ({said})" if said else ""), todo, fault=fault, retry_after=after)
    return None


def last_words(lines: Sequence[str]) -> str:
    """The last line that is no mere information, shortened; empty when there is none."""
    return next((said for said in (_words(line) for line in reversed(lines) if " INF " not in line and " DBG " not in line) if said), "")


def _words(line: str) -> str:
    """A line without its stamp and level, at most 120 letters, and without a full stop: it stands inside a sentence."""
    return re.sub(r"^\S*\d\dT?\d\d:\d\d\S*\s+(?:INF|WRN|ERR|FTL|DBG)?\s*", "", line.strip())[:120].rstrip(" .")
