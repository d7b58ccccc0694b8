"""Official agents on disk: fetched with their platform's checksum, unpacked beside, put in place in one step, rolled back when one fails.

Below `packages/<forge>/` of the home lies one pristine folder for each version; an agent's own folder is made of hard links to it.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import stat
import tarfile
from pathlib import Path, PurePosixPath

from ....errors import BadInput, Refused
from ....model.agent import Package
from ....model.home import Home
from ...forges.http import download

VERSION = ".qcity-version"
"""In an agent's folder: which package it was made of."""
UNUSED = "It was thrown away and nothing of it was used"
KEEP = 3
"""How many versions are kept to go back to."""
OWN_FILES = (".runner", ".credentials", ".credentials_rsaparams", ".env", ".path", "_diag", "_work", "config.toml")
"""What belongs to a registration or a job, not to a package: it survives another version."""


def cached(home: Home, forge: str) -> list[str]:
    """The versions that are here, newest first."""
    folder = home.root / "packages" / forge
    found = [path.name for path in folder.glob("*") if path.is_dir() and not path.name.startswith(".")] if folder.exists() else []
    return sorted(found, key=order, reverse=True)


def order(version: str) -> tuple[int, ...]:
    """How versions are compared: by their numbers."""
    return tuple(int(part) for part in version.split(".") if part.isdigit())


def fetch(home: Home, forge: str, package: Package) -> Path:
    """The pristine folder of a package, fetched if it is not here.

    Raises:
        Refused: its checksum is missing or differs, or its archive reaches outside its folder.
        PlatformError: it could not be fetched.
        OSError: the disk does not take it.
    """
    folder = home.root / "packages" / forge
    target = folder / package.version
    if target.is_dir():
        return target
    folder.mkdir(parents=True, exist_ok=True)
    archive, part = folder / f".{package.filename}", folder / f".{package.version}.{os.getpid()}"
    shutil.rmtree(part, ignore_errors=True)
    try:
        download(package.url, archive, sha256=package.sha256, who={"github": "GitHub", "gitlab": "GitLab"}[forge])
        part.mkdir()
        if package.filename.endswith((".tar.gz", ".tgz")):
            unpack(archive, part)
        else:
            shutil.move(archive, part / "gitlab-runner")
            (part / "gitlab-runner").chmod(0o755)
        with contextlib.suppress(FileExistsError, OSError):  # another agent was quicker
            part.rename(target)
        if not target.is_dir():
            raise OSError(28, "the package could not be put in place", str(target))
    finally:
        archive.unlink(missing_ok=True)
        shutil.rmtree(part, ignore_errors=True)
    _forget(folder, keep=package.version)
    return target


def unpack(archive: Path, into: Path) -> None:
    """Unpack a .tar.gz, each member of it below `into`.

    Raises:
        Refused: it is damaged, or a member or a link of it reaches outside.
    """
    try:
        with tarfile.open(archive) as file:
            for member in file:
                _refuse_outside(member, archive.name.lstrip("."))
                member.uid, member.gid, member.uname, member.gname = os.getuid(), os.getgid(), "", ""
                member.mode = (member.mode & 0o755) | stat.S_IRUSR | stat.S_IWUSR
                file.extract(member, into, set_attrs=True)
    except (tarfile.TarError, EOFError, OSError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise
        todo = "It was thrown away; it is fetched again at the next start"
        raise Refused(f"the archive {archive.name.lstrip('.')} is damaged ({error})", todo) from error


def install(pristine: Path, root: Path) -> None:
    """Make an agent's folder of a package; what belongs to its registration and its jobs stays."""
    part = root.with_name(f".{root.name}.{os.getpid()}")
    shutil.rmtree(part, ignore_errors=True)
    shutil.copytree(pristine, part, symlinks=True, copy_function=_link)
    for name in OWN_FILES:
        if (root / name).exists():
            os.replace(root / name, part / name)
    (part / VERSION).write_text(pristine.name)
    shutil.rmtree(root, ignore_errors=True)
    part.rename(root)


def installed(root: Path) -> str:
    """The version of an agent's folder; an agent that updated itself says it by its `bin` link; empty when there is none."""
    with contextlib.suppress(OSError):
        if (root / "bin").is_symlink():
            return str((root / "bin").readlink()).rpartition("bin.")[2]
    with contextlib.suppress(OSError):
        return (root / VERSION).read_text().strip()
    return ""


def choose(offered: list[Package], *, pinned: str, failed: frozenset[str]) -> Package | None:
    """Which package to use: the pinned one, else the newest that has not failed here; None when what is offered has.

    Raises:
        BadInput: the pinned version is not offered.
    """
    if pinned:
        for package in offered:
            if package.version == pinned:
                return package
        there = ", ".join(package.version for package in offered)
        raise BadInput(f"version {pinned} is not offered", f"There is: {there}. Leave the version out, or take one that is cached")
    good = [package for package in offered if package.version not in failed]
    return max(good, key=lambda package: order(package.version)) if good else None


def _refuse_outside(member: tarfile.TarInfo, archive: str) -> None:
    """Refuse absolute names, `..`, devices, and links that lead out of the folder."""
    names = [member.name]
    if member.issym():
        names.append(str(PurePosixPath(member.name).parent / member.linkname))
    elif member.islnk():
        names.append(member.linkname)
    for name in names:
        depth = 0
        for part in PurePosixPath(name).parts:
            depth += {"..": -1, ".": 0}.get(part, 1)
            if depth < 0 or part.startswith("/"):
                raise Refused(f"the archive {archive} holds {member.name}, which leads outside its folder", UNUSED)
    if not (member.isfile() or member.isdir() or member.issym() or member.islnk()):
        raise Refused(f"the archive {archive} holds {member.name}, which is neither a file nor a folder", UNUSED)


def _link(source: str, target: str) -> str:
    try:
        os.link(source, target, follow_symlinks=False)
    except OSError:
        shutil.copy2(source, target, follow_symlinks=False)
    return target


def _forget(folder: Path, *, keep: str) -> None:
    versions = sorted((path.name for path in folder.iterdir() if path.is_dir() and not path.name.startswith(".")), key=order, reverse=True)
    for version in versions[KEEP:]:
        if version != keep:
            shutil.rmtree(folder / version, ignore_errors=True)
