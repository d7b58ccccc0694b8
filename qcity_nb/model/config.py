"""What `qcity.toml` asks for, once it is checked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta

from .fleet import FleetConfig
from .service import RestartPolicy


@dataclass(frozen=True, kw_only=True)
class RunnerConfig:
    """One `[runner.NAME]` table; `options` are the kind's own."""

    name: str
    kind: str = "local"
    labels: tuple[str, ...] = ()
    options: Mapping[str, object] = field(default_factory=dict)
    silent_after: timedelta | None = None
    grace: timedelta = timedelta(seconds=10)
    claim: str = ""
    fallback: str = ""


@dataclass(frozen=True, kw_only=True)
class CityConfig:
    """A whole file. `restart` holds for every runner in it; `retries` is how often a lost job is run again, `timeout` a job's default.

    `fleet` is None when nothing is said of one.
    """

    runners: tuple[RunnerConfig, ...] = ()
    restart: RestartPolicy = RestartPolicy()
    retries: int | None = None
    timeout: timedelta | None = None
    fleet: FleetConfig | None = None


@dataclass(frozen=True, kw_only=True)
class Problem:
    """Something wrong in a file: the line, and what a person reads after `FILE:LINE:`."""

    line: int
    text: str
