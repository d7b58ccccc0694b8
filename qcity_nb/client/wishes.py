"""What is asked of a runner, as a command carries it: plain JSON, seconds for lengths of time, absolute paths."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from pathlib import Path

from ..decide.wording import duration
from ..errors import BadInput
from ..model.agent import FORGES
from ..model.service import RestartPolicy
from ..store.services import ServiceRow

Span = str | float | timedelta | None
"""A length of time as a person gives it."""


def wish(
    kind: str,
    *,
    labels: Sequence[str],
    options: Mapping[str, object],
    silent_after: timedelta | float | None,
    grace: timedelta | float,
    policy: RestartPolicy | None,
) -> dict[str, object]:
    """What a start asks for."""
    labels = [labels] if isinstance(labels, str) else list(labels)
    asked: dict[str, object] = {"kind": kind, "labels": labels, "options": dict(options)}
    asked["silent_after"] = seconds(silent_after)
    asked["grace"] = seconds(grace)
    if policy is not None:
        asked["policy"] = {
            "base": policy.base.total_seconds(),
            "cap": policy.cap.total_seconds(),
            "jitter": policy.jitter,
            "burst": policy.burst,
            "window": policy.window.total_seconds(),
            "reset_after": policy.reset_after.total_seconds(),
        }
    return asked


def again(row: ServiceRow) -> dict[str, object]:
    """What a runner was started with."""
    spec = row.spec
    asked = wish(spec.kind, labels=spec.labels, options=spec.options, silent_after=spec.silent_after, grace=spec.grace, policy=spec.policy)
    return asked | {"retries": spec.retries, "timeout": seconds(spec.job_timeout), "fallback": spec.fallback, "claim": spec.claim}


def seconds(value: timedelta | float | None) -> float | None:
    """A length of time in seconds."""
    return value.total_seconds() if isinstance(value, timedelta) else value


def plain(key: str, value: object, kind: str) -> object:
    """An option as JSON can carry it; a path to a repository becomes absolute, because the engine lives in another folder."""
    if isinstance(value, timedelta):
        return value.total_seconds()
    if key == "repo" and kind not in FORGES and isinstance(value, (str, Path)) and "://" not in str(value) and not _scp_like(str(value)):
        return str(Path(value).expanduser().resolve())
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, (tuple, list)):
        return [str(item) if isinstance(item, Path) else item for item in value]
    return value


def span_of(name: str, value: Span, *, least: float = 0) -> timedelta:
    """A length of time as a person gives it. Raises `BadInput`."""
    try:
        found = value if isinstance(value, timedelta) else duration(float(value) if isinstance(value, str) and value.isdecimal() else value)
    except ValueError:
        raise BadInput(f'{name} is "{value}", which is no length of time', "Write seconds, or 90 s, 30m, 6 h, 2 days") from None
    if found.total_seconds() < 0 or (least and found.total_seconds() < least):
        raise BadInput(f"{name} is {value}, which is too little", "Leave it out, or write 30m")
    return found


def _scp_like(text: str) -> bool:
    """Whether it is `user@host:path`, as git understands it."""
    before, colon, _ = text.partition(":")
    return bool(colon) and "/" not in before and not Path(text).exists()
