"""`.gitlab-ci.yml`: which jobs gitlab-ci-local finds in it at a commit, and why those that this machine leaves out are not run.

The file is somebody else's, so the tool reads it in the same cage that its jobs get. Never a green job that did not run.
"""

from __future__ import annotations

import functools
import itertools
import os
import shutil
import subprocess
from dataclasses import dataclass, replace
from pathlib import Path

import yaml

from ....decide import gitlab, nodes
from ....decide.actlog import clean
from ....errors import Refused
from ....io.files import walkable
from ....model.wire import RunJob
from ....model.work import BuildPlan, JobPlan
from ....ports import Cage
from ...sandboxes import release, uids
from ...sandboxes.folders import give, outermost, remove
from ...sandboxes.toolchains import visible
from .prepare import Setting, environment, folder_of
from .repository import Commit, Repository

FILE = ".gitlab-ci.yml"
EXECUTOR = "gitlab-ci-local"
VARIABLE = "QCITY_GITLAB_CI_LOCAL"
MISSING = "not run: gitlab-ci-local is not installed (npm install -g gitlab-ci-local)"
NO_RSYNC = "not run: gitlab-ci-local needs rsync, which is not installed (apt-get install rsync)"
SECONDS = 60
FLAGS = ("--no-color", "--max-job-name-padding", "0", "--container-executable", "none")
LISTS = '"$@" --list-json > jobs.json && "$@" --preview > file.yml'
_KEYWORDS = frozenset(
    (
        *("default", "include", "stages", "types", "variables", "workflow", "image", "services"),
        *("cache", "before_script", "after_script", "spec", "pages:deploy"),
    )
)
_numbers = itertools.count(1)


@dataclass(frozen=True, kw_only=True)
class Tool:
    """The program, and the folder that has to be readable for it."""

    program: Path
    root: Path


def tool() -> Tool:
    """The gitlab-ci-local of this machine, which really starts. Raises `Refused` with the sentence for a job's record."""
    found = shutil.which(os.environ.get(VARIABLE) or "gitlab-ci-local")
    if found is None:
        raise Refused(MISSING)
    program = Path(found).resolve()
    why = _broken(program, program.stat().st_mtime_ns)
    if why:
        raise Refused(f"not run: gitlab-ci-local does not start here: {why}")
    if shutil.which("rsync") is None:
        raise Refused(NO_RSYNC)
    root = next((one for one in program.parents if (one / "package.json").is_file()), program)
    return Tool(program=program, root=root)


@functools.lru_cache(maxsize=4)
def _broken(program: Path, _stamp: int) -> str:
    """Why the program does not start, or an empty text."""
    try:
        done = subprocess.run([program, "--version"], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=SECONDS, check=False)
    except (OSError, subprocess.SubprocessError) as error:
        return str(error)
    lines = [line for line in (done.stderr + done.stdout).splitlines() if line.strip()]
    return "" if done.returncode == 0 else lines[-1] if lines else f"exit code {done.returncode}"


def build(setting: Setting, sha: str, ref: str, commit: Commit) -> BuildPlan:
    """The build of a commit's GitLab file."""
    plan = BuildPlan(sha=sha, ref=ref, workflow=FILE, name=FILE, subject=commit.subject, author=commit.author, executor=EXECUTOR)
    try:
        root = nodes.parse(setting.repository.blob(sha, FILE).decode("utf-8", "replace"))
        try:
            told = listing(setting, sha, ref)
        except Refused as error:
            return replace(plan, jobs=tuple(JobPlan(key=name, name=name, refusal=error.what) for name in job_names(root)))
        jobs = gitlab.plans(told, root, path=FILE)
    except nodes.Fault as fault:
        return replace(plan, problem=f"{FILE}:{fault.line}: {fault.what}" if fault.line else f"{FILE} {fault.what}")
    warnings = (f"{FILE}: gitlab-ci-local does not look at `workflow: rules`",) if _workflow_rules(told) else ()
    return replace(plan, jobs=jobs, warnings=warnings, problem="" if jobs else f"{FILE} has no jobs that run by themselves")


def _workflow_rules(told: gitlab.Listed) -> bool:
    workflow = told.file.get("workflow")
    return isinstance(workflow, dict) and bool(workflow.get("rules"))


def job_names(root: yaml.Node) -> list[str]:
    """The jobs of a GitLab file as it is written: its top keys without keywords and hidden ones. Raises `Fault`."""
    names = [
        name for name, _, value in nodes.entries(root) if name not in _KEYWORDS and not name.startswith(".") and isinstance(value, yaml.MappingNode)
    ]
    if not names:
        raise nodes.Fault(0, "has no jobs")
    return names


@functools.lru_cache(maxsize=16)
def listing(setting: Setting, sha: str, ref: str) -> gitlab.Listed:
    """What the tool finds in the file at a commit.

    Raises:
        Refused: there is no tool that works here.
        Fault: the tool says that the file is wrong.
    """
    using = tool()
    plan = JobPlan(key="list", name="list")
    token = f"list-{os.getpid()}-{next(_numbers)}"
    order = RunJob(token=token, job=0, attempt=1, build=0, sha=sha, ref=ref, workflow=FILE, executor=EXECUTOR, plan=plan)
    leased, holds = uids.lease(1) if setting.own_uids else ([], [])
    uid = leased[0] if leased else None
    folder = folder_of(token, setting)
    try:
        checkout = check_out(order, setting)
        argv = ("/bin/bash", "-c", LISTS, "bash", *command(using, checkout, folder), "--no-json-schema-validation")
        env = {**cage_env(order, setting), "QCITY_TOKEN": token}
        cage = make_cage(folder, setting, using, uid=uid, env=env)
        if uid is not None:
            give(folder, uid)
        done = subprocess.run(
            setting.sandbox.wrap(argv, cage=cage),
            env=env,
            cwd="/",
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=SECONDS,
            check=False,
        )
        if done.returncode != 0:
            raise nodes.Fault(0, f"cannot be used: {complaint(done.stdout.decode('utf-8', 'replace'), done.returncode)}")
        return gitlab.listed(_text(folder / "jobs.json"), _text(folder / "file.yml"))
    except subprocess.TimeoutExpired:
        raise nodes.Fault(0, f"cannot be used: gitlab-ci-local took longer than {SECONDS} s to read it") from None
    finally:
        release(folder)
        remove(folder)
        for hold in holds:
            hold.close()


def _text(path: Path) -> str:
    if path.is_symlink() or path.stat().st_size > nodes.MAX_SIZE * 8:
        raise nodes.Fault(0, "is listed by gitlab-ci-local in a way that cannot be read")
    return path.read_text("utf-8", "replace")


def complaint(said: str, code: int) -> str:
    """The sentence in which the tool says what is wrong, out of all it printed."""
    lines = [line for one in said.splitlines() if (line := clean(one).strip()) and not line.startswith('{"leftovers"')]
    noise = ("Unable to retrieve", "Command failed with", "fatal: ref", "Using fallback", "parsing and downloads", "json schema", "at ")
    told = [line for line in lines if not line.startswith(noise)]
    return (" ".join(told[:3]) if told else f"gitlab-ci-local ended with exit code {code}")[:400]


def check_out(order: RunJob, setting: Setting) -> Path:
    """The checkout of an order in its fresh work folder."""
    folder = folder_of(order.token, setting)
    for path in (folder / ".tmp", folder / ".cache"):
        path.mkdir(parents=True)
    folder.chmod(0o700)
    checkout = folder / _name(setting.repository)
    setting.repository.checkout(order.sha, order.ref, checkout, shared=setting.level.rank == 2)
    with (checkout / ".git" / "config").open("a", encoding="utf-8") as file:
        # From this remote the tool learns group and project; the branch's name it takes for the default one's.
        file.write(f'[remote "gcl-origin"]\n\turl = https://gitlab.com/{setting.repository.slug}.git\n')
    return checkout


def _name(repository: Repository) -> str:
    return repository.slug.rpartition("/")[2]


def command(using: Tool, checkout: Path, folder: Path) -> tuple[str, ...]:
    """The tool with what holds for every call: its own files lie outside of the checkout."""
    own = folder / ".gcl"
    own.mkdir(exist_ok=True)
    return (str(using.program), "--cwd", checkout.name, "--state-dir", "../.gcl", "--home", str(folder), *FLAGS)


def cage_env(order: RunJob, setting: Setting) -> dict[str, str]:
    """The environment for the tool: a job's."""
    path, _ = visible(os.environ.get("PATH", os.defpath), never=[Path.home(), setting.home.root])
    return environment(order, setting, folder_of(order.token, setting), path)


def make_cage(folder: Path, setting: Setting, using: Tool, *, uid: int | None, env: dict[str, str]) -> Cage:
    """The cage for the tool. Raises `Refused` when another uid cannot reach the tool and nothing helps it."""
    if uid is not None and setting.level.rank < 2 and not walkable(using.root):
        raise Refused(f"not run: jobs run as another user, who cannot reach gitlab-ci-local in {using.root}")
    _, tools = visible(os.environ.get("PATH", os.defpath), never=[Path.home(), setting.home.root])
    shared = [setting.repository.objects] if setting.level.rank == 2 else []
    return Cage(
        work=folder,
        readable=outermost([*tools, using.root, *shared]),
        hidden=(setting.home.root, Path.home()),
        network=setting.options.network,
        uid=uid,
        limits=setting.options.limits,
        env=env,
    )
