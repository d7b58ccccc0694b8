"""What `qcity serve` understands."""

from __future__ import annotations

from typing import Any

from .parser_tunnel import providers, seconds

ROLES = ("viewer", "operator", "master")


def add(parser: Any, shared: Any, listing: Any) -> None:
    """`qcity serve`, and its verbs."""
    parser.add_argument("--port", type=int, default=8787, help="where it listens; 0: any free one (default 8787)")
    parser.add_argument("--host", default="127.0.0.1", help="which address of this machine (default: only itself)")
    parser.add_argument("--role", choices=ROLES, default="operator", help="what the link that is printed is for (default operator)")
    parser.add_argument("--base-url", metavar="PATH", default="/", help="the path below which a proxy in front shows it")
    parser.add_argument("--allow-host", action="append", default=[], metavar="NAME", help="a name under which it may be asked for; repeatable")
    parser.add_argument("--every", type=seconds, default=1.0, metavar="TIME", help="how often it looks, at most four times a second (default 1s)")
    parser.add_argument("--tunnel", action="store_true", help="open a tunnel to it, proved by nonce")
    providers(parser)
    parser.set_defaults(run="serve:serve")
    verbs = parser.add_subparsers(metavar="VERB", parser_class=type(parser))
    link = verbs.add_parser("link", parents=[shared], help="print a link that lets somebody in")
    link.add_argument("--role", choices=ROLES, default="viewer", help="viewer looks, operator acts, master may do all (default viewer)")
    link.add_argument("--name", default="", help="of whom it is for, as the audit will say")
    link.add_argument("--for", type=seconds, dest="seconds", default=600.0, metavar="TIME", help="how long it is good for (default 10m)")
    link.add_argument("--shared", action="store_true", help="for viewers: it lets in everybody who has it, until then")
    revoke = verbs.add_parser("revoke", parents=[shared], help="take back all links and sign everybody out")
    for one, run in ((link, "serve:link"), (revoke, "serve:revoke")):
        one.add_argument("--port", type=int, default=None, help="of which page, when there are several")
        one.set_defaults(run=run)
    verbs.add_parser("list", parents=[listing], help="the pages that are served").set_defaults(run="serve:list_")
