"""Where a run's kernel lives, as a person writes it: here, in a Dask cluster, at a place. Pure: nothing is asked whether it is there."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum

from ..errors import BadInput, NotFound, Refused
from ..model.schedule import RunPlan
from ..model.service import Sandbox
from .wording import did_you_mean, line, nearest

EXECUTE = ("here", "ssh", "colab", "huggingface")
"""The kinds of places that execute notebooks for others."""
INSTEAD = f"Places of these kinds do: {', '.join(EXECUTE)}"
WORDS = ("dask", "dask://HOST:PORT", "place:NAME")
EXAMPLE = "dask://127.0.0.1:8786"
_ADDRESS = re.compile(r"(?:[A-Za-z0-9_.-]+|\[[0-9A-Fa-f:.]+\]):\d{1,5}")
_SCHEME = re.compile(r"[a-z+]+://|[a-z]+:(?!\d)", re.IGNORECASE)


class Where(Enum):
    """What kind of executor it is."""

    HERE = "here"
    DASK = "dask"
    PLACE = "place"


@dataclass(frozen=True, kw_only=True)
class Executor:
    """An executor: `at` is the address of a cluster's scheduler, empty for a cluster of our own, or the name of a place."""

    where: Where
    at: str = ""


def parse(text: str) -> Executor:
    """What an executor means.

    Raises:
        BadInput: nothing; the sentence names the nearest right word.
    """
    if not text:
        return Executor(where=Where.HERE)
    if text == "dask":
        return Executor(where=Where.DASK)
    if text.startswith("dask://"):
        return Executor(where=Where.DASK, at=_address(text))
    if text.startswith("place:"):
        name = text.removeprefix("place:")
        if name.strip():
            return Executor(where=Where.PLACE, at=name)
        raise BadInput("the executor place: names no place", "Write place:NAME; qcity place list shows the ones there are")
    raise BadInput(f'there is no executor "{line(text, limit=60)}"', _meant(text))


def _address(text: str) -> str:
    given = text.removeprefix("dask://").rstrip("/")
    if not given:
        raise BadInput("the executor dask:// names no scheduler", f"Write its address, as {EXAMPLE}; dask alone is a cluster on this machine")
    port = given.rpartition(":")[2]
    if not _ADDRESS.fullmatch(given) or not 0 < int(port) < 65536:
        near = f"dask://{given}:8786" if re.fullmatch(r"[A-Za-z0-9_.-]+", given) else EXAMPLE
        raise BadInput(f'the executor "{line(text, limit=60)}" has no address of a scheduler', f"Write host and port, as {near}")
    return given


def _meant(text: str) -> str:
    scheme = _SCHEME.match(text)
    if scheme is None:
        return did_you_mean(text, ("dask",), what="executor", none="") if nearest(text, ("dask",)) else f"There are: {', '.join(WORDS)}"
    rest = text[scheme.end() :]
    near = nearest(scheme[0].rstrip(":/"), ("dask", "place"))
    if scheme[0].endswith("//"):
        return f'Did you mean "dask://{line(rest, limit=40) or "HOST:PORT"}"?'
    return f'Did you mean "{"place:" + line(rest, limit=40) if near != "dask" else "dask://HOST:PORT"}"?'


def check(plan: RunPlan, places: Mapping[str, str] | None = None) -> Executor:
    """Hold a plan's executor against what there is, before anything starts.

    Args:
        places: the kinds of those that were added, by name; None when nobody knows.

    Raises:
        BadInput: there is no such executor, or it cannot keep what else the plan asks for.
        NotFound: there is no such place.
        Refused: places of its kind execute nothing for others.
    """
    found = parse(plan.executor)
    if found.where is not Where.HERE and plan.sandbox is not Sandbox.NONE:
        what = f"the executor {plan.executor} has no sandbox of ours, and the run asks for {plan.sandbox.value}"
        raise BadInput(what, "Run it on this machine (leave the executor out), or with sandbox none")
    if found.where is Where.PLACE and places is not None:
        if found.at not in places:
            near = nearest(found.at, places)
            todo = f'Did you mean "place:{near}"?' if near else f"qcity place add {line(found.at, limit=40)} KIND notes it for runs"
            raise NotFound(f'there is no place "{line(found.at, limit=40)}" that was added here', todo)
        if places[found.at] not in EXECUTE:
            raise Refused(f"{found.at} is a place of the kind {places[found.at]}, which executes no notebooks for others", INSTEAD)
    return found
