"""Making ready for one attempt at one job of a GitLab file: gitlab-ci-local runs just that job, with the artifacts of those before it."""

from __future__ import annotations

import base64
import json
import os
import re
import shutil
import time
from pathlib import Path

from ....decide import gitlab as plans
from ....decide.gitlablog import GitlabLog
from ....model.wire import RunJob
from ...sandboxes.folders import give
from . import gitlab
from .options import job_env
from .prepare import OWN, Prepared, Setting, folder_of

REPORTS = ".gitlab-ci-reports"
OVER = "on-failure.yml"
# The tool's artifacts become the runner's, in a folder of the job's own name, whatever the job's end was.
RUN = 'place=$1 target=$2; shift 2; "$@"; code=$?; if [ -d "$place" ]; then mv "$place" "$target"; fi; exit $code'
_UNSAFE = re.compile(r"[^A-Za-z0-9_-]+")
_SECRET = re.compile(r"token|secret|passw|key|credential", re.IGNORECASE)


def prepare(order: RunJob, setting: Setting, *, uid: int | None) -> Prepared:
    """Make everything ready for an attempt. The folder is made even when this raises, and is the caller's to remove."""
    using = gitlab.tool()
    told = gitlab.listing(setting, order.sha, order.ref)
    name = order.plan.name
    folder = folder_of(order.token, setting)
    checkout = gitlab.check_out(order, setting)
    own = folder / OWN
    (own / "artifacts").mkdir(parents=True)
    env = gitlab.cage_env(order, setting)
    argv = [*gitlab.command(using, checkout, folder), "--no-json-schema-validation", "--no-needs", "--no-artifacts-to-source"]
    state = folder / ".gcl" / "artifacts"
    for giver in plans.givers(told, name):
        _lay_out(setting.home.artifacts / str(order.build) / artifact_name(giver), checkout, state / safe(giver))
    if order.plan.condition == "on_failure":
        argv += ["--file", _always(folder, order.plan.key, told)]
    cage = gitlab.make_cage(folder, setting, using, uid=uid, env=env)
    if uid is not None:
        give(folder, uid)
    wrapped = ("/bin/bash", "-c", RUN, "bash", str(state / safe(name)), str(own / "artifacts" / artifact_name(name)), *argv, name)
    before = told.body(name).get("before_script")
    known = [value for key, value in job_env(setting.options.env).items() if _SECRET.search(key)]
    count = len(before) if isinstance(before, list) else 1 if before else 0
    reader = GitlabLog(job=name, before=count, clock=time.monotonic, allow=order.plan.allow_failure, known=known)
    return Prepared(folder=folder, argv=setting.sandbox.wrap(wrapped, cage=cage), env=env, log=reader)


def safe(name: str) -> str:
    """A job's name as the tool has it in its folders."""
    return _UNSAFE.sub(lambda found: base64.urlsafe_b64encode(found[0].encode()).decode().rstrip("="), name)


def artifact_name(name: str) -> str:
    """The folder of a job's artifacts: its name, or the tool's form of it when that is no name for a folder."""
    return safe(name) if "/" in name or name.startswith(".") or len(name.encode()) > 200 else name


def _lay_out(given: Path, checkout: Path, state: Path) -> None:
    """Copy a job's artifacts into the checkout, its reports where the tool looks for variables.

    A commit can hold links that lead out of the checkout: whatever is in the way of an artifact is taken away and never followed.
    """
    for place, folders, files in os.walk(given):
        inside = Path(place).relative_to(given)
        into = state if inside.parts[:1] == (REPORTS,) else checkout
        if inside == Path():
            folders[:] = [one for one in folders if one != ".git"]
        for name in (*folders, *files):
            target = (state if name == REPORTS and inside == Path() else into) / inside / name
            if target.is_symlink() or target.is_file():
                target.unlink()
            if name in folders:
                target.mkdir(parents=True, exist_ok=True)
            elif not target.exists():
                shutil.copy2(Path(place, name), target)


def _always(folder: Path, key: str, told: plans.Listed) -> str:
    """A file that adds to the repository's own what makes the tool run an `on_failure` job: alone, it knows of no failure."""
    rules = ", rules: [{when: always}]" if told.body(key).get("rules") else ""
    (folder / OVER).write_text(f"include: [{{local: {gitlab.FILE}}}]\n{json.dumps(key)}: {{when: always{rules}}}\n", encoding="utf-8")
    return f"../{OVER}"
