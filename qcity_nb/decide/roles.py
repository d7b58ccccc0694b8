"""Who may do what through the served page. The page shows it, its server checks it, and the engine checks it once more by the actor's name. Pure.

Whoever holds the home's files (a terminal, a kernel) is no role: the operating system has let him in already.
"""

from __future__ import annotations

from enum import Enum

from .wording import line


class Role(Enum):
    """What a link to the page makes of who opens it; each may do what the ones before it may."""

    VIEWER = "viewer"
    OPERATOR = "operator"
    MASTER = "master"

    def covers(self, needed: Role) -> bool:
        """Whether this is at least that."""
        ranks = list(Role)
        return ranks.index(self) >= ranks.index(needed)


_RUNNERS = ("start", "stop", "drain", "pause", "repair", "discover", "plan")
OPERATING = frozenset({*(f"runner.{verb}" for verb in _RUNNERS), "job.rerun", "job.cancel", "engine.backup", "tunnel.test"})
"""Commands that run what somebody else has set up, and take nothing away. What is not named here needs the master."""
ACTS = {**dict.fromkeys(("restart", "start", "drain", "pause", "repair", "rerun", "log"), Role.OPERATOR), "revoke": Role.MASTER, "audit": Role.MASTER}
"""What the page offers. A log needs an operator, because it may hold a secret of a shape that nobody knows; who asked for what is the master's."""
WEB = "web:"


def actor(role: Role, name: str) -> str:
    """How a visitor of the page is called in the audit."""
    return f"{WEB}{role.value}:{line(name, limit=40)}"


def needs(act: str) -> Role:
    """The least role that may do this on the page."""
    return ACTS.get(act, Role.MASTER)


def allowed(role: Role) -> list[str]:
    """What of the page a role may do."""
    return [act for act, needed in ACTS.items() if role.covers(needed)]


def refusal(asker: str, verb: str) -> str:
    """Why a command of this actor is refused; empty when it is not, as for everybody who did not come through the page."""
    if not asker.startswith(WEB):
        return ""
    word = asker.removeprefix(WEB).partition(":")[0]
    role = next((role for role in Role if role.value == word), Role.VIEWER)
    needed = Role.OPERATOR if verb in OPERATING else Role.MASTER
    return "" if role.covers(needed) else f"{verb} needs the role {needed.value}, and {line(asker, limit=60)} is {role.value}"
