"""A tunnel as a service: `python -m qcity_nb.kinds.tunnels.service --home HOME --name NAME`, with its plan in the environment."""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import msgspec

from ...decide.links import Rewriter, aim
from ...decide.places import detect, reachable, tier_of
from ...decide.wording import did_you_mean
from ...errors import BadInput, Refused, TunnelError
from ...model.home import Home
from ...model.service import Exit, ServiceSpec
from ...model.tunnel import Binding, Follower, TunnelPlan
from ...ports import Launch
from .. import KINDS, load

VARIABLE = "QCITY_TUNNEL"
SILENT = timedelta(minutes=1)
TIER = "QCITY_TIER"


class Kind:
    """The service `tunnel`: its options are a `TunnelPlan`."""

    takes_jobs = False
    speaks = True
    beats = True
    attended = False

    def check(self, spec: ServiceSpec) -> ServiceSpec:
        """The plan, its chain and options known and allowed where we are.

        Raises:
            BadInput: a provider or an option that there is none of, or a port that is none.
            Refused: the terms of this place, with the clause and the way out.
        """
        plan = plan_of(spec.name, spec.options)
        for name in plan.chain:
            if name not in KINDS["tunnels"]:
                raise BadInput(f'there is no provider "{name}" of tunnels', did_you_mean(name, list(KINDS["tunnels"]), what="provider"))
        for key in plan.options:
            if key.partition(".")[0] not in plan.chain or "." not in key:
                raise BadInput(f'the option "{key}" belongs to no provider of the chain', "Write it as PROVIDER.OPTION=VALUE")
        for name in plan.chain:
            mine = {key.partition(".")[2]: value for key, value in plan.options.items() if key.partition(".")[0] == name}
            try:
                load("tunnels", name).check(mine)
            except TunnelError as error:
                if len(plan.chain) == 1:  # nothing else could help
                    raise Refused(error.what, error.todo) from None
        ruling = reachable(plan.chain, detect(os.environ), tier_of({"tier": os.environ.get(TIER, "unknown")}), acknowledged=plan.public)
        if not ruling.allowed:
            raise Refused(ruling.why, ruling.todo)
        return replace(spec, options=msgspec.to_builtins(plan), silent_after=SILENT, grace=timedelta(seconds=12))

    def launch(self, spec: ServiceSpec, *, home: Home) -> Launch:
        """A process of its own."""
        argv = (sys.executable, "-m", __name__, "--home", str(home.root), "--name", spec.name)
        env = {**os.environ, "PYTHONUNBUFFERED": "1", VARIABLE: msgspec.json.encode(plan_of(spec.name, spec.options)).decode()}
        return Launch(argv=argv, env=env, cwd=home.service(spec.name))

    def check_follower(self, follower: Follower) -> None:
        """Files have patterns that can be meant, a pointer or a page a kind that takes its options."""
        if isinstance(follower, Binding):
            Rewriter(aim=aim((), tunnel="x", new="http://localhost"), patterns=follower.patterns)
            return
        from .. import followers  # its kinds are loaded when there is one

        followers.check(follower)

    def natural(self, how: Exit, words: Sequence[str]) -> str:
        """It ends only when it is told to."""
        return ""


KIND = Kind()


def plan_of(name: str, options: Mapping[str, object]) -> TunnelPlan:
    """The plan that a service's options are.

    Raises:
        BadInput: they are none.
    """
    try:
        plan = msgspec.convert({**options, "name": name}, TunnelPlan, strict=False)
    except msgspec.ValidationError as error:
        raise BadInput(f"the tunnel {name} cannot be meant ({error})", "qcity tunnel open --help says what is expected") from None
    if not 0 < plan.port < 65536:
        raise BadInput(f"{plan.port} is no port", "Name the port that your app listens on, 1 to 65535")
    if not plan.chain or len(set(plan.chain)) < len(plan.chain):
        raise BadInput("the chain has to name providers, each once", f"There are: {', '.join(KINDS['tunnels'])}")
    if plan.deadline <= 0 or (plan.ttl is not None and plan.ttl <= 0):
        raise BadInput("a time has to be longer than nothing", "Give seconds, or 90s, 15m, 8h")
    return plan


def main() -> int:
    """Run the pilot until it is told to stop."""
    parser = argparse.ArgumentParser(prog="qcity tunnel")
    parser.add_argument("--home", required=True, type=Path)
    parser.add_argument("--name", required=True)
    given = parser.parse_args()
    from .pilot import Pilot  # the engine loads this file for its kind alone

    plan = msgspec.json.decode(os.environ.pop(VARIABLE), type=TunnelPlan)
    incarnation = int(os.environ.get("QCITY_INCARNATION", "0"))
    pilot = Pilot(Home(given.home.absolute()), given.name, incarnation, plan, load=lambda name: load("tunnels", name))
    asyncio.run(pilot.run())
    return 0


if __name__ == "__main__":
    sys.exit(main())
