"""How the scripted listener updates itself (`SelfUpdater.cs` and the update script of actions/runner).

The new version is put beside, the job is waited for, and a script that outlives the listener exchanges `bin`.
"""

from __future__ import annotations

import io
import os
import shutil
import subprocess
import tarfile
import threading
from collections.abc import Callable
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from .console import Console
from .script import Script
from .wire import Unreachable, Wire

_SCRIPT = """#!/bin/bash
# waits for the listener's end, then lets bin and externals point to the new version
root={root} log={log}
say() {{ date "+[%F %T-%4N] $*" >>"$log"; }}
fail() {{ say "$*"; mv -f "$log" "$log.failed"; exit 1; }}
say "Waiting for Runner.Listener ({pid}) to complete"
while kill -0 {pid} 2>/dev/null && [ "$(cut -d' ' -f3 /proc/{pid}/stat 2>/dev/null)" != Z ]; do sleep {pause}; done
say "Process {pid} finished running"
sleep {pause}
{wrong}
for part in bin externals; do
  if [ -L "$root/$part" ]; then rm "$root/$part" || fail "Can't delete existing junction $part folder"
  else mv -f "$root/$part" "$root/$part.{old}" || fail "Can't move $root/$part to $root/$part.{old}"; fi
  ln -s "$root/$part.{new}" "$root/$part" || fail "Can't create junction $part folder"
done
say "Update succeed"
touch update.finished
mv -f "$log" "$log.succeed"
"""


def order(version: str) -> tuple[int, ...]:
    """How versions are compared."""
    return tuple(int(part) for part in version.split(".") if part.isdigit())


class Update(threading.Thread):
    """An update on its way. `done` gets the event ("updated", whether the listener has to make room).

    Args:
        root: the agent's folder.
        version: what runs now.
        body: of the message: `TargetVersion`; `loops` for an update that changes nothing.
        url: the platform, which has the archives under `/_downloads`.

    Attributes:
        idle: set when no job runs.
    """

    def __init__(
        self,
        root: Path,
        version: str,
        body: dict[str, Any],
        *,
        url: str,
        console: Console,
        script: Script,
        done: Callable[[tuple[str, Any]], None],
    ) -> None:
        super().__init__(daemon=True, name="update")
        self._root, self._version, self._body, self._url = root, version, body, url
        self._console, self._script, self._done = console, script, done
        self.idle = threading.Event()

    def run(self) -> None:
        """The whole update, as the console shows it."""
        major, minor, patch = (*order(self._version), 0, 0, 0)[:3]
        target = str(self._body.get("TargetVersion") or self._body.get("targetVersion") or f"{major}.{minor + 1}.{patch}")
        replaced = False
        if order(target) > order(self._version):
            self._console.line("Runner update in progress, do not shutdown runner.")
            self._console.line(f"Downloading {target} runner")
            try:
                self._apply(target)
                replaced = True
                self._console.line("Runner will exit shortly for update, should be back online within 10 seconds.")
            except (Unreachable, OSError, ValueError, tarfile.TarError) as error:
                self._console.error(f"Runner update failed: {error}")
        else:
            self._console.write("SelfUpdater", "Can't find available update package.")
        self._console.line("Runner update process finished.")
        self._done(("updated", replaced))

    def _apply(self, target: str) -> None:
        fault = self._script.take("update", "update_fails") or {}
        phase = str(fault.get("phase", "script")) if fault else ""
        loops = bool(self._body.get("loops"))
        if phase == "download":
            raise OSError(f"Runner package '{self._url}_downloads' failed after 3 download attempts")
        if not loops:
            self._download(target)
        self._console.line("Waiting for current job finish running.")
        self.idle.wait()
        self._console.line("Generate and execute update script.")
        if not loops:
            self._start_script(target, broken=phase == "script")

    def _download(self, target: str) -> None:
        name = f"actions-runner-linux-x64-{target}.tar.gz"
        status, _, archive = Wire(self._url).send("GET", f"/_downloads/{name}", b"", {})
        if status != 200:
            raise OSError(f"Runner package '{self._url}_downloads/{name}' failed after 3 download attempts")
        fresh = self._root / "_work" / "_update"
        shutil.rmtree(fresh, ignore_errors=True)
        fresh.mkdir(parents=True)
        with tarfile.open(fileobj=io.BytesIO(archive)) as file:
            file.extraction_filter = lambda member, _: member  # as the real one, which trusts what has the right checksum
            for member in file:
                file.extract(member, fresh)
        for part in ("bin", "externals"):
            shutil.rmtree(self._root / f"{part}.{target}", ignore_errors=True)
            (fresh / part).rename(self._root / f"{part}.{target}")

    def _start_script(self, target: str, *, broken: bool) -> None:
        log = self._root / "_diag" / f"SelfUpdate-{datetime.now(timezone.utc):%Y%m%d-%H%M%S}.log"
        script = self._root / "_work" / "_update.sh"
        script.parent.mkdir(exist_ok=True)
        wrong = "fail \"Can't move $root/bin: Read-only file system\"" if broken else ""
        pause = max(0.01, self._script.scale)
        text = _SCRIPT.format(root=_quoted(self._root), log=_quoted(log), pid=os.getpid(), old=self._version, new=target, pause=pause, wrong=wrong)
        script.write_text(text)
        Path("update.finished").unlink(missing_ok=True)  # in the working folder, where run.sh looks
        null = subprocess.DEVNULL
        subprocess.Popen(["bash", str(script)], stdin=null, stdout=null, stderr=null)


def _quoted(path: Path) -> str:
    return "'" + str(path).replace("'", "'\\''") + "'"
