"""Hugging Face Jobs as they are on the wire (`huggingface_hub` 2.4): the request for one, the parts of the answers that we read. Pure.

A job either runs an engine or does one errand: it executes one notebook that it fetches from a branch of a dataset, and leaves the result there.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field

from ..model.fleet import PlaceConfig
from ..model.place import Parcel

IMAGE = "python:3.12"
_SCRIPT = """set -e; umask 077
python -m pip install -q --no-input "$QCITY_PACKAGE"
mkdir -p "$HOME/.qcity/config"; QCITY_HOME="$HOME/.qcity/home"; export QCITY_HOME
python - <<'END'
import json, os, pathlib
folder = pathlib.Path(os.environ["QCITY_HOME"]) / "secrets"
folder.mkdir(parents=True, mode=0o700)
for name, value in json.loads(os.environ.get("QCITY_CREDENTIALS", "{}")).items():
    (folder / name).write_text(value)
END
unset QCITY_CREDENTIALS
if [ -n "$QCITY_CONFIG" ]; then printf '%s' "$QCITY_CONFIG" > "$HOME/.qcity/config/qcity.toml"; QCITY_REPO="$HOME/.qcity/config"; fi
if [ -n "$QCITY_REPO" ]; then qcity up --repo "$QCITY_REPO"; else cd "$HOME"; qcity up; fi
while qcity engine status; do sleep 30; done
"""

SETUP = 900.0
"""Seconds that a job gets to install and to hand back, beside those of its notebook; a quarter of its time if that is less."""
RUN_LABEL = "qcity-run"
PRIVATE = ("env", "secrets")
"""The parts of a bundle that no file holds."""


@dataclass(frozen=True, kw_only=True)
class Stage:
    """Where a job stands, in Hugging Face's words."""

    stage: str
    message: str | None = None


@dataclass(frozen=True, kw_only=True)
class Job:
    """A job, as far as we read it."""

    id: str
    status: Stage
    labels: Mapping[str, str] | None = None


@dataclass(frozen=True, kw_only=True)
class Hardware:
    """A flavor of machine and what it costs."""

    name: str
    unitCostUSD: float | None = None  # noqa: N815 - as it is on the wire
    unitLabel: str = "minute"  # noqa: N815 - as it is on the wire


@dataclass(frozen=True, kw_only=True)
class Who:
    """Whose token it is."""

    name: str


@dataclass(frozen=True, kw_only=True)
class Repo:
    """A dataset, as far as we read it. One that does not say that it is private is not."""

    private: bool = False


@dataclass(frozen=True, kw_only=True)
class Branch:
    """A branch of a dataset."""

    name: str


@dataclass(frozen=True, kw_only=True)
class Refs:
    """What a dataset's names lead to."""

    branches: tuple[Branch, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Errand:
    """What one job does for one attempt at a run.

    Args:
        token: of the attempt.
        bundle: what may lie in a file.
        secrets: what may not, as JSON; it is handed over as a secret of the job.
        seconds: after which the job ends at the latest.
    """

    token: str
    bundle: str = field(repr=False)
    secrets: str = field(repr=False)
    seconds: int


def errand(data: bytes, *, seconds: float) -> Errand:
    """The errand that a bundle (`kinds.notebooks.far`) is, in a job that may last for so many seconds.

    The notebook's own time is over before the job's is, so that it is a run which was too slow and not one that was lost.
    """
    told = json.loads(data)
    private = {name: told.pop(name) for name in PRIVATE if name in told}
    setup = min(SETUP, seconds / 4)
    told["timeout"] = min(told.get("timeout") or seconds, seconds - setup)
    return Errand(token=told["token"], bundle=json.dumps(told), secrets=json.dumps(private), seconds=int(told["timeout"] + setup))


def request_errand(
    config: PlaceConfig, what: Errand, *, script: str, flavor: str, where: Mapping[str, str], token: str
) -> dict[str, object]:
    """The body that asks for a job which does an errand.

    Args:
        script: begins it there.
        where: variables that say where its files are.
        token: may read and write them.
    """
    return {
        "dockerImage": config.options.get("image", IMAGE),
        "command": ["sh", "-c", script],
        "arguments": [],
        "environment": dict(where),
        "secrets": {"QCITY_TOKEN": token, "QCITY_PRIVATE": what.secrets},
        "flavor": flavor,
        "timeoutSeconds": what.seconds,
        "labels": {RUN_LABEL: what.token, "qcity-place": config.name},
    }


def request(config: PlaceConfig, parcel: Parcel, *, flavor: str, seconds: int) -> dict[str, object]:
    """The body that asks for a job; whatever is secret is among its secrets and nowhere else."""
    options = config.options
    secrets = {"QCITY_CREDENTIALS": json.dumps(dict(parcel.credentials))} if parcel.credentials else {}
    if parcel.store:
        secrets["QCITY_STORE"] = parcel.store
    return {
        "dockerImage": options.get("image", IMAGE),
        "command": ["sh", "-c", _SCRIPT],
        "arguments": [],
        "environment": {
            "QCITY_PACKAGE": options.get("package") or f"qcity-nb{'[postgres]' if parcel.store else ''}=={parcel.version}",
            "QCITY_REPO": options.get("repo", ""),
            "QCITY_CONFIG": parcel.config,
        },
        "secrets": secrets,
        "flavor": flavor,
        "timeoutSeconds": seconds,
        "labels": {"qcity": config.name},
    }
