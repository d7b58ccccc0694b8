"""Which requests the served page answers at all: of which host, from which page, and with which headers its answers go. Pure."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Mapping
from urllib.parse import urlsplit

HERE = frozenset({"localhost", "127.0.0.1", "::1"})
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'{style}; img-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'self'; frame-ancestors {frame}"
)
HEADERS = {
    "x-content-type-options": "nosniff",
    "referrer-policy": "same-origin",  # no-referrer would have browsers hide where a form was sent from
    "permissions-policy": "accelerometer=(), camera=(), geolocation=(), microphone=(), payment=(), usb=()",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "cache-control": "no-store",
}


def policy(*, nonce: str = "", framed: bool = False) -> str:
    """The content security policy.

    Args:
        nonce: lets one sheet of styles in.
        framed: whether pages of the same origin may show it in a frame, as JupyterLab does.
    """
    return POLICY.format(style=f" 'nonce-{nonce}'" if nonce else "", frame="'self'" if framed else "'none'")


def host_of(header: str) -> str:
    """The host of a Host header or an origin, without its port; empty when it is none."""
    try:
        return (urlsplit(f"//{header.rpartition('://')[2]}").hostname or "").rstrip(".")
    except ValueError:
        return ""


def is_ours(header: str, allowed: Iterable[str]) -> bool:
    """Whether a Host header may be answered. A name that was not allowed may be somebody's who points it here (DNS rebinding); a number cannot."""
    host = host_of(header)
    if not host:
        return False
    if host in HERE or host in {host_of(one) for one in allowed}:
        return True
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def is_foreign(headers: Mapping[str, str], *, trusted: bool = False) -> bool:
    """Whether a request that changes something was sent by a page of somebody else.

    Args:
        headers: host, origin, sec-fetch-site; what a browser does not know it leaves out.
        trusted: it came through our own proxy, which may have changed the host; the browser's own word has to do.
    """
    site = headers.get("sec-fetch-site", "")
    if site not in ("", "same-origin", "none"):
        return True
    origin = headers.get("origin")
    if origin is None or (trusted and site):
        return False
    return urlsplit(origin).netloc.lower() != headers.get("host", "").lower()
