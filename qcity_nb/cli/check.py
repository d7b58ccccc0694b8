"""`qcity check`: everything that should be right before a deployment, for people and for CI."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from ..client import link_shapes as shapes
from ..client.linkchecks import Expected
from ..client.predeploy import SNIPPETS
from ..decide.links import origin_of
from ..errors import BadInput
from .screen import open_place, out, put_json


def command(args: argparse.Namespace) -> int:
    """Look, or print a snippet that does so in CI; 1 when something is wrong."""
    if args.snippet:
        out(SNIPPETS[args.snippet].rstrip("\n"))
        return 0
    if not args.pre_deploy:
        raise BadInput("qcity check does not know what to check", "qcity check --pre-deploy looks at tunnels, DNS and links")
    with open_place(args) as city:
        found = city.links.pre_deploy(*(args.path or ["."]), expected=expected_of(args.expect), **how_of(args))
        if args.junit:
            try:
                Path(args.junit).write_text(found.junit(), encoding="utf-8")
            except OSError as error:
                raise BadInput(f"{args.junit} cannot be written ({error.strerror})", "Name a file in a folder that is there") from None
        if args.json:
            put_json(shapes.pre_deploy(found))
        else:
            out(repr(found))
    return 0 if found.ok else 1


def expected_of(texts: list[str]) -> list[Expected]:
    """`ORIGIN=WORDS` as values."""
    found = []
    for text in texts:
        origin, mark, words = text.partition("=")
        if not mark or not words:
            raise BadInput(f'"{text}" says nothing to expect', "Write it as https://app.example.org=Words on its page")
        found.append(Expected(origin=origin_of(origin), text=words))
    return found


def how_of(args: argparse.Namespace) -> dict[str, Any]:
    """How to look, as both commands say it."""
    return {"browser": args.browser, "private": args.private, "offline": args.offline}
