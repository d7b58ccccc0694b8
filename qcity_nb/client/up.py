"""`qcity up`: from a repository to running runners. Reads `qcity.toml`, checks it whole, starts what it asks for; twice is once."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import BadInput
from ..model.config import RunnerConfig
from . import places, preview
from .settings import read

if TYPE_CHECKING:
    from .city import QCity


def bring_up(city: QCity, repo: str | Path | None, *, strict: bool) -> tuple[str, ...]:
    """Start the engine and the runners that the repository asks for; what is wrong with workflow files that cannot be used is returned."""
    unusable: tuple[str, ...] = ()
    where = _repository(repo)
    asked = read(Path(where)) if where and Path(where).is_dir() else None
    if where and Path(where).is_dir():
        unusable = preview.look_over(Path(where), say=city.link.say, strict=strict)
    city.link.ensure()
    if where is None:
        return unusable
    if asked is None:
        city.runners.start("local", repo=where)
        return unusable
    if asked.fleet is not None:
        known = city.fleet.status().config  # one file is for all places: what this one is called may have been said by `qcity fleet join`
        me = asked.fleet.me or (known.me if known else "")
        city.fleet.join(asked.fleet.lease, term=asked.fleet.term, me=me, places=asked.fleet.places)
    reserves = {runner.fallback for runner in asked.runners}
    for runner in sorted(asked.runners, key=lambda runner: runner.name not in reserves):  # a fallback is known before whoever names it
        options = dict(_options(runner, where))
        if runner.kind == "place":
            options["places"] = places.configs(city.link, options.get("places"), asked.fleet)
        city.runners.start(
            runner.kind,
            runner.name,
            labels=runner.labels,
            silent_after=runner.silent_after,
            grace=runner.grace,
            policy=asked.restart,
            retries=asked.retries,
            timeout=asked.timeout,
            claim=runner.claim,
            fallback=runner.fallback,
            begin=runner.name not in reserves,
            **options,
        )
    return unusable


def _repository(repo: str | Path | None) -> str | None:
    """The repository that is meant: as given, or the one around the current folder; None when there is none."""
    if repo is None:
        here = Path.cwd()
        found = next((folder for folder in (here, *here.parents) if (folder / ".git").exists()), None)
        return str(found) if found else None
    if "://" in str(repo) or (":" in str(repo) and not Path(repo).exists() and "/" not in str(repo).partition(":")[0]):
        return str(repo)
    path = Path(repo).expanduser()
    if not path.exists():
        raise BadInput(f"there is no folder {path}", "Give the path of a git repository, or its address")
    if not path.is_dir():
        raise BadInput(f"{path} is a file, not a repository", "Give the folder that holds .git")
    return str(path.resolve())


def _options(runner: RunnerConfig, where: str) -> Mapping[str, object]:
    options = dict(runner.options)
    if runner.kind != "local":
        return options if "cwd" not in options else options | {"cwd": str((Path(where) / str(options["cwd"])).resolve())}
    repo = str(options.get("repo", "."))
    if "://" not in repo and not Path(repo).is_absolute():
        options["repo"] = str((Path(where) / repo).resolve())
    return options


