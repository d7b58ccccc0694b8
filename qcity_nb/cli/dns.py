"""The verbs of `qcity dns`: what a pointer says, whose key signs it, a credential for it, the dead man's switch."""

from __future__ import annotations

import argparse
import getpass
import sys
from datetime import datetime, timezone
from pathlib import Path

from .. import home_folder
from ..client import dns
from ..decide.wording import span
from ..errors import BadInput
from ..model.dns import DnsAnswer
from .screen import out


def key(args: argparse.Namespace) -> int:
    """Print the public key."""
    out(dns.key(_folder(args)))
    return 0


def secret(args: argparse.Namespace) -> int:
    """Keep a credential."""
    value = getpass.getpass(f"{args.name} (not shown): ") if sys.stdin.isatty() else sys.stdin.readline()
    mark = dns.keep(_folder(args), args.name, value.strip())
    out(f"{args.name} is kept (fingerprint {mark}).")
    return 0


def show(args: argparse.Namespace) -> int:
    """What a pointer says."""
    answer = dns.show(_folder(args), args.kind, args.name, key=args.key, service=args.service, options=_options(args.option))
    out(_sentence(args.name, answer))
    return 0 if answer.reading == "live" else 1


def watch(args: argparse.Namespace) -> int:
    """The dead man's switch, once."""
    answer = dns.watch(
        _folder(args),
        args.kind,
        args.name,
        record=args.record,
        type_=args.type,
        fallback=args.fallback,
        key=args.key,
        service=args.service,
        options=_options(args.option),
    )
    out(f"{answer.text[:1].upper()}{answer.text[1:]}.")
    return 0


def _sentence(name: str, answer: DnsAnswer) -> str:
    now = datetime.now(timezone.utc)
    if answer.since is None or answer.until is None:
        return f"{name} is {answer.reading}: nothing that it says can be trusted." if answer.reading != "absent" else f"{name} says nothing."
    where = f"{answer.service} at {answer.url}, generation {answer.generation}"
    if answer.reading == "live":
        return f"{name} is live since {span(now - answer.since)}: {where}; good for {span(answer.until - now)} more."
    return f"{name} is {answer.reading} since {span(now - answer.until)}: it was {where}."


def _folder(args: argparse.Namespace) -> Path:
    return home_folder(getattr(args, "home", None))


def _options(given: list[str]) -> dict[str, str]:
    found = dict(text.partition("=")[::2] for text in given)
    if strange := next((text for text in given if "=" not in text or text.startswith("=")), ""):
        raise BadInput(f'"{strange}" is no option', "Write --option NAME=VALUE, for example --option server=ns1.example.org")
    return found
