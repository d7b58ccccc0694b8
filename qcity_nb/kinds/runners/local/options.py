"""What a local runner can be told: the options of its service, checked, with a sentence for whatever is wrong."""

from __future__ import annotations

import difflib
import json
import os
import platform
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from urllib.parse import urlsplit

import msgspec

from ....errors import BadInput
from ....model.service import Limits, Sandbox
from .repository import is_url

VARIABLE = "QCITY_RUNNER_OPTIONS"  # how `launch` hands the options to the worker
_ARCH = {"x86_64": "x64", "amd64": "x64", "aarch64": "arm64", "arm64": "arm64"}
LABELS = ("self-hosted", "local", "linux", _ARCH.get(platform.machine().lower(), platform.machine().lower()), "ubuntu-latest")
CANARY = 3600.0
UBUNTU = ("ubuntu-24.04", "ubuntu-22.04", "ubuntu-20.04")


@dataclass(frozen=True, kw_only=True)
class Options:
    """The options of a local runner.

    Args:
        repo: the path or the URL of the repository.
        branches: patterns of the branches to watch; none means all.
        slots: how many jobs run at the same time.
        sandbox: the weakest sandbox to accept; the best there is is always used.
        network: whether jobs reach the network.
        poll: seconds between two looks; 0 means 1 for a path and 30 for a URL.
        limits: what one job may use.
        env: names of the variables that are handed to the jobs.
        canary: seconds between two canaries; 0 means none.
    """

    repo: str
    branches: tuple[str, ...] = ()
    slots: int = 2
    sandbox: Sandbox = Sandbox.NONE
    network: bool = False
    poll: float = 0.0
    limits: Limits = field(default_factory=Limits)
    env: tuple[str, ...] = ()
    canary: float = CANARY

    @property
    def every(self) -> float:
        """Seconds between two looks at the repository."""
        return self.poll or (30.0 if is_url(self.repo) else 1.0)

    def dump(self) -> str:
        """The options as the text that `load` reads."""
        return json.dumps({**asdict(self), "sandbox": self.sandbox.value})


def parse(given: Mapping[str, object], *, runner: str) -> Options:
    """The options of the runner called `runner`.

    Raises:
        BadInput: a key or a value is wrong.
    """
    known = list(Options.__dataclass_fields__)
    for name in given:
        if name not in known:
            near = difflib.get_close_matches(name, known, 1)
            raise BadInput(
                f'runner "{runner}": there is no option "{name}"', f'Did you mean "{near[0]}"?' if near else f"There are: {', '.join(known)}"
            )
    if not given.get("repo"):
        raise BadInput(f'runner "{runner}": no repository is given', "Set repo to the path or the URL of a git repository")
    try:
        options = msgspec.convert(dict(given), Options, strict=True)
    except msgspec.ValidationError as error:
        text, _, where = str(error).partition(" - at ")
        raise BadInput(f'runner "{runner}": {where.strip("`$.") or "an option"}: {text[:1].lower()}{text[1:]}') from None
    _check_values(options, runner)
    repo = options.repo if is_url(options.repo) else str(Path(options.repo).expanduser().absolute())
    return replace(options, repo=repo)


def _check_values(options: Options, runner: str) -> None:
    if not 1 <= options.slots <= 64:
        raise BadInput(f'runner "{runner}": slots is {options.slots}', "Give a number from 1 to 64")
    if options.poll < 0:
        raise BadInput(f'runner "{runner}": poll is {options.poll} seconds', "Give a positive number of seconds")
    if options.canary < 0:
        raise BadInput(f'runner "{runner}": canary is {options.canary} seconds', "Give the seconds between two of them, or 0 for none")
    for name in ("memory", "processes", "file_size"):
        value = getattr(options.limits, name)
        if value is not None and value < 1:
            raise BadInput(f'runner "{runner}": the limit {name} is {value}', "Give a positive number, or none for no limit")
    if is_url(options.repo) and urlsplit(options.repo).password:
        raise BadInput(
            f'runner "{runner}": the URL of the repository contains a password', "Use a git credential helper or an ssh key; no secret is ever stored"
        )


def load(env: Mapping[str, str], *, runner: str) -> Options:
    """The options that `launch` put into the environment."""
    return parse(json.loads(env.get(VARIABLE, "{}")), runner=runner)


def job_env(names: tuple[str, ...]) -> dict[str, str]:
    """The values of the variables that are handed to the jobs, from this process's environment."""
    return {name: os.environ[name] for name in names if name in os.environ}
