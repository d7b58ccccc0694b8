"""The grammar of `qcity vault` and `qcity resume`."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .parser import Parser

KINDS = ("folder", "git", "dagshub", "huggingface", "fsspec")


def add(parser: Parser, shared: Parser, listing: Parser) -> None:
    """`qcity vault`."""
    verbs = parser.add_subparsers(metavar="VERB", parser_class=type(parser), required=True)
    one = verbs.add_parser("add", parents=[shared], help="keep copies there from now on")
    one.add_argument("name", metavar="NAME")
    _where(one)
    one.set_defaults(run="vault:add")
    verbs.add_parser("list", parents=[listing], help="all vaults, and how old their copies are").set_defaults(run="vault:list_")
    texts = {"copies": "the copies in one", "save": "put a copy there now", "restore": "put a copy in the place of this home's store"}
    for verb, text in {**texts, "remove": "put no more copies there"}.items():
        made = verbs.add_parser(verb, parents=[listing if verb == "copies" else shared], help=text)
        made.add_argument("name", metavar="NAME")
        if verb == "restore":
            made.add_argument("copy", nargs="?", metavar="COPY", help="its number, as 3.17 (default: the newest)")
        if verb in ("save", "restore"):
            made.add_argument("--force", action="store_true", help="over a newer one of another home" if verb == "save" else "also an older one")
        made.set_defaults(run=f"vault:{verb}")


def resume(parser: Parser) -> None:
    """`qcity resume`."""
    _where(parser, optional=True)
    parser.add_argument("--name", default="", metavar="NAME", help="what the vault is called here (default: its kind)")
    parser.set_defaults(run="resume:resume")


def _where(parser: Parser, *, optional: bool = False) -> None:
    parser.add_argument("kind", choices=KINDS, metavar="KIND", nargs="?" if optional else None, help=", ".join(KINDS))
    parser.add_argument("target", metavar="TARGET", nargs="?" if optional else None, help="a folder, a remote, OWNER/NAME or a URL")
    parser.add_argument("option", nargs="*", default=[], metavar="NAME=VALUE", help="the kind's own, as branch=vault; never a secret")
    parser.add_argument("--sealed", action="store_true", help="encrypt the copies in a folder, too (QCITY_VAULT_PASSPHRASE)")
    parser.add_argument("--key-file", metavar="FILE", help="a file of mode 0600 that holds the passphrase")
    parser.add_argument("--keep", type=int, default=5, metavar="N", help="so many copies, the newest (default 5)")
    parser.add_argument("--every", metavar="TIME", help='how often while something changes (default "1 min")')
