"""`qcity resume`."""

from __future__ import annotations

import argparse

from ..errors import BadInput
from .screen import open_place, out


def resume(args: argparse.Namespace) -> int:
    """Go on from a vault, and say what was done."""
    if args.kind and not args.target:
        raise BadInput(f"it is not said where the {args.kind} is", "qcity resume folder /content/drive/MyDrive/qcity")
    with open_place(args) as city:
        found = city.resume(
            args.kind or "", args.target or "", name=args.name, sealed=args.sealed, key_file=args.key_file, every=args.every, **options(args.option)
        )
        for line in found.lines:
            out(line)
    return 0


def options(given: list[str]) -> dict[str, str]:
    """Options of a kind as a person writes them.

    Raises:
        BadInput: one is none.
    """
    found = {}
    for text in given:
        name, equals, value = text.partition("=")
        if not equals or not name:
            raise BadInput(f'"{text}" is no option', "Write name=value, for example branch=vault")
        found[name] = value
    return found
