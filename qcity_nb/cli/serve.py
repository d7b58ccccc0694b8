"""`qcity serve` and its verbs."""

from __future__ import annotations

import argparse
import sys

from .. import home_folder
from ..client import served
from ..decide.roles import Role
from ..errors import BadInput, NotFound
from ..model.home import Home
from .screen import open_place, out, put_json, put_table
from .tunnel import options_of


def serve(args: argparse.Namespace) -> int:
    """Serve the page until Ctrl-C."""
    served.needed()
    if not 0.25 <= args.every <= 60:
        raise BadInput(f"a page cannot look every {args.every:g} s", "--every 0.25 is the shortest, 60 the longest, 1 the usual")
    from ..web.serve import Plan, serve

    plan = Plan(
        host=args.host,
        port=args.port,
        base=args.base_url,
        role=Role(args.role),
        every=args.every,
        hosts=tuple(args.allow_host),
        chain=(args.chain or "") if args.tunnel else None,
        options=options_of(args.option),
        public=args.public,
    )
    with open_place(args) as city:
        return serve(city, plan, say=out)


def link(args: argparse.Namespace) -> int:
    """Print a link."""
    with open_place(args) as city:
        store = city.link.store
        page = served.one(store.home, args.port)
        token = served.issue(store.home, page.port, Role(args.role), name=args.name, seconds=args.seconds, shared=args.shared)
        for url in (page.url, *served.outside(store, page.port)):
            out(served.link(url, token))
        if sys.stdout.isatty():
            out("  " + ("everybody who has it may look, until it ends" if args.shared else "that works once") + "; qcity serve revoke takes it back")
    return 0


def revoke(args: argparse.Namespace) -> int:
    """Take everything back."""
    home = _home(args)
    page = served.one(home, args.port)
    served.revoke(home, page.port)
    out(f"Every link to {page.url} is void, and nobody is signed in.")
    return 0


def list_(args: argparse.Namespace) -> int:
    """All that are served."""
    found = served.living(_home(args))
    if args.json:
        return put_json(served.pages(found))
    put_table(("address", "port", "process"), [(page.url, page.port, page.pid) for page in found], empty="No page is served: qcity serve starts one.")
    return 0


def _home(args: argparse.Namespace) -> Home:
    root = home_folder(getattr(args, "home", None))
    if not root.is_dir():
        raise NotFound(f"there is no place at {root}", "qcity up makes one; --home says where it is")
    return Home(root.resolve())
