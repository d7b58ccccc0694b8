"""The kind `command`: keeps any long-lived agent running (a Buildbot, Buildkite or Woodpecker worker, or your own)."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from ...errors import BadInput
from ...model.home import Home
from ...model.service import Exit, ServiceSpec
from ...ports import Launch

OPTIONS = frozenset({"command", "cwd", "env"})


class CommandRunner:
    """Options: `command` (a list of words), `cwd` (a folder, default the home's own for it), `env` (names of variables to pass on; default all)."""

    takes_jobs = False
    speaks = False
    beats = False
    attended = False

    def natural(self, how: Exit, words: Sequence[str]) -> str:
        """What is to run for ever never ends as it should."""
        return ""

    def check(self, spec: ServiceSpec) -> ServiceSpec:
        """The specification; a program that is not there is let through, so that one installed later is found at the next start.

        Raises:
            BadInput: there is no command, or an option that this kind does not know.
        """
        unknown = sorted(set(spec.options) - OPTIONS)
        if unknown:
            raise BadInput(f'the kind command has no option "{unknown[0]}"', f"it has: {', '.join(sorted(OPTIONS))}")
        command = spec.options.get("command")
        if not isinstance(command, (list, tuple)) or not command or not all(isinstance(word, str) and "\0" not in word for word in command):
            raise BadInput(f"the runner {spec.name} needs a command", f"qcity runner start command --name {spec.name} -- PROGRAM ARGUMENTS")
        return replace(spec, options={**spec.options, "command": list(command)})

    def launch(self, spec: ServiceSpec, *, home: Home) -> Launch:
        """The command with the engine's environment, or the named part of it."""
        command = spec.options["command"]
        argv = tuple(str(word) for word in command) if isinstance(command, (list, tuple)) else ()
        names = spec.options.get("env")
        always = ("PATH", "HOME", "LANG", "TMPDIR")
        chosen = {*always, *names} if isinstance(names, (list, tuple)) else set(os.environ)
        env = {key: value for key, value in os.environ.items() if key in chosen}
        program = shutil.which(argv[0], path=env.get("PATH")) or argv[0]
        cwd = spec.options.get("cwd")
        return Launch(argv=(program, *argv[1:]), env=env, cwd=Path(str(cwd)) if cwd else home.service(spec.name))


KIND = CommandRunner()
