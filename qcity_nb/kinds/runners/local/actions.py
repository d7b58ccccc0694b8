"""Which `uses:` of a workflow can be answered on this machine: bundled actions, and those that somebody put below the home."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterable
from pathlib import Path

FOLDER = Path(__file__).parent / "actions"
BUNDLED = {
    "actions/setup-python": "setup-python",
    "actions/setup-node": "setup-node",
    "actions/cache": "cache",
    "actions/upload-artifact": "upload-artifact",
    "actions/download-artifact": "download-artifact",
}
CHECKOUT = "actions/checkout"  # act does it by itself
_USES = re.compile(r"(?P<repo>[\w.-]+/[\w.-]+)(?P<path>/[^@]*)?@(?P<ref>\S+)$")


def split(uses: str) -> tuple[str, str, str] | None:
    """`owner/name`, the path inside and the ref of a remote action; None for anything else."""
    found = _USES.match(uses.strip())
    return (found["repo"], (found["path"] or "").strip("/"), found["ref"]) if found else None


def find(uses: str, stored: Path) -> Path | None:
    """The folder that answers `uses`: bundled, or below `stored` as `<owner>/<name>/<ref>`."""
    parts = split(uses)
    if parts is None:
        return None
    repo, inside, ref = parts
    bundled = BUNDLED.get(repo.lower())
    folder = stored / repo / ref
    for root in [folder, *([FOLDER / bundled] if bundled else [])]:
        if any((root / inside / name).is_file() for name in ("action.yml", "action.yaml")):
            return root
    return None


def available(uses: str, stored: Path) -> bool:
    """Whether a step with this `uses` can run here without the network."""
    parts = split(uses)
    return parts is not None and (parts[0].lower() == CHECKOUT or find(uses, stored) is not None)


def install(wanted: Iterable[str], stored: Path, into: Path) -> list[str]:
    """Copy the actions that `wanted` names below `into` and return act's flags that make it use them.

    They are copied, because the job's uid may not reach the package's own folder.
    """
    flags: list[str] = []
    for number, uses in enumerate(sorted(set(wanted))):
        parts, folder = split(uses), find(uses, stored)
        if parts is None or folder is None:
            continue
        place = into / str(number)
        shutil.copytree(folder, place, symlinks=True, ignore=shutil.ignore_patterns(".git"))
        for one in (place, *place.rglob("*")):
            if not one.is_symlink():
                one.chmod(0o755)
        flags += ["--local-repository", f"{parts[0]}@{parts[2]}={place}"]
    return flags
