"""Hugging Face Jobs as they are on the wire (`huggingface_hub` 2.4): the request for one, the parts of the answers that we read. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass

from ..model.fleet import PlaceConfig
from ..model.place import Parcel

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


def request(config: PlaceConfig, parcel: Parcel, *, flavor: str, seconds: int) -> dict[str, object]:
    """The body that asks for a job; whatever is secret is among its secrets and nowhere else."""
    options = config.options
    secrets = {"QCITY_CREDENTIALS": json.dumps(dict(parcel.credentials))} if parcel.credentials else {}
    if parcel.store:
        secrets["QCITY_STORE"] = parcel.store
    return {
        "dockerImage": options.get("image", "python:3.12"),
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
