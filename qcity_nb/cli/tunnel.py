"""The verbs of `qcity tunnel`."""

from __future__ import annotations

import argparse

from ..client import tunnel_shapes as shapes
from ..client.tunnels import Tunnel, sentence_of
from ..decide.tunnel_health import LEVELS
from ..decide.wording import line, span
from ..errors import BadInput, advice
from ..model.tunnel import TunnelState
from .screen import Mark, open_place, out, put_json, put_table


def open_(args: argparse.Namespace) -> int:
    """Open an address that leads to a port."""
    with open_place(args) as city:
        made = city.tunnels.open(
            args.port,
            name=args.name or "",
            chain=args.chain or "",
            options=options_of(args.option),
            ttl=args.ttl,
            deadline=args.deadline,
            public=args.public,
            wait=0 if args.no_wait else args.wait,
        )
        if args.json:
            return put_json(shapes.tunnel(made.row))
        view = made.view
        out(f"{view.url or made.sentence}")
        if view.url:
            latency = f", {view.latency * 1000:.0f} ms" if view.latency is not None else ""
            until = f"; closes by itself at {view.until:%Y-%m-%d %H:%M} UTC" if view.until else ""
            if view.state is TunnelState.APP_DOWN:
                out(f"  nothing listens on port {view.port} yet: it leads there as soon as something does")
            out(f"  by {view.provider}, proved by nonce{latency}; open to {view.reach.value if view.reach else 'nobody knows whom'}{until}")
    return 0


def list_(args: argparse.Namespace) -> int:
    """All tunnels."""
    with open_place(args) as city:
        rows = city.tunnels.rows()
        if args.json:
            return put_json(shapes.tunnels(rows))
        shown = [(line(row.name), Mark(LEVELS[row.view.state], sentence_of(row)), row.view.url, row.view.generation or "") for row in rows]
        put_table(("tunnel", "", "address", "generation"), shown, empty="No tunnel yet: qcity tunnel open 8888 opens one.")
    return 0


def show(args: argparse.Namespace) -> int:
    """One tunnel, with what happened to it."""
    with open_place(args) as city:
        tunnel = city.tunnels[args.name]
        row = tunnel.row
        if args.json:
            return put_json(shapes.shown(row, tunnel.addresses(), tunnel.followers()))
        view = row.view
        out(f"{view.name} → port {view.port}: {tunnel.sentence}")
        if view.url:
            out(f"  address   {view.url}")
            out(f"  open to   {view.reach.value if view.reach else '?'}")
            out(f"  provider  {view.provider}, generation {view.generation}, since {view.since:%H:%M:%S} UTC{_latency(view.latency)}")
        if view.until:
            out(f"  closes    {view.until:%Y-%m-%d %H:%M} UTC by itself")
        if view.binary:
            out(f"  program   {view.binary}")
        for one in view.tried:
            out(f"  {one.provider:<9} {one.text}. {advice(one.todo)}".rstrip())
        _story(tunnel)
    return 0


def close(args: argparse.Namespace) -> int:
    """End one."""
    with open_place(args) as city:
        city.tunnels[args.name].close()
        out(f"{args.name} is closed; files in which its address stands are not changed.")
    return 0


def test(args: argparse.Namespace) -> int:
    """Ask a nonce through the address now."""
    with open_place(args) as city:
        view = city.tunnels[args.name].test()
        if args.json:
            return put_json(shapes.tunnel(city.tunnels[args.name].row))
        out(f"{view.url} leads to port {view.port}: a nonce came back from our own door{_latency(view.latency)}.")
    return 0


def page(args: argparse.Namespace) -> int:
    """Publish a fallback page."""
    with open_place(args) as city:
        key = city.tunnels[args.name].page(args.kind, args.target, low_data=args.low_data, **_plain(args.option))
        out(f"{key} follows {args.name} from now on; qcity tunnel show {args.name} says what came of it.")
    return 0


def pointer(args: argparse.Namespace) -> int:
    """Publish a signed pointer in the DNS."""
    with open_place(args) as city:
        key = city.tunnels[args.name].pointer(args.kind, args.record, **_plain(args.option))
        out(f"{key} follows {args.name} from now on; qcity tunnel show {args.name} says what came of it.")
    return 0


def unfollow(args: argparse.Namespace) -> int:
    """Have something follow it no more."""
    with open_place(args) as city:
        city.tunnels[args.name].unfollow(args.key)
        out(f"{args.key} does not follow {args.name} any more; what it was last told stays there.")
    return 0


def _plain(given: list[str] | None) -> dict[str, str]:
    found = {}
    for one in given or []:
        key, mark, value = one.partition("=")
        if not mark or not key.isidentifier() or key in ("kind", "target", "name", "low_data"):
            raise BadInput(f'"{one}" is no option', "Write it as OPTION=VALUE")
        found[key] = value
    return found


def _story(tunnel: Tunnel) -> None:
    told = tunnel.story(limit=8)
    followers = tunnel.followers()
    if followers:
        out("  what follows it")
        for follower in followers:
            last = follower.last
            mark = "not told yet" if last is None else last.text if last.ok else f"{last.text}. {advice(last.todo)}".rstrip()
            out(f"    {line(follower.key)}: {mark}")
    if told:
        out("  what happened")
        for flip in told:
            out(f"    {flip.at:%m-%d %H:%M:%S}  {line(flip.reason)}")


def _latency(seconds: float | None) -> str:
    return "" if seconds is None else f", {span(seconds)}" if seconds >= 1 else f", {seconds * 1000:.0f} ms"


def options_of(given: list[str] | None) -> dict[str, str]:
    """The options of providers, as they were typed. Raises `BadInput` when one is none."""
    found = {}
    for one in given or []:
        key, mark, value = one.partition("=")
        if not mark or "." not in key:
            raise BadInput(f'"{one}" is no option of a provider', "Write it as PROVIDER.OPTION=VALUE, as in ssh.host=example.org")
        found[key] = value
    return found
