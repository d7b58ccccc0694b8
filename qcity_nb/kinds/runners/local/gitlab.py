"""`.gitlab-ci.yml`: which jobs it has, and why they are not run. Never a green job that did not run."""

from __future__ import annotations

import os
import shutil
from dataclasses import replace

import yaml

from ....decide import nodes
from ....model.work import BuildPlan, JobPlan
from .prepare import Setting
from .repository import Commit

FILE = ".gitlab-ci.yml"
EXECUTOR = "gitlab-ci-local"
MISSING = "not run: gitlab-ci-local is not installed (npm install -g gitlab-ci-local)"
UNUSED = "not run: gitlab-ci-local is installed and this runner cannot drive it yet"
_KEYWORDS = frozenset(
    (
        "default",
        "include",
        "stages",
        "types",
        "variables",
        "workflow",
        "image",
        "services",
        "cache",
        "before_script",
        "after_script",
        "spec",
        "pages:deploy",
    )
)


def build(setting: Setting, sha: str, ref: str, commit: Commit) -> BuildPlan:
    """The build of a commit's GitLab file."""
    plan = BuildPlan(sha=sha, ref=ref, workflow=FILE, name=FILE, subject=commit.subject, author=commit.author, executor=EXECUTOR)
    try:
        names = job_names(setting.repository.blob(sha, FILE).decode("utf-8", "replace"))
    except nodes.Fault as fault:
        return _with(plan, problem=f"{FILE}:{fault.line}: {fault.what}" if fault.line else f"{FILE} {fault.what}")
    refusal = UNUSED if shutil.which(os.environ.get("QCITY_GITLAB_CI_LOCAL", "gitlab-ci-local")) else MISSING
    return _with(plan, jobs=tuple(JobPlan(key=name, name=name, refusal=refusal) for name in names))


def _with(plan: BuildPlan, *, jobs: tuple[JobPlan, ...] = (), problem: str = "") -> BuildPlan:
    return replace(plan, jobs=jobs, problem=problem)


def job_names(text: str) -> list[str]:
    """The jobs of a GitLab file: its top keys without keywords and hidden ones. Raises `Fault`."""
    root = nodes.parse(text)
    names = [
        name for name, _, value in nodes.entries(root) if name not in _KEYWORDS and not name.startswith(".") and isinstance(value, yaml.MappingNode)
    ]
    if not names:
        raise nodes.Fault(0, "has no jobs")
    return names
