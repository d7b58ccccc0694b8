"""How the scripted gitlab-runner asks for a job and runs it: a child of its own, a trace in patches, a result. Standard library only."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import threading
import time
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from .gllog import Log
from .wire import Unreachable, Wire

TRACE_SECONDS = 3.0
KILL_SECONDS = 10.0
PREPARE = "prepare environment: exit status 1. Check https://docs.gitlab.com/runner/shells/#shell-profile-loading for more information"


class GitLab:
    """A runner's side of GitLab's API.

    Args:
        runner: its table in `config.toml`.
    """

    def __init__(self, runner: dict[str, Any], system_id: str, version: str) -> None:
        self.runner, self._system_id, self._version = runner, system_id, version
        self._wire, self._last_update = Wire(runner["url"]), ""

    def _ask(self, method: str, path: str, body: dict[str, Any]) -> tuple[int, dict[str, str], Any]:
        """Status, headers, JSON. Raises Unreachable."""
        headers = {"Content-Type": "application/json", "Accept": "application/json", "RUNNER-TOKEN": self.runner["token"]}
        status, told, got = self._wire.send(method, f"/api/v4/{path}", json.dumps(body).encode(), headers)
        with contextlib.suppress(ValueError):
            return status, told, json.loads(got)
        return status, told, {}

    def request(self) -> tuple[int, dict[str, Any]]:
        """Ask for a job: the status (0: unreachable, 503: down) and the job."""
        features = {"cancelable": True, "cancel_gracefully": True, "failure_reasons": True, "exit_codes": True, "trace_checksum": True}
        info = {"name": "gitlab-runner", "version": self._version, "platform": "linux", "architecture": "amd64", "executor": "shell", "shell": "bash"}
        body = {"token": self.runner["token"], "system_id": self._system_id, "last_update": self._last_update, "info": {**info, "features": features}}
        try:
            status, told, job = self._ask("POST", "jobs/request", body)
        except Unreachable as error:
            return (503 if " 503 " in str(error) else 0), {}
        self._last_update = told.get("x-gitlab-last-update", self._last_update)
        return status, job

    def verify(self) -> int:
        """200 or 403; 0: unreachable."""
        with contextlib.suppress(Unreachable):
            return self._ask("POST", "runners/verify", {"token": self.runner["token"], "system_id": self._system_id})[0]
        return 0

    def unregister(self) -> int:
        """204 or 403; a runner that was made with a token of its own loses only this manager."""
        path = "runners/managers" if self.runner["token"].startswith("glrt-") else "runners"
        with contextlib.suppress(Unreachable):
            return self._ask("DELETE", path, {"token": self.runner["token"], "system_id": self._system_id})[0]
        return 0


class Build(threading.Thread):
    """A job on its way.

    Args:
        runner: its table in `config.toml`.
        job: what the platform sent.
        folder: where relative folders begin.
        fault: what goes wrong with it.
        done: called when it is over.
    """

    def __init__(
        self, runner: dict[str, Any], job: dict[str, Any], *, folder: Path, log: Log, scale: float, fault: str, done: Callable[[], None]
    ) -> None:
        super().__init__(daemon=True, name="build")
        self._runner, self._job, self._folder, self._log, self._scale, self._fault, self._done = runner, job, folder, log, scale, fault, done
        self._wire = Wire(runner["url"])
        self._trace, self._sent = b"", 0
        self._lock = threading.Lock()
        self._child: subprocess.Popen[bytes] | None = None
        self._aborted = ""
        self._gone = False  # the platform wants to hear no more of it
        self._fields = {"job": job["id"], "project": job["job_info"]["project_id"], "runner": runner["token"][:9]}

    def run(self) -> None:
        """The whole job."""
        begun = time.monotonic()
        self._update("running")
        self._say(f"Running with gitlab-runner on {self._runner['name']}\n\x1b[0KPreparing environment\n")
        threading.Thread(target=self._patches, daemon=True, name="trace").start()
        reason, text, code = self._script()
        took = {"duration_s": f"{time.monotonic() - begun:.6f}"}
        if reason is None:
            self._say("\x1b[32;1mJob succeeded\x1b[0;m\n")
            self._log.info("Job succeeded", **took, **self._fields)
        else:
            system = " (system failure)" if reason == "runner_system_failure" else ""
            self._say(f"\x1b[31;1mERROR: Job failed{system}: {text}\n\x1b[0;m")
            self._log.write("error" if system else "warning", f"Job failed{system}: {text}", **took, **self._fields)
        self._finish(reason, code)
        self._done()

    def abort(self, why: str) -> None:
        """Make it end; `why` is the reason that is told: a signal's name, or `canceled`."""
        self._aborted = self._aborted or why
        child = self._child
        if child is None:
            return
        for number, seconds in ((signal.SIGTERM, KILL_SECONDS), (signal.SIGKILL, 1.0)):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(child.pid, number)
            with contextlib.suppress(subprocess.TimeoutExpired):
                child.wait(max(0.05, seconds * self._scale))
                return

    def _script(self) -> tuple[str | None, str, int]:
        """Run it: the reason of its failure or None, a text, the exit code."""
        if self._fault == "prepare_environment":
            return "runner_system_failure", PREPARE, 0
        steps = [step for step in self._job["steps"] if step["name"] == "script"]
        before = [self._runner["pre_build_script"]] if self._runner.get("pre_build_script") else []
        lines = [*before, *(line for step in steps for line in step["script"])]
        folder = Path(self._runner.get("builds_dir") or self._folder / "builds") / str(self._job["job_info"]["project_name"])
        folder.mkdir(parents=True, exist_ok=True)
        env = os.environ | {one["key"]: str(one["value"]) for one in self._job["variables"]} | {"CI_PROJECT_DIR": str(folder)}
        script, pipe, null = "set -eo pipefail\n" + "\n".join(lines) + "\n", subprocess.PIPE, subprocess.DEVNULL
        argv = ["bash", "--noprofile", "-c", script]
        child = subprocess.Popen(argv, cwd=folder, env=env, stdin=null, stdout=pipe, stderr=subprocess.STDOUT, start_new_session=True)
        self._child = child
        if self._aborted:
            self.abort(self._aborted)
        reader = threading.Thread(target=self._read, args=(child,), daemon=True)
        reader.start()
        code = child.wait()
        reader.join(1.0)
        if self._aborted == "canceled":
            return "job_canceled", "canceled", code
        if self._aborted:
            return "runner_system_failure", f"aborted: {self._aborted}", code
        return (None, "", 0) if code == 0 else ("script_failure", f"exit status {code}", code)

    def _read(self, child: subprocess.Popen[bytes]) -> None:
        assert child.stdout is not None
        for line in child.stdout:
            self._say(line.decode(errors="replace"))

    def _say(self, text: str) -> None:
        with self._lock:
            self._trace += text.encode()

    def _patches(self) -> None:
        while self.is_alive() and not self._gone:
            time.sleep(max(0.02, TRACE_SECONDS * self._scale))
            self._patch()

    def _patch(self) -> None:
        """Send what is new, from where the platform says that it has not."""
        with self._lock:
            chunk, start = self._trace[self._sent :], self._sent
            if self._gone:
                return
            headers = {"JOB-TOKEN": self._job["token"], "Content-Type": "text/plain", "Content-Range": f"{start}-{start + max(0, len(chunk) - 1)}"}
            try:
                status, told, _ = Wire(self._runner["url"]).send("PATCH", f"/api/v4/jobs/{self._job['id']}/trace", chunk, headers)
            except Unreachable:
                return
            if status == 202:
                self._sent = start + len(chunk)
            elif status == 416 and (found := re.search(r"-(\d+)", told.get("range", ""))):
                self._sent = int(found[1])
        self._heed(status, told, "Appending trace to coordinator")

    def _heed(self, status: int, told: dict[str, str], doing: str) -> None:
        state = told.get("job-status", "")
        if status in {403, 404} or state in {"canceled", "failed"}:
            self._gone = True
            word = "not-found" if status == 404 else "aborted"
            self._log.warning(f"{doing}... {word}", code=status, **{"job-status": state}, **self._fields)
            threading.Thread(target=self.abort, args=("canceled",), daemon=True).start()
        elif state == "canceling" and not self._aborted:
            threading.Thread(target=self.abort, args=("canceled",), daemon=True).start()

    def _update(self, state: str, **more: Any) -> int:
        """PUT the state; the status, 0 when nobody answers."""
        body = {"token": self._job["token"], "state": state, **more}
        headers = {"Content-Type": "application/json", "JOB-TOKEN": self._job["token"]}
        try:
            path = f"/api/v4/jobs/{self._job['id']}"
            status, told, _ = self._wire.send("PUT", path, json.dumps(body).encode(), headers)
        except Unreachable:
            return 0
        if state == "running":
            self._heed(status, told, "Submitting job to coordinator")
        return status

    def _finish(self, reason: str | None, code: int) -> None:
        """The rest of the trace, then the result, until it is taken or refused."""
        if self._gone:
            return
        for _ in range(10):
            self._patch()
            output = {"checksum": f"crc32:{zlib.crc32(self._trace):08x}", "bytesize": len(self._trace)}
            more: dict[str, Any] = {"output": output} | ({"failure_reason": reason, "exit_code": code} if reason else {})
            status = self._update("failed" if reason else "success", **more)
            if status in {200, 403, 404}:
                return
            if status == 412:
                self._sent = 0
            time.sleep(max(0.02, self._scale))
