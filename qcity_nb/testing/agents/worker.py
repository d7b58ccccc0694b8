"""The scripted Runner.Worker: a process of its own that runs one job's steps between the hooks, and reports them. Standard library only.

It gets the job as the first line of its stdin and `cancel` as another; its end says the result by its code, 100 to 105, as the real one's. When
its stdin ends before the job does, its listener has died: it cancels the job, reports nothing and ends with 1, as after the real one's broken
channel. A payload is `{"script": "make"}` or `{"steps": [{"name": "Build", "run": "make", "env": {}}, …]}`, and `"process.clean": false` to leave
processes alone.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from .console import Log, out
from .wire import Unreachable, Wire

SUCCEEDED, FAILED, CANCELED = 100, 102, 103
HOOKS = (("Set up runner", "ACTIONS_RUNNER_HOOK_JOB_STARTED"), ("Complete runner", "ACTIONS_RUNNER_HOOK_JOB_COMPLETED"))
CANCEL_SECONDS = (7.5, 2.5)
"""From SIGINT to SIGTERM to SIGKILL for a step that is cancelled."""
TRACKING = "RUNNER_TRACKING_ID"


class Job:
    """One job.

    Args:
        root: the agent's folder.
        told: what the listener sent: the job, where to report it, the scale of time.
        log: the worker's own.
    """

    def __init__(self, root: Path, told: dict[str, Any], log: Log) -> None:
        self._told, self._log = told, log
        self._wire, self._scale = Wire(told["server"]), float(told["scale"])
        self._steps: list[dict[str, Any]] = []
        self._text = ""
        self._lock = threading.Lock()
        self._step: subprocess.Popen[bytes] | None = None
        self.cancelled = self.abandoned = False
        self._tracking = f"github_{told['job']['id']:08x}-{os.getpid()}"
        name = str(told["job"]["repository"]).rpartition("/")[2]
        self._folder = root / told["work"] / name / name
        (root / told["work"] / "_temp").mkdir(parents=True, exist_ok=True)
        self._folder.mkdir(parents=True, exist_ok=True)
        self._env = os.environ | {"GITHUB_ACTIONS": "true", "CI": "true", "RUNNER_NAME": told["name"], "GITHUB_JOB": str(told["job"]["name"])}
        self._env |= {"GITHUB_REPOSITORY": str(told["job"]["repository"]), "GITHUB_WORKSPACE": str(self._folder), TRACKING: self._tracking}
        self._env |= {"RUNNER_TEMP": str(root / told["work"] / "_temp"), "GITHUB_RUN_ID": str(told["job"]["run_id"])}

    def run(self) -> int:
        """All steps; the result."""
        payload = self._told["job"].get("payload") or {}
        steps = payload.get("steps") or [{"name": "Run", "run": payload.get("script", "true")}]
        self._note("Set up job", "success")
        good = self._hook(*HOOKS[0])
        for number, step in enumerate(steps, 1):
            if good and not self.cancelled:
                good = self._do(str(step.get("name", f"Step {number}")), ["bash", "-e", "-c", str(step["run"])], step.get("env", {}))
            else:
                self._note(str(step.get("name", f"Step {number}")), "cancelled" if self.cancelled else "skipped")
        if fault := self._told.get("leave_orphans"):
            self._orphan(float(fault.get("seconds", 60)))
        self._step = None
        good = self._hook(*HOOKS[1]) and good
        if payload.get("process.clean", True):
            self._reap()
        self._note("Complete job", "success")
        self._report()
        return CANCELED if self.cancelled else SUCCEEDED if good else FAILED

    def cancel(self) -> None:
        """Ask the running step to end, then make it."""
        self.cancelled = True
        step = self._step
        if step is None:
            return
        for number, seconds in ((signal.SIGINT, CANCEL_SECONDS[0]), (signal.SIGTERM, CANCEL_SECONDS[1]), (signal.SIGKILL, 1.0)):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(step.pid, number)
            with contextlib.suppress(subprocess.TimeoutExpired):
                step.wait(max(0.05, seconds * self._scale))
                return

    def _hook(self, name: str, variable: str) -> bool:
        path = os.environ.get(variable)
        return self._do(name, ["bash", "-e", path], {}) if path else True

    def _do(self, name: str, argv: list[str], env: dict[str, str]) -> bool:
        self._steps.append({"name": name, "started_at": _now(), "status": "in_progress"})
        self._say(f"##[group]{name}")
        self._report()
        self._log.write("StepsRunner", f"Processing step: DisplayName='{name}'")
        pipe, error = subprocess.PIPE, subprocess.STDOUT
        try:
            null, env = subprocess.DEVNULL, {**self._env, **env}
            step = subprocess.Popen(argv, cwd=self._folder, env=env, stdin=null, stdout=pipe, stderr=error, start_new_session=True)
        except OSError as broken:
            return self._ended(name, 127, str(broken))
        self._step = step if "-c" in argv else None  # a hook is not cancelled
        reader = threading.Thread(target=self._read, args=(step,), daemon=True)
        reader.start()
        if self.cancelled:
            self.cancel()  # it was asked for before there was a step
        code = step.wait()
        reader.join(1.0)  # a child of the step that lives on keeps its output open
        return self._ended(name, code, "")

    def _ended(self, name: str, code: int, error: str) -> bool:
        if code:
            self._say(f"##[error]{error or f'Process completed with exit code {code}.'}")
        conclusion = "success" if code == 0 else "cancelled" if self.cancelled else "failure"
        self._steps[-1] |= {"status": "completed", "conclusion": conclusion, "completed_at": _now()}
        self._log.write("StepsRunner", f"Step result: {conclusion} ({name})")
        self._report()
        return code == 0

    def _note(self, name: str, conclusion: str) -> None:
        self._steps.append({"name": name, "status": "completed", "conclusion": conclusion, "started_at": _now(), "completed_at": _now()})

    def _read(self, step: subprocess.Popen[bytes]) -> None:
        assert step.stdout is not None
        last = time.monotonic()
        for line in step.stdout:
            self._say(line.decode(errors="replace").rstrip("\n"))
            if time.monotonic() - last > 1:
                last = time.monotonic()
                self._report()

    def _say(self, text: str) -> None:
        with self._lock:
            self._text += f"{datetime.now(timezone.utc):%Y-%m-%dT%H:%M:%S.%f}0Z {text}\n"

    def _report(self) -> None:
        """Send what is new; what cannot be sent stays for the next time."""
        if self.abandoned:
            return
        with self._lock:
            sent, self._text = self._text, ""
        try:
            path = f"/_agent/job/{self._told['job']['id']}"
            self._wire.ask("POST", path, {"steps": self._steps, "log": sent}, session=self._told["session"])
        except Unreachable as error:
            self._log.write("JobServerQueue", f"Catch exception during append web console line, keep going: {error}", level="ERR ")
            with self._lock:
                self._text = sent + self._text

    def _orphan(self, seconds: float) -> None:
        """A process that nobody finds: another session, and no mark in its environment."""
        env = {key: text for key, text in os.environ.items() if key != TRACKING}
        null = subprocess.DEVNULL
        subprocess.Popen(["sleep", str(seconds)], env=env, stdin=null, stdout=null, stderr=null, start_new_session=True, cwd="/")

    def _reap(self) -> None:
        """Kill what bears our mark: one look, one kill, so that what is born meanwhile survives (actions/runner #4601)."""
        for pid in [int(path.name) for path in Path("/proc").iterdir() if path.name.isdigit() and int(path.name) != os.getpid()]:
            with contextlib.suppress(OSError):
                if f"{TRACKING}={self._tracking}".encode() in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0"):
                    self._log.write("JobExtension", f"Terminate orphan process: pid ({pid})")
                    os.kill(pid, signal.SIGKILL)


def _now() -> str:
    return f"{datetime.now(timezone.utc):%Y-%m-%dT%H:%M:%SZ}"


def main() -> int:
    """Run the job that stdin holds."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGQUIT):
        signal.signal(number, _nothing)  # its listener tells it by stdin; a handler, because its steps would inherit that a signal is ignored
    root = Path(sys.argv[0]).absolute().parents[1]
    log = Log(root, "Worker")
    log.write("Worker", f"Waiting to receive the job message from the channel: {' '.join(sys.argv[1:])}")
    messages = _lines()
    told = json.loads(next(messages, "null"))
    if told is None:
        return 1
    log.write("Worker", "Message received.")
    if told.get("crash"):
        text = f"Unhandled exception. System.IO.IOException: No space left on device : '{log.path}'" if told["crash"] == "disk_full" else ""
        out(text or "Unhandled exception. System.NullReferenceException: Object reference not set to an instance of an object.", to=2)
        return int(told["code"])
    job = Job(root, told, log)
    threading.Thread(target=_listen, args=(job, messages), daemon=True).start()
    code = job.run()
    log.write("Worker", "Job completed.")
    return 1 if job.abandoned else code


def _lines() -> Iterator[str]:
    """The lines of stdin, read without Python's own buffer: its lock would be held when this process ends."""
    held = b""
    while got := os.read(0, 65536):
        *lines, held = (held + got).split(b"\n")
        yield from (line.decode() for line in lines)


def _listen(job: Job, messages: Iterator[str]) -> None:
    for line in messages:
        if line.strip() == "cancel":
            job.cancel()
    job.abandoned = True
    job.cancel()


def _nothing(number: int, frame: object) -> None:
    """Whoever signals the whole group means the listener, which tells its worker."""
