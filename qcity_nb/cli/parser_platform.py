"""The grammar of `qcity platform`."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .parser import Parser

KNOWN = ("cloudflare", "dagshub", "github", "gitlab", "google-cloud", "huggingface", "ngrok", "vercel")
FORMS = ("statuspage", "status.io", "betterstack", "google", "answers")


def add(parser: Parser, shared: Parser, listing: Parser) -> None:
    """`qcity platform`."""
    verbs = parser.add_subparsers(metavar="VERB", parser_class=type(parser), required=True)
    watch = verbs.add_parser("watch", parents=[shared], help="ask them from now on, once a minute")
    watch.add_argument("names", nargs="+", metavar="NAME", help=", ".join(KNOWN))
    watch.set_defaults(run="platform:watch")
    other = verbs.add_parser("add", parents=[shared], help="ask another page that says how something is")
    other.add_argument("name", metavar="NAME", help="what it is called here")
    other.add_argument("url", metavar="URL", help="what is asked, as https://status.example.org/api/v2/summary.json")
    other.add_argument("--family", default="statuspage", choices=FORMS, metavar="FORM", help=f"{', '.join(FORMS)} (default statuspage)")
    other.add_argument("--title", default="", metavar="TEXT", help="what people read (default: NAME)")
    other.add_argument("--part", action="append", default=[], metavar="TEXT", help="a part of it that counts (default: all); repeatable")
    other.set_defaults(run="platform:add")
    verbs.add_parser("list", parents=[listing], help="how each says it is; 1 when one is not fine").set_defaults(run="platform:list_")
    drop = verbs.add_parser("drop", parents=[shared], help="ask it no more")
    drop.add_argument("name", metavar="NAME")
    drop.set_defaults(run="platform:drop")
