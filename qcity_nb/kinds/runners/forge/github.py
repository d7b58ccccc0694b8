"""The kind `github`: GitHub's own runner, actions/runner, as its `bin/Runner.Listener` and not as `run.sh`, which hides most failures.

Sources: actions/runner at 2.336: `Constants.cs` (exit codes), `CommandSettings.cs` (inputs by environment), ADR 1751 (hooks).
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict, replace
from datetime import timedelta
from pathlib import Path

from ....decide import agentlog
from ....decide.redact import redact
from ....decide.wording import line
from ....errors import PlatformError
from ....model.agent import Wanted
from ....model.home import Home
from ....model.service import Exit, ServiceSpec
from ....ports import Launch, Registration
from . import options as told
from . import tempo
from .options import Options, clean

SIGINT = 2
"""How the listener is asked to stop, as the shipped service does it."""
GRACE = timedelta(seconds=tempo.real(timedelta(seconds=30)))
CONFIGURE_SECONDS = 120
REGISTRATION = (".runner", ".credentials", ".credentials_rsaparams", ".runner_migrated", ".credentials_migrated")
HOOKS = {"ACTIONS_RUNNER_HOOK_JOB_STARTED": "started.sh", "ACTIONS_RUNNER_HOOK_JOB_COMPLETED": "completed.sh"}


class Program:
    """The listener's ways."""

    forge = "github"
    single_use = True

    def configured(self, root: Path) -> int | None:
        """The agent's id in `.runner`, whose keys come in any case and with a byte order mark at times."""
        try:
            found = json.loads((root / ".runner").read_text("utf-8-sig"))
        except (OSError, ValueError):
            return None
        with contextlib.suppress(TypeError, ValueError, AttributeError):
            return int({key.lower(): value for key, value in found.items()}.get("agentid") or 0)
        return 0

    def configure(self, root: Path, wanted: Wanted, given: Registration, *, url: str) -> None:
        """Register with a token. It goes through the environment, and the listener takes it out of there."""
        argv = [str(root / "bin/Runner.Listener"), "configure", "--unattended", "--url", f"{url}/{wanted.scope}", "--name", wanted.name]
        argv += ["--labels", ",".join(wanted.labels), "--work", "_work"]
        argv += ["--runnergroup", wanted.group] if wanted.group else []
        argv += ["--ephemeral"] if wanted.ephemeral else []
        env = {**clean(os.environ), "ACTIONS_RUNNER_INPUT_TOKEN": given.secret}
        try:
            ended = subprocess.run(argv, cwd=root, env=env, capture_output=True, text=True, errors="replace", timeout=CONFIGURE_SECONDS, check=False)
        except subprocess.TimeoutExpired:
            raise PlatformError("the registration did not end in two minutes", "It is tried again", kind="unreachable", layer="http") from None
        if ended.returncode == 0:
            return
        said = redact(f"{ended.stdout}\n{ended.stderr}".strip(), known=[given.secret])
        sys.stdout.write(f"{said}\n")
        clues = {clue.name for clue in agentlog.clues(said.splitlines())}
        taken = "exists with the same name" in said or "already exists" in said
        kind = "not_found" if "register_not_found" in clues else "conflict" if taken else "invalid"
        last = next((text for text in reversed(said.splitlines()) if text.strip()), "")
        raise PlatformError(f"GitHub's runner could not be registered: {line(last, limit=200)}", "Check owner/name and the token", kind=kind)

    def unconfigure(self, root: Path) -> None:
        """What `config.sh remove --local` does."""
        for name in REGISTRATION:
            (root / name).unlink(missing_ok=True)

    def command(self, root: Path, options: Options, given: Registration | None) -> tuple[list[str], dict[str, str]]:
        """The listener; a just-in-time configuration is read from its environment and removed there."""
        env = {"ACTIONS_RUNNER_RETURN_VERSION_DEPRECATED_EXIT_CODE": "1"}
        if given is not None and given.jit:
            env["ACTIONS_RUNNER_INPUT_JITCONFIG"] = given.secret
        if options.allow_root:
            env["RUNNER_ALLOW_RUNASROOT"] = "1"
        if options.hooks:
            env |= {name: str(root / ".qcity" / script) for name, script in HOOKS.items() if (root / ".qcity" / script).exists()}
        return [str(root / "bin/Runner.Listener"), "run"], env


class GitHub:
    """A runner of a repository or an organisation on GitHub.

    Options: `repo` (owner/name) or `org`, `url` of an enterprise server, `ephemeral` (default), `group`, `version` to pin one, `allow_root`, `hooks`.
    """

    takes_jobs = False
    speaks = True
    beats = False
    attended = True

    def check(self, spec: ServiceSpec) -> ServiceSpec:
        """The specification with its scope, labels and way to stop.

        Raises:
            BadInput: an option cannot be used.
            Refused: the terms of this machine forbid it.
        """
        options = told.parse("github", spec)
        told.permitted(options)
        return replace(spec, options=asdict(options), labels=options.labels, stop_signal=SIGINT, grace=max(spec.grace, GRACE))

    def launch(self, spec: ServiceSpec, *, home: Home) -> Launch:
        """Our opening, which turns into the agent."""
        return opening(spec, home, told.parse("github", spec))

    def natural(self, how: Exit, words: Sequence[str]) -> str:
        """An ephemeral runner that has done its job, and an update that waits to be started."""
        last = [clue.name for clue in agentlog.clues(words)][-1:]
        if how.code == 0 and last == ["completed"]:
            return "its job is done"
        return "it updates itself" if how.code in (3, 4) and last in (["update_exit"], ["update_finished"]) else ""


def opening(spec: ServiceSpec, home: Home, options: Options) -> Launch:
    """How an agent's life begins; no token is in its environment."""
    argv = (sys.executable, "-m", __package__ or "", "--home", str(home.root), "--name", spec.name)
    return Launch(argv=argv, env={**clean(os.environ), told.VARIABLE: options.dump(), "PYTHONUNBUFFERED": "1"}, cwd=home.service(spec.name))


PROGRAM = Program()
KIND = GitHub()
