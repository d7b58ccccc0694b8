"""The loops that GitHub ships around its listener, as rules in our own words, for a bench to measure against: `run.sh` and the service.

Read at actions/runner 2.336: `layoutroot/run.sh`, `layoutroot/run-helper.sh.template`, `layoutbin/RunnerService.js`. Standard library only. Left out:
waiting for Docker, certificates. `run.sh` and its helper are one process here; what they do with signals and exit codes is the same.
"""

from __future__ import annotations

import os
import queue
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

from .console import out
from .script import SCALE

AGAIN_SECONDS, KILL_SECONDS = 5.0, 30.0
UPDATE_LOOKS = 31
"""How often `run.sh` looks, once a second, whether an update has been applied."""
IN_A_ROW = 10
"""After so many failures in a row that may be tried again the service gives up."""
SUCCESS, TERMINATED, RETRYABLE, UPDATING, RUN_ONCE_UPDATING, CONFLICT, DEPRECATED = 0, 1, 2, 3, 4, 5, 7


def run_sh() -> int:
    """`run.sh`: starts the listener again after 2, 3 and 4 only, and ends with 0 whatever happened, but for 7 when that is asked for.

    SIGTERM ends it and leaves the listener; SIGINT it leaves to the listener. With RUNNER_MANUALLY_TRAP_SIG both reach the listener as SIGINT, and
    the code is the listener's as the helper tells it.
    """
    root, trapped = Path(sys.argv[0]).absolute().parent, bool(os.environ.get("RUNNER_MANUALLY_TRAP_SIG"))
    child: list[subprocess.Popen[bytes]] = []

    def passed_on(*_: object) -> None:
        if trapped and child and child[-1].poll() is None:
            os.killpg(child[-1].pid, signal.SIGINT)

    signal.signal(signal.SIGINT, passed_on)
    if trapped:
        signal.signal(signal.SIGTERM, passed_on)
    while True:
        code = _helped(root, child, own_group=trapped)
        if code == RETRYABLE:
            out("Restarting runner...")
            continue
        out("Exiting runner...")
        return code if trapped or (code == DEPRECATED and _returns_deprecated()) else 0


def _helped(root: Path, child: list[subprocess.Popen[bytes]], *, own_group: bool) -> int:
    """One life of the listener, and what the helper makes of its code."""
    if os.getuid() == 0 and not os.environ.get("RUNNER_ALLOW_RUNASROOT"):
        out("Must not run interactively with sudo")
        return TERMINATED
    listener = subprocess.Popen([str(root / "bin/Runner.Listener"), "run", *sys.argv[1:]], start_new_session=own_group)
    child.append(listener)
    code = listener.wait()
    code = 128 - code if code < 0 else code  # as a shell has it
    if code == SUCCESS:
        out("Runner listener exit with 0 return code, stop the service, no retry needed.")
    elif code == DEPRECATED and _returns_deprecated():
        out(f"Runner listener exit with deprecated version exit code: {code}.")
        return code
    elif code == TERMINATED:
        out("Runner listener exit with terminated error, stop the service, no retry needed.")
    elif code == RETRYABLE:
        out("Runner listener exit with retryable error, re-launch runner in 5 seconds.")
        time.sleep(AGAIN_SECONDS * _scale())
        return RETRYABLE
    elif code in {UPDATING, RUN_ONCE_UPDATING}:
        out("Runner listener exit because of updating, re-launch runner after successful update")
        _await_update()
        return RETRYABLE
    elif code == CONFLICT:
        out("Runner listener exit with Session Conflict error, stop the service, no retry needed.")
    else:
        out(f"Exiting with unknown error code: {code}")
    return SUCCESS


def _await_update() -> None:
    done = Path("update.finished")
    for _ in range(UPDATE_LOOKS):
        if done.exists():
            out("Update finished successfully.")
            done.unlink()
            return
        time.sleep(_scale())


def _returns_deprecated() -> bool:
    return os.environ.get("ACTIONS_RUNNER_RETURN_VERSION_DEPRECATED_EXIT_CODE") == "1"


def _scale() -> float:
    return float(os.environ.get(SCALE) or 1.0)


class Service:
    """The loop of the shipped service.

    It stops after 0, 1 and 5, starts again after anything else, five seconds later; gives up after ten of 2, 3 and 4 in a row, and after so many
    unknown codes as GITHUB_ACTIONS_SERVICE_EXIT_AFTER_N_FAILURES says. "Listening for Jobs" on stdout makes it forget both counts.
    """

    def __init__(self, root: Path) -> None:
        self._argv = [str(root / "bin/Runner.Listener"), "run", "--startuptype", "service"]
        limit = os.environ.get("GITHUB_ACTIONS_SERVICE_EXIT_AFTER_N_FAILURES", "")
        self._limit = int(limit) if limit.isdigit() and int(limit) > 0 else None
        self._unknown = self._retryable = 0
        self._stopping = False
        self._listener: subprocess.Popen[bytes] | None = None
        self._events: queue.SimpleQueue[tuple[str, Any]] = queue.SimpleQueue()

    def run(self) -> int:
        """Until it stops; always 0."""
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda number, _: self._events.put(("signal", number)))
        out("Starting Runner listener with startup type: service")
        self._start()
        out("Started running service")
        while self._listener is not None or not self._stopping:
            kind, what = self._events.get()
            if kind == "signal":
                self._shut_down()
            elif kind == "again" and not self._stopping:
                self._start()
            elif kind == "ended":
                self._listener = None
                self._ended(what)
                if not self._stopping:
                    self._later(AGAIN_SECONDS, lambda: self._events.put(("again", None)))
        return 0

    def _start(self) -> None:
        try:
            self._listener = subprocess.Popen(self._argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        except OSError as error:
            out(f"Runner listener fail to start with error {error}")
            self._stopping = True
            return
        out(f"Started listener process, pid: {self._listener.pid}")
        threading.Thread(target=self._follow, args=(self._listener,), daemon=True).start()

    def _follow(self, listener: subprocess.Popen[bytes]) -> None:
        assert listener.stdout is not None
        for line in listener.stdout:
            text = line.decode(errors="replace").rstrip("\n")
            if "Listening for Jobs" in text:
                self._unknown = self._retryable = 0
            out(text)
        self._events.put(("ended", listener.wait()))

    def _ended(self, code: int) -> None:
        out(f"Runner listener exited with error code {code if code >= 0 else 'null'}")
        if code in {SUCCESS, TERMINATED, CONFLICT}:
            word = {SUCCESS: "0 return code", TERMINATED: "terminated error", CONFLICT: "Session Conflict error"}[code]
            out(f"Runner listener exit with {word}, stop the service, no retry needed.")
            self._stopping = True
        elif code in {RETRYABLE, UPDATING, RUN_ONCE_UPDATING}:
            why = "with retryable error" if code == RETRYABLE else "because of updating"
            out(f"Runner listener exit {why}, re-launch runner in 5 seconds.")
            self._unknown, self._retryable = 0, self._retryable + 1
            if self._retryable >= IN_A_ROW:
                out("Stopping the runner after 10 consecutive re-tryable failures", to=2)
                self._stopping = True
        else:
            self._unknown, self._retryable = self._unknown + 1, 0
            if self._limit is not None and self._unknown >= self._limit:
                out(f"Runner listener exit with undefined return code, exiting service after {self._unknown} consecutive failures", to=2)
                self._stopping = True
            else:
                out("Runner listener exit with undefined return code, re-launch runner in 5 seconds.")

    def _shut_down(self) -> None:
        out("Shutting down runner listener")
        self._stopping = True
        listener = self._listener
        if listener is not None:
            out("Sending SIGINT to runner listener to stop")
            listener.send_signal(signal.SIGINT)
            out("Sending SIGKILL to runner listener")
            self._later(KILL_SECONDS, listener.kill)

    def _later(self, seconds: float, what: Any) -> None:
        timer = threading.Timer(seconds * _scale(), what)
        timer.daemon = True
        timer.start()


def service() -> int:
    """The shipped service, as `runsvc.sh` starts it."""
    return Service(Path(sys.argv[0]).absolute().parent).run()
