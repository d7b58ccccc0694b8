"""What the runner reads of a git repository, and the checkout that a job gets. Nothing of the repository's own configuration or hooks runs."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ....errors import BadInput, MissingTool

_SLUG = re.compile(r"[/:]([\w.-]+)/([\w.-]+?)(?:\.git)?/?$")
FETCH_SECONDS = 120


class GitError(Exception):
    """A git command failed; the text is what git said last."""


@dataclass(frozen=True, kw_only=True)
class Commit:
    """What a build says about its commit."""

    sha: str
    subject: str
    author: str
    message: str


def is_url(repo: str) -> bool:
    """Whether `repo` names a place to fetch from rather than a folder here."""
    return "://" in repo or bool(re.match(r"[\w.-]+@[\w.-]+:", repo))


def git_env() -> dict[str, str]:
    """The environment for every git command: ours without git's own variables, nobody is asked, no hook and no monitor is started."""
    env = {name: value for name, value in os.environ.items() if not name.startswith("GIT_") or name in ("GIT_SSH_COMMAND", "GIT_SSL_CAINFO")}
    settings = {"safe.directory": "*", "core.hooksPath": os.devnull, "core.fsmonitor": "false", "uploadpack.allowAnySHA1InWant": "true"}
    env |= {"GIT_TERMINAL_PROMPT": "0", "GIT_OPTIONAL_LOCKS": "0", "LC_ALL": "C.UTF-8", "GIT_CONFIG_COUNT": str(len(settings))}
    for number, (name, value) in enumerate(settings.items()):
        env |= {f"GIT_CONFIG_KEY_{number}": name, f"GIT_CONFIG_VALUE_{number}": value}
    return env


def git(*args: str, cwd: Path | None = None, timeout: float = 60) -> bytes:
    """What a git command prints.

    Raises:
        MissingTool: git is not installed.
        GitError: it failed or took too long.
    """
    try:
        done = subprocess.run(
            ["git", *args],
            cwd=cwd,
            env=git_env(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=timeout,
            check=False,
            start_new_session=True,
        )
    except FileNotFoundError:
        raise MissingTool("git is not installed", "Install it: apt-get install git") from None
    except subprocess.TimeoutExpired:
        raise GitError(f"git {args[0]} took longer than {timeout:.0f} s") from None
    if done.returncode != 0:
        lines = [line for line in done.stderr.decode("utf-8", "replace").splitlines() if line.strip()]
        told = next((line for line in lines if line.startswith(("fatal:", "error:"))), lines[-1] if lines else f"exit code {done.returncode}")
        raise GitError(told.removeprefix("fatal: ").removeprefix("error: "))
    return done.stdout


class Repository:
    """A git repository on this machine.

    Args:
        folder: its git folder (of a worktree: the common one).
        origin: where it came from, as the job's remote `origin`.
    """

    def __init__(self, folder: Path, origin: str) -> None:
        self.folder, self.origin = folder, origin

    def _git(self, *args: str, timeout: float = 60) -> bytes:
        return git(f"--git-dir={self.folder}", *args, timeout=timeout)

    @property
    def slug(self) -> str:
        """`owner/name`, from the remote where there is one, else `local/<folder>`."""
        found = _SLUG.search(self.origin) if is_url(self.origin) else None
        if found:
            return f"{found[1]}/{found[2]}"
        name = self.folder.parent.name if self.folder.name == ".git" else self.folder.name.removesuffix(".git")
        return "local/" + (re.sub(r"[^\w.-]+", "-", name, flags=re.ASCII).strip("-.") or "repository")

    @property
    def objects(self) -> Path:
        """Where its objects are."""
        return self.folder / "objects"

    def refs(self, *prefixes: str) -> dict[str, str]:
        """The refs below the prefixes with their commits (annotated tags as the tag's own object)."""
        raw = self._git("for-each-ref", "--format=%(objectname) %(refname)", *prefixes).decode("utf-8", "surrogateescape")
        return {name: sha for sha, _, name in (line.partition(" ") for line in raw.splitlines())}

    def signature(self) -> tuple[object, ...]:
        """Something cheap that changes whenever a branch moves, so that git need not be asked."""
        found: list[object] = []
        for folder, names, files in os.walk(self.folder / "refs" / "heads"):
            names.sort()
            for name in sorted(files):
                found.append((folder, name, _stamp(Path(folder, name))))
        reftable = self.folder / "reftable"
        return (*found, _stamp(self.folder / "packed-refs"), _stamp(self.folder / "HEAD"), _stamp(reftable / "tables.list"))

    def between(self, old: str, new: str, *, most: int) -> tuple[list[str], int]:
        """The first-parent commits after `old` up to `new`, oldest first, at most the `most` newest, and how many were left out."""
        listed = self._git("rev-list", "--first-parent", new, f"^{old}").decode().split()
        return listed[:most][::-1], max(0, len(listed) - most)

    def has(self, sha: str) -> bool:
        """Whether the commit is there."""
        try:
            self._git("cat-file", "-e", f"{sha}^{{commit}}")
        except GitError:
            return False
        return True

    def commit(self, sha: str) -> Commit:
        """Subject, author and message of a commit."""
        raw = self._git("log", "-1", "--no-show-signature", "--format=%H%x00%s%x00%an%x00%B", sha).decode("utf-8", "replace")
        found, subject, author, message = raw.split("\0", 3)
        return Commit(sha=found, subject=subject, author=author, message=message)

    def changed(self, sha: str) -> list[str]:
        """The paths that a commit changed, against its first parent."""
        parents = self._git("rev-list", "--parents", "-1", sha).decode().split()[1:]
        between = [parents[0], sha] if parents else ["--root", sha]
        raw = self._git("diff-tree", "-r", "-z", "--name-only", "--no-commit-id", "--no-renames", *between)
        return [one.decode("utf-8", "replace") for one in raw.split(b"\0") if one]

    def listing(self, sha: str, folder: str) -> dict[str, int]:
        """The files of a folder at a commit with their sizes; empty when it is not there."""
        raw = self._git("ls-tree", "-z", "-l", sha, *([folder] if folder else []))
        found: dict[str, int] = {}
        for entry in raw.split(b"\0"):
            head, tab, path = entry.partition(b"\t")
            fields = head.split()
            if tab and fields[1] == b"blob":
                found[path.decode("utf-8", "surrogateescape")] = int(fields[3])
        return found

    def blob(self, sha: str, path: str) -> bytes:
        """The content of a file at a commit."""
        return self._git("cat-file", "blob", f"{sha}:{path}")

    def checkout(self, sha: str, ref: str, into: Path, *, shared: bool) -> None:
        """A working copy of the commit with `ref` checked out.

        Args:
            shared: borrow the objects instead of copying them; then this repository's `objects` must be readable by the job.
        """
        shared = shared and not (self.objects / "info" / "alternates").exists()
        inside = into / ".git"
        for name in ("objects/info", "refs/heads", "refs/tags", "info"):
            (inside / name).mkdir(parents=True)
        branch = ref.removeprefix("refs/heads/")
        detached = not ref.startswith("refs/heads/")
        extension = "[extensions]\n\tobjectformat = sha256\n" if len(sha) == 64 else ""
        config = (
            f'[core]\n\trepositoryformatversion = {1 if extension else 0}\n\tbare = false\n\tlogallrefupdates = true\n{extension}[remote "origin"]\n'
        )
        # act learns owner and name from a remote that looks like GitHub's.
        github = f'[remote "qcity"]\n\turl = https://github.com/{self.slug}\n'
        quoted = self.origin.replace("\\", "\\\\").replace('"', '\\"')
        (inside / "config").write_text(f'{config}\turl = "{quoted}"\n\tfetch = +refs/heads/*:refs/remotes/origin/*\n{github}')
        (inside / "HEAD").write_text(f"{sha}\n" if detached else f"ref: {ref}\n")
        refs = self.refs("refs/tags")
        if shared:
            (inside / "objects/info/alternates").write_bytes(os.fsencode(self.objects) + b"\n")
            if (self.folder / "shallow").exists():
                shutil.copyfile(self.folder / "shallow", inside / "shallow")
        else:
            git(f"--git-dir={inside}", "fetch", "-q", "--no-tags", str(self.folder), sha, timeout=FETCH_SECONDS)
            refs = {}
        if not detached:
            refs[f"refs/remotes/origin/{branch}"] = sha
        # A loose one, because act copies files only: without any in `refs` the copy would be no repository.
        loose = inside / (ref if ref.startswith("refs/") else "refs/heads/qcity")
        loose.parent.mkdir(parents=True, exist_ok=True)
        loose.write_text(sha + "\n")
        refs.pop(ref, None)
        packed = "".join(f"{one} {name}\n" for name, one in sorted(refs.items()))
        (inside / "packed-refs").write_text("# pack-refs with: sorted \n" + packed, encoding="utf-8", errors="surrogateescape")
        git("-c", "core.autocrlf=false", "reset", "-q", "--hard", sha, cwd=into, timeout=FETCH_SECONDS)


def _stamp(path: Path) -> tuple[int, int, int] | None:
    try:
        stat = path.stat()
    except OSError:
        return None
    return stat.st_mtime_ns, stat.st_size, stat.st_ino


def open_folder(path: Path) -> Repository:
    """The repository at a path: a work tree, a worktree or a bare one.

    Raises:
        BadInput: there is none.
    """
    if not path.exists():
        raise BadInput(f"{path} does not exist", "Give the path or the URL of a git repository")
    if not path.is_dir():
        raise BadInput(f"{path} is not a folder", "Give the path or the URL of a git repository")
    try:
        # Only the folder itself counts: a repository further up would be somebody else's.
        said = git("rev-parse", "--path-format=absolute", "--git-common-dir", "--show-cdup", cwd=path).decode("utf-8", "surrogateescape")
    except GitError as error:
        raise BadInput(f"{path} is not a git repository ({error})", "Run git init in it, or give the path or the URL of a git repository") from None
    folder = Path(said.splitlines()[0])
    if said.splitlines()[1:2] not in ([], [""]):
        top = (path / said.splitlines()[1]).resolve()
        raise BadInput(f"{path} is inside of the git repository {top}", f"Give {top} itself")
    try:
        origin = git(f"--git-dir={folder}", "config", "--get", "remote.origin.url").decode().strip()
    except GitError:
        origin = ""
    return Repository(folder, origin or str(path))


def mirror(url: str, folder: Path) -> Repository:
    """The bare mirror of a URL in `folder`, made when it is not there yet; nothing is fetched."""
    if not (folder / "HEAD").exists():
        folder.mkdir(parents=True, exist_ok=True)
        git("init", "-q", "--bare", str(folder))
    return Repository(folder, url)


def fetch(repository: Repository, *, timeout: float = FETCH_SECONDS) -> None:
    """Bring a mirror up to date. Raises `GitError` when the other side cannot be reached."""
    specs = ("+refs/heads/*:refs/heads/*", "+refs/tags/*:refs/tags/*")
    git(f"--git-dir={repository.folder}", "fetch", "-q", "--prune", "--no-auto-gc", repository.origin, *specs, timeout=timeout)


def find_tool(name: str, env: Mapping[str, str], beside: Sequence[Path] = ()) -> Path | None:
    """The real path of a program: on PATH, else in one of the folders `beside`."""
    found = shutil.which(name, path=os.pathsep.join([env.get("PATH", os.defpath), *map(str, beside)]))
    return Path(found).resolve() if found else None
