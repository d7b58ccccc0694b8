"""Which folders of PATH a job keeps when home folders are hidden: whole toolchains, read-only, and nothing else of the home.

A shim folder is replaced by what its shims lead to, because a shim needs the home it was made in.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

SYSTEM = ("/usr", "/bin", "/sbin", "/opt", "/nix")


def visible(path: str, *, never: Sequence[Path] = ()) -> tuple[str, tuple[Path, ...]]:
    """The PATH for a job and the folders that have to be readable for it.

    Args:
        never: folders that stay hidden as a whole; an entry that is one of them or above one is dropped.
    """
    entries: list[str] = []
    readable: list[Path] = []
    for one in _expanded(path):
        if str(one) in entries or not one.is_dir():
            continue
        entries.append(str(one))
        if not any(one.is_relative_to(top) for top in SYSTEM):
            readable += [each for each in _toolchain(one) if not any(home.is_relative_to(each) for home in never)]
    return os.pathsep.join(entries), tuple(dict.fromkeys(readable))


def _expanded(path: str) -> list[Path]:
    found: list[Path] = []
    for text in path.split(os.pathsep):
        one = Path(text)
        if not text or not one.is_absolute():
            continue
        if one.name == "shims" and (one.parent / "versions").is_dir():
            found += _versions(one.parent)
        elif not (one.name == "bin" and (one.parent / "shims").is_dir()):  # a version manager's own program
            found.append(one)
    return found


def _versions(root: Path) -> list[Path]:
    """The bin folders of a pyenv's (or rbenv's, nodenv's) versions, the chosen ones first, then the newest."""
    try:
        chosen = (root / "version").read_text().split()
    except OSError:
        chosen = []
    names = [one.name for one in (root / "versions").iterdir() if (one / "bin").is_dir()]
    names.sort(key=lambda name: [int(part) if part.isdigit() else -1 for part in name.split(".")], reverse=True)
    return [root / "versions" / name / "bin" for name in dict.fromkeys([*(one for one in chosen if one in names), *names])]


def _toolchain(folder: Path) -> list[Path]:
    """What the programs of a PATH folder need: a virtual environment and its base, a version's prefix, else the folder alone."""
    prefix = folder.parent
    config = prefix / "pyvenv.cfg"
    if folder.name in ("bin", "Scripts") and config.is_file():
        base = [Path(value.strip()) for key, _, value in (line.partition("=") for line in config.read_text().splitlines()) if key.strip() == "home"]
        return [prefix, *(one.resolve().parent for one in base if one.is_dir() and not str(one).startswith(SYSTEM))]
    if folder.name == "bin" and prefix.parent.name in ("versions", "installs", "toolchains", "candidates"):
        return [prefix]
    if folder.name == "bin" and (prefix / "conda-meta").is_dir():
        return [prefix]
    return [folder]
