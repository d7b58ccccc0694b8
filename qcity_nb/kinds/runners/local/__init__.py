"""The runner that executes a repository's own workflows on this machine: what can be told to it, and how its worker is started."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from datetime import timedelta
from pathlib import Path

from ....errors import MissingTool
from ....model.home import Home
from ....model.service import Exit, ServiceSpec
from ....ports import Launch
from ... import sandboxes
from . import options, prepare, repository

GRACE = timedelta(seconds=15)  # a stop gives running jobs time for their `always()` steps


class Local:
    """The kind `local`."""

    takes_jobs = True
    speaks = True
    beats = True
    attended = False

    def natural(self, how: Exit, words: Sequence[str]) -> str:
        """A worker ends only when it is told to."""
        return ""

    def check(self, spec: ServiceSpec) -> ServiceSpec:
        """The specification with repository, labels and limits filled in.

        Raises:
            BadInput: an option is wrong or the repository cannot be used.
            MissingTool: git or act is not installed.
            Refused: the machine's sandbox is weaker than asked for.
        """
        given = options.parse(spec.options, runner=spec.name)
        if shutil.which("git") is None:
            raise MissingTool("git is not installed", "Install it: apt-get install git")
        if not repository.is_url(given.repo):
            repository.open_folder(Path(given.repo))
        prepare.act_program()
        sandboxes.best(given.sandbox)
        filled: Mapping[str, object] = {**asdict(given), "sandbox": given.sandbox.value, "branches": list(given.branches), "env": list(given.env)}
        return replace(spec, options=filled, labels=spec.labels or (*options.LABELS, *options.UBUNTU), grace=max(spec.grace, GRACE))

    def launch(self, spec: ServiceSpec, *, home: Home) -> Launch:
        """How to start the worker. Its options go through the environment; they hold no secrets."""
        argv = (sys.executable, "-m", __name__, "--home", str(home.root), "--name", spec.name)
        env = {**os.environ, options.VARIABLE: options.parse(spec.options, runner=spec.name).dump(), "PYTHONUNBUFFERED": "1"}
        return Launch(argv=argv, env=env, cwd=home.service(spec.name))


KIND = Local()
