"""How the scripted listener runs a job (`JobDispatcher.cs` of actions/runner).

It renews its lock, starts a worker, waits, and says the result. One at a time.
"""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from .console import Console
from .wire import Unreachable, Wire

RENEW_SECONDS = 60.0
CHANNEL_SECONDS = 30.0
CANCEL_SECONDS = 300.0
"""How long a worker has to end a job that is cancelled."""
RETRY_SECONDS = 10.0
RESULTS = {100: "Succeeded", 101: "SucceededWithIssues", 102: "Failed", 103: "Canceled", 104: "Skipped", 105: "Abandoned"}
CONCLUSIONS = {"Succeeded": "success", "SucceededWithIssues": "success", "Canceled": "cancelled", "Skipped": "skipped"}


class JobRun(threading.Thread):
    """A job on its way. `done` is called with its result when it is over.

    Args:
        root: the agent's folder.
        server: the platform.
        job: what the platform sent.
        session: the listener's.
        about: `name` and `work` of the agent, `scale` of time.
        fault: what goes wrong with it.
    """

    def __init__(
        self,
        root: Path,
        server: str,
        job: dict[str, Any],
        *,
        session: str,
        about: dict[str, Any],
        console: Console,
        fault: dict[str, Any],
        done: Callable[[str], None],
    ) -> None:
        super().__init__(daemon=True, name="job")
        self._root, self._server, self._job, self._session, self._about = root, server, job, session, about
        self._console, self._fault, self._done = console, fault, done
        self._scale = float(about["scale"])
        self._id = f"{job['id']:08x}-0000-5000-8000-{job['run_id']:012x}"
        self._over, self._why = threading.Event(), ""
        self._worker: subprocess.Popen[str] | None = None
        self._lock = threading.Lock()

    def run(self) -> None:
        """The whole job."""
        say, name = self._console, str(self._job["name"])
        say.write("JobDispatcher", f"Job request {self._job['id']} for plan {self._job['run_id']} job {self._id} received.")
        say.stamped(f"Running job: {name}")
        say.write("JobDispatcher", f"Start renew job request {self._job['id']} for job {self._id}.")
        threading.Thread(target=self._renewals, daemon=True, name="renewals").start()
        result = self._hung() if self._fault.get("fault") == "worker_hung" else self._work()
        if result == "":
            return  # what is told to nobody: it is lost in the worker's crash
        self._over.set()
        self._done(result)

    def cancel(self, why: str) -> None:
        """Make the worker end it: `Canceled` or `Abandoned`."""
        with self._lock:
            self._why = self._why or why
            worker = self._worker
        if worker is None or worker.stdin is None:
            return
        self._console.write("JobDispatcher", f"Send job cancellation message to worker for job {self._id}.")
        with contextlib.suppress(OSError, ValueError):
            worker.stdin.write("cancel\n")
            worker.stdin.flush()
        timer = threading.Timer(CANCEL_SECONDS * self._scale, self._kill)
        timer.daemon = True
        timer.start()

    def _kill(self) -> None:
        if self._worker is not None and self._worker.poll() is None:
            text = f"worker process for job {self._id} haven't exit within cancellation timout, kill running worker."
            self._console.write("JobDispatcher", text)
            self._worker.kill()

    def _start(self) -> subprocess.Popen[str]:
        pipe = subprocess.PIPE
        argv = [str(self._root / "bin/Runner.Worker"), "spawnclient", "108", "111"]
        worker = subprocess.Popen(argv, cwd=self._root / "bin", stdin=pipe, stdout=pipe, stderr=subprocess.STDOUT, text=True, errors="replace")
        with self._lock:
            self._worker = worker
        return worker

    def _work(self) -> str:
        """Start the worker, wait for it, say what came of it. Empty: nobody is told."""
        say, worker = self._console, self._start()
        assert worker.stdin is not None
        assert worker.stdout is not None
        say.write("JobDispatcher", f"Send job request message to worker for job {self._id}.")
        told = {"job": self._job, "server": self._server, "session": self._session, **self._about}
        fault = str(self._fault.get("fault"))
        if fault in {"crash_worker", "disk_full"}:
            told |= {"crash": fault, "code": self._fault.get("code", 134)}
        elif fault == "leave_orphans":
            told["leave_orphans"] = self._fault
        with contextlib.suppress(OSError):
            worker.stdin.write(json.dumps(told) + "\n")
            worker.stdin.flush()
        if self._why:
            self.cancel(self._why)
        if fault == "starved":
            say.write("JobDispatcher", "The self-hosted runner lost communication with the server.", level="WARN")
        said = worker.stdout.read()
        code = worker.wait()
        if self._why:
            result = self._why
        else:
            say.write("JobDispatcher", f"Worker finished for job {self._id}. Code: {code}")
            result = RESULTS.get(code, "Failed")
            if code not in RESULTS:
                what = "indicate worker encounter an unhandled exception or app crash, attach worker stdout/stderr to JobRequest result."
                say.write("JobDispatcher", f"Return code {code} {what}")
        if fault == "crash_worker" and not self._fault.get("completes", True):
            return ""
        say.write("JobDispatcher", f"finish job request for job {self._id} with result: {result}")
        say.stamped(f"Job {self._job['name']} completed with result: {result}")
        say.write("JobDispatcher", f"Stop renew job request for job {self._id}.")
        self._over.set()
        self._complete(result, said)
        if code not in RESULTS and not self._why:
            say.write("JobDispatcher", "Unhandled exception happened in worker:", level="ERR ")
            say.write("JobDispatcher", said.strip(), level="ERR ")
        return result

    def _hung(self) -> str:
        """The worker does not read its job: it is killed after half a minute, and the platform is told nothing (actions/runner #4598)."""
        argv = [sys.executable, "-IS", "-c", "import sys; sys.stdin.read()", "Runner.Worker", "spawnclient", "108", "111"]
        with self._lock:
            self._worker = subprocess.Popen(argv, stdin=subprocess.PIPE, text=True)
        self._console.write("JobDispatcher", f"Send job request message to worker for job {self._id}.")
        self._over.wait(CHANNEL_SECONDS * self._scale)
        self._console.write("JobDispatcher", f"Job request message sending for job {self._id} been cancelled, kill running worker.")
        self._worker.kill()
        self._worker.wait()
        self._console.write("JobDispatcher", "worker process has been killed.")
        self._console.write("JobDispatcher", f"Stop renew job request for job {self._id}.")
        return "Failed"

    def _renewals(self) -> None:
        wire, path = Wire(self._server), f"/_agent/job/{self._job['id']}/renew"
        while not self._over.is_set():
            try:
                status, reply = wire.ask("POST", path, {}, session=self._session)
                if status == 404:
                    text = f"TaskAgentJobNotFoundException received when renew job {self._id}, job is no longer valid, stop renew job request."
                    self._console.write("JobDispatcher", text)
                    self.cancel("Abandoned")
                    return
                self._console.write("JobDispatcher", f"Successfully renew job {self._id}, job is valid till {reply.get('valid_till')}")
                wait = RENEW_SECONDS
            except Unreachable as error:
                self._console.write("JobDispatcher", f"Catch exception during renew runner job {self._id}.", level="ERR ")
                self._console.write("JobDispatcher", str(error), level="ERR ")
                wait = RETRY_SECONDS
            self._over.wait(max(0.02, wait * self._scale))

    def _complete(self, result: str, said: str) -> None:
        """Tell the platform the conclusion, five times at most."""
        wire = Wire(self._server)
        crashed = f"##[error]{said.strip()}\n" if said.strip() else ""
        for _ in range(5):
            try:
                body = {"conclusion": CONCLUSIONS.get(result, "failure"), "log": crashed}
                status, _ = wire.ask("POST", f"/_agent/job/{self._job['id']}", body, session=self._session)
            except Unreachable as error:
                self._console.write("JobDispatcher", f"Catch exception during complete runner jobrequest {self._job['id']}: {error}", level="ERR ")
                threading.Event().wait(RETRY_SECONDS * self._scale)
                continue
            if status == 404:
                self._console.write("JobDispatcher", f"TaskAgentJobNotFoundException received, job {self._id} is no longer valid.")
            return
        self._console.write("JobDispatcher", "Fail to raise job completion back to service.", level="ERR ")
