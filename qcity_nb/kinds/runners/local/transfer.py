"""Moving what a job leaves (artifacts, caches) out of its work folder, without trusting a single name or link in it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from ....model.work import Artifact
from ...sandboxes.folders import replace, tame
from .prepare import OWN


def take_artifacts(folder: Path, into: Path, *, home: Path) -> tuple[list[Artifact], list[str]]:
    """Move the artifacts of an ended job to `into` (the build's folder) and describe them, with a sentence for each that could not be moved."""
    taken: list[Artifact] = []
    problems: list[str] = []
    for source in _folders(folder / OWN / "artifacts"):
        target = into / source.name
        try:
            size, files = tame(source)
            into.mkdir(parents=True, exist_ok=True)
            replace(source, target)
        except OSError as error:
            problems.append(f'artifact "{source.name}" could not be kept: {error.strerror or error}')
            continue
        taken.append(Artifact(name=source.name, path=str(target.relative_to(home)), size=size, files=files))
    return taken, problems


def take_caches(folder: Path, into: Path) -> list[str]:
    """Move the caches of an ended job to `into`; a key that is there already is kept, as GitHub does. Returns sentences for what failed."""
    problems: list[str] = []
    for source in _folders(folder / OWN / "cache"):
        target = into / source.name
        if target.exists():
            continue
        try:
            tame(source, links=True)
            into.mkdir(parents=True, exist_ok=True)
            replace(source, target)
        except OSError as error:
            problems.append(f'cache "{source.name}" could not be kept: {error.strerror or error}')
    return problems


def _folders(above: Path) -> Iterator[Path]:
    """The real folders in a folder that a job could write."""
    if above.is_symlink() or above.parent.is_symlink() or not above.is_dir():
        return
    for one in sorted(above.iterdir()):
        if one.is_dir() and not one.is_symlink() and not one.name.startswith("."):
            yield one
