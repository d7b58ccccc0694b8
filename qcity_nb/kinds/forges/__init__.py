"""Forges: platforms that give work to agents. One client each; `connect` gives the one for what a person asked."""

from __future__ import annotations

from ...model.agent import Wanted
from ...ports import Forge
from .. import load


def connect(wanted: Wanted, token: str) -> Forge:
    """A client for the platform and scope of an agent."""
    forge: Forge = load("forges", wanted.forge)(wanted, token)
    return forge
