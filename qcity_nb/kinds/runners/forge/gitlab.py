"""The kind `gitlab`: GitLab's own gitlab-runner with the shell executor; `run-single` when it is ephemeral.

Sources: gitlab-runner at 19.4: `commands/single.go`, `commands/multi.go`, docs "Advanced configuration" (config.toml, its keys and SIGHUP).
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import asdict, replace
from datetime import timedelta
from pathlib import Path

from ....decide import agentlog
from ....errors import Refused
from ....io.files import try_lock, write_atomic
from ....model.agent import Wanted
from ....model.home import Home
from ....model.service import Exit, ServiceSpec
from ....ports import Launch, Registration
from . import options as told
from . import tempo
from .github import opening
from .options import Options

SIGQUIT = 3
"""How gitlab-runner is asked to finish its job and stop."""
GRACE = timedelta(seconds=tempo.real(timedelta(seconds=30)))
_ID = re.compile(r"^\s*id = (\d+)$", re.MULTILINE)
_TOKEN = re.compile(r'^\s*token = "([^"]+)"$', re.MULTILINE)


class Program:
    """gitlab-runner's ways."""

    forge = "gitlab"
    single_use = False

    def configured(self, root: Path) -> int | None:
        """The runner's id in config.toml."""
        try:
            text = (root / "config.toml").read_text()
        except OSError:
            return None
        found = _ID.search(text)
        return int(found[1]) if found else 0

    def configure(self, root: Path, wanted: Wanted, given: Registration, *, url: str) -> None:
        """Write config.toml in one step, readable by its owner only. The runner's own token is in it, as gitlab-runner wants it."""
        lines = [
            "concurrent = 1",
            "check_interval = 3",
            "shutdown_timeout = 30",
            "[[runners]]",
            f"  name = {_quoted(wanted.name)}",
            f"  url = {_quoted(url)}",
            f"  id = {given.id}",
            f"  token = {_quoted(given.secret)}",
            '  executor = "shell"',
            "  request_concurrency = 2",  # with 1 gitlab-runner warns of long polling at every start
            f"  builds_dir = {_quoted(str(root / '_work'))}",
            f"  cache_dir = {_quoted(str(root / '_cache'))}",
        ]
        script = root / ".qcity" / "started.sh"
        if script.exists():
            before = f"'{script}' || exit 1"
            lines.append(f"  pre_build_script = {_quoted(before)}")
        write_atomic(root / "config.toml", "\n".join(lines) + "\n")

    def unconfigure(self, root: Path) -> None:
        """Remove config.toml."""
        (root / "config.toml").unlink(missing_ok=True)

    def command(self, root: Path, options: Options, given: Registration | None) -> tuple[list[str], dict[str, str]]:
        """gitlab-runner on this configuration, which nobody else may be using.

        Raises:
            Refused: another gitlab-runner of ours works on the same folder.
        """
        held = try_lock(root / ".qcity-lock")
        if held is None:
            raise Refused(f"another gitlab-runner works in {root}", "qcity runner list shows it; this one does not start beside it")
        os.set_inheritable(held, True)  # its end is the agent's end
        name = re.search(r'^\s*name = "([^"]+)"$', (root / "config.toml").read_text(), re.MULTILINE)
        program = [str(root / "gitlab-runner")]
        if options.ephemeral:
            chosen = name[1] if name else ""
            return [*program, "run-single", "--config", str(root / "config.toml"), "--runner", chosen, "--max-builds", "1"], {}
        return [*program, "run", "--config", str(root / "config.toml"), "--working-directory", str(root)], {}


class GitLab:
    """A runner of a project or group on GitLab.

    Options: `project` (its path) or `group_path`, `url` of a self-managed GitLab, `ephemeral` (default), `downloads`, `allow_root`, `hooks`.
    """

    takes_jobs = False
    speaks = True
    beats = False
    attended = True

    def check(self, spec: ServiceSpec) -> ServiceSpec:
        """The specification with its scope, tags and way to stop.

        Raises:
            BadInput: an option cannot be used.
            Refused: the terms of this machine forbid it.
        """
        options = told.parse("gitlab", spec)
        told.permitted(options)
        return replace(spec, options=asdict(options), labels=options.labels, stop_signal=SIGQUIT, grace=max(spec.grace, GRACE))

    def launch(self, spec: ServiceSpec, *, home: Home) -> Launch:
        """Our opening, which turns into the agent."""
        return opening(spec, home, told.parse("gitlab", spec))

    def natural(self, how: Exit, words: Sequence[str]) -> str:
        """A single run that has done its job."""
        last = [clue.name for clue in agentlog.clues(words)][-1:]
        return "its job is done" if how.code == 0 and last == ["gl_limit"] else ""


def token_of(root: Path) -> str:
    """The runner's own token, to ask GitLab whether it is still good; empty when there is none."""
    try:
        found = _TOKEN.search((root / "config.toml").read_text())
    except OSError:
        return ""
    return found[1] if found else ""


def _quoted(text: str) -> str:
    """A TOML basic string."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


PROGRAM = Program()
KIND = GitLab()
