"""What `qcity links` and `qcity check` understand."""

from __future__ import annotations

import argparse
from typing import Any


def add(parser: Any, shared: Any, listing: Any) -> None:
    """The verbs of `qcity links`."""
    verbs = parser.add_subparsers(metavar="VERB", parser_class=type(parser), required=True)
    bind = verbs.add_parser("bind", parents=[shared], help="keep a tunnel's address right in files")
    bind.add_argument("pattern", nargs="+", metavar="FILES", help='README.md, "docs/**/*.md", app.json#/links/app, README.md#[app], "!docs/old/**"')
    bind.add_argument("--tunnel", required=True, metavar="NAME", help="whose address")
    bind.add_argument("--root", metavar="DIR", help="the folder that the files are below (default: the current one)")
    how = "commit, branch:NAME, or pull (pull:BRANCH), a request at GitHub or GitLab (default: leave it in the working tree)"
    bind.add_argument("--commit", default="", metavar="HOW", help=how)
    bind.set_defaults(run="links:bind")
    unbind = verbs.add_parser("unbind", parents=[shared], help="leave them alone from now on")
    unbind.add_argument("--tunnel", required=True, metavar="NAME", help="whose address")
    unbind.add_argument("--root", metavar="DIR", help="the folder (default: the current one)")
    unbind.set_defaults(run="links:unbind")
    verbs.add_parser("list", parents=[listing], help="what is bound").set_defaults(run="links:list_")
    sync = verbs.add_parser("sync", parents=[listing], help="make them right now")
    sync.add_argument("tunnel", nargs="?", metavar="TUNNEL", help="of one tunnel (default: of all)")
    _how(sync)
    sync.set_defaults(run="links:sync")
    replace = verbs.add_parser("replace", parents=[listing], help="replace one origin by another, by hand, byte for byte")
    replace.add_argument("old", metavar="OLD_ORIGIN", help="as https://old.example.org")
    replace.add_argument("new", metavar="NEW_ORIGIN", help="as https://new.example.org:8443")
    replace.add_argument("path", nargs="+", metavar="PATH", help="a file, or a folder of Markdown, JSON, YAML, TOML, HTML and notebooks")
    _how(replace)
    replace.set_defaults(run="links:replace")
    rollback = verbs.add_parser("rollback", parents=[listing], help="take a change back, to the byte")
    rollback.add_argument("number", type=_number, metavar="CHANGE")
    rollback.set_defaults(run="links:rollback")
    verbs.add_parser("log", parents=[listing], help="what was changed, when, by whom and why").set_defaults(run="links:log")
    check = verbs.add_parser("check", parents=[listing], help="do the links of files lead somewhere")
    check.add_argument("path", nargs="*", metavar="PATH", help="Markdown, HTML and notebooks, or folders (default: what is bound, else this folder)")
    check.add_argument("--fix", action="store_true", help="rewrite addresses that a tunnel had to the one that it has")
    check.add_argument("--dirty", action="store_true", help="also in files with changes that were not committed")
    _looking(check)
    check.set_defaults(run="links:check")


def check(parser: Any) -> None:
    """`qcity check`."""
    parser.add_argument("path", nargs="*", metavar="PATH", help="files or folders whose links are looked at (default: this folder)")
    parser.add_argument("--pre-deploy", action="store_true", help="tunnels, DNS, pages and links; 1 when something is wrong")
    parser.add_argument("--junit", metavar="FILE", help="write JUnit XML for CI")
    parser.add_argument("--snippet", choices=("github", "gitlab"), help="print what calls this in CI")
    _looking(parser)
    parser.set_defaults(run="check:command")


def _how(parser: Any) -> None:
    parser.add_argument("--check", action="store_true", help="change nothing; 1 when something would change")
    parser.add_argument("--dirty", action="store_true", help="also files with changes that were not committed")


def _looking(parser: Any) -> None:
    parser.add_argument("--browser", action=argparse.BooleanOptionalAction, help="look with a real browser too (default: where there is one)")
    parser.add_argument("--private", action="store_true", help="also addresses of private networks and of this machine")
    parser.add_argument("--offline", action="store_true", help="only what needs no network")
    parser.add_argument("--expect", action="append", default=[], metavar="ORIGIN=WORDS", help="what has to be on the pages there; repeatable")


def _number(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f'"{text}" is no number')
    return int(text)
