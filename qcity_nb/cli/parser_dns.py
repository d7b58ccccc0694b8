"""What `qcity dns` understands."""

from __future__ import annotations

from typing import Any


def add(parser: Any, shared: Any) -> None:
    """The verbs of `qcity dns`."""
    verbs = parser.add_subparsers(metavar="VERB", parser_class=type(parser), required=True)
    verbs.add_parser("key", parents=[shared], help="the public key that signs this home's pointers").set_defaults(run="dns:key")
    keeping = verbs.add_parser("secret", parents=[shared], help="keep a credential in this home: typed, or on standard input")
    keeping.add_argument("name", help="what to call it, as an option key or token names it")
    keeping.set_defaults(run="dns:secret")
    showing = verbs.add_parser("show", parents=[shared], help="what a pointer says now; exit code 0 when it is live")
    watching = verbs.add_parser("watch", parents=[shared], help="point a name to its fallback if the runner's lease lapsed; once, for a schedule")
    for one, verb in ((showing, "show"), (watching, "watch")):
        one.add_argument("name", help="the pointer, as _qcity.app.example.org")
        one.add_argument("--kind", default="rfc2136", help="rfc2136 (default), cloudflare, duckdns or lexicon")
        one.add_argument("--key", default="", help="the runner's public key (show: this home's when left out)")
        one.add_argument("--service", default="", help="the tunnel that it has to be of (default: any)")
        one.add_argument("--option", action="append", default=[], metavar="OPTION=VALUE", help="of that kind; a credential is named, never given")
        one.set_defaults(run=f"dns:{verb}")
    watching.add_argument("--record", required=True, metavar="NAME", help="the name to point, as app.example.org")
    watching.add_argument("--type", default="A", help="of that record: A (default), AAAA or CNAME")
    watching.add_argument("--fallback", required=True, help="where it leads while no runner is alive: an address, or a name for CNAME")
