"""What `qcity tunnel` understands."""

from __future__ import annotations

import argparse
import re
from typing import Any

UNITS = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400}


def seconds(text: str) -> float:
    """A time as people write it: 90, 90s, 15m, 8h, 1d."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)([smhd]?)", text.strip())
    if found is None or float(found[1]) <= 0:
        raise argparse.ArgumentTypeError(f'"{text}" is no time; write 90s, 15m or 8h')
    return float(found[1]) * UNITS[found[2]]


def add(parser: Any, shared: Any, listing: Any) -> None:
    """The verbs of `qcity tunnel`."""
    verbs = parser.add_subparsers(metavar="VERB", parser_class=type(parser), required=True)
    opening = verbs.add_parser("open", parents=[listing], help="open an address that leads to a port of this machine")
    opening.add_argument("port", type=int, help="where the app listens, on this machine")
    opening.add_argument("--name", help="what to call it (without: after its port)")
    providers(opening)
    opening.add_argument("--ttl", type=seconds, metavar="TIME", help="close it by itself after this (8h)")
    opening.add_argument("--deadline", type=seconds, default=15.0, metavar="TIME", help="how long each provider is given (default 15s)")
    opening.add_argument("--wait", type=seconds, default=60.0, metavar="TIME", help="how long to wait for an address (default 60s)")
    opening.add_argument("--no-wait", action="store_true", help="return at once")
    opening.set_defaults(run="tunnel:open_")
    verbs.add_parser("list", parents=[listing], help="all tunnels").set_defaults(run="tunnel:list_")
    for name, how, what in (("show", listing, "one tunnel, and what happened to it"), ("test", listing, "ask a nonce through its address now")):
        one = verbs.add_parser(name, parents=[how], help=what)
        one.add_argument("name")
        one.set_defaults(run=f"tunnel:{name}")
    paging = verbs.add_parser("page", parents=[shared], help="publish a fallback page that leads to it")
    paging.add_argument("name")
    paging.add_argument("kind", help="folder, git or huggingface")
    paging.add_argument("target", help="the folder, the repository, the Space")
    paging.add_argument("--low-data", action="append", default=[], metavar="HOST", help="a mirror that you know to be free or cheap for your readers")
    pointing = verbs.add_parser("pointer", parents=[shared], help="publish a signed pointer to it in the DNS")
    pointing.add_argument("name")
    pointing.add_argument("kind", help="rfc2136, lexicon, cloudflare or duckdns")
    pointing.add_argument("record", help="the name of the TXT record, as _qcity.app.example.org")
    for one, verb in ((paging, "page"), (pointing, "pointer")):
        one.add_argument("--option", action="append", metavar="OPTION=VALUE", help="of that kind; a credential is named, never given")
        one.set_defaults(run=f"tunnel:{verb}")
    unfollowing = verbs.add_parser("unfollow", parents=[shared], help="have something follow it no more")
    unfollowing.add_argument("name")
    unfollowing.add_argument("key", help="as qcity tunnel show prints it")
    unfollowing.set_defaults(run="tunnel:unfollow")
    closing = verbs.add_parser("close", parents=[shared], help="end one")
    closing.add_argument("name")
    closing.set_defaults(run="tunnel:close")


def domain(parser: Any, shared: Any, listing: Any) -> None:
    """The verbs of `qcity domain`."""
    verbs = parser.add_subparsers(metavar="VERB", parser_class=type(parser), required=True)
    watching = verbs.add_parser("watch", parents=[shared], help="watch one; while it fails a tunnel stands in for it")
    watching.add_argument("domain", help="app.example.org")
    watching.add_argument("--tunnel-to", type=int, required=True, metavar="PORT", help="the port of this machine that the app listens on, too")
    watching.add_argument("--expect", default="", metavar="TEXT", help="what the right app shows on its first page")
    watching.add_argument("--every", type=seconds, default=10.0, metavar="TIME", help="how often it is looked at (default 10s)")
    watching.add_argument("--wait", type=seconds, default=0.0, metavar="TIME", help="how long to wait until it is seen to be well")
    providers(watching)
    watching.set_defaults(run="domain:watch")
    verbs.add_parser("list", parents=[listing], help="all that are watched").set_defaults(run="domain:list_")
    dropping = verbs.add_parser("drop", parents=[shared], help="watch one no more")
    dropping.add_argument("domain")
    dropping.set_defaults(run="domain:drop")


def providers(parser: Any) -> None:
    """Who may give the address."""
    parser.add_argument("--chain", metavar="A,B,C", help="providers by preference; the first whose address is proved wins")
    parser.add_argument("--option", action="append", metavar="PROVIDER.OPTION=VALUE", help="of a provider, as ssh.host=example.org; never a secret")
    parser.add_argument("--public", action="store_true", help="on Colab and its like: everybody may reach it, and I have read the terms")
