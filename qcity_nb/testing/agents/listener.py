"""The scripted Runner.Listener: verbs, exit codes, lines and signals of actions/runner 2.336, against `FakeGitHub`.

Standard library only: it is packed into one file with its sister modules (`package.executable`). What it is told to do wrong is in `script`. What
is its own way and not the real one's: it talks to `/_agent`, a payload holds a plain script, and the interval between two questions for a message
is the stand-in's `rules.poll`.
"""

from __future__ import annotations

import os
import queue
import resource
import signal
import sys
from pathlib import Path
from typing import Any

from . import settings
from .console import Console
from .jobs import JobRun
from .messages import Messages
from .script import Script
from .settings import Terminated, true
from .update import Update

SUCCESS, TERMINATED, RETRYABLE, UPDATING, RUN_ONCE_UPDATING, CONFLICT, REFRESHED, DEPRECATED = range(8)
UNLOAD_SECONDS = 30.0
BY_TERM = 143
"""The code of a .NET program that SIGTERM ended, when it has cleaned up."""
JOB_CODES = {"Succeeded": 0, "SucceededWithIssues": 1, "Failed": 2, "Canceled": 3, "Skipped": 4, "Abandoned": 5}
USAGE = """
Commands:
 ./config.sh         Configures the runner
 ./config.sh remove  Unconfigures the runner
 ./run.sh            Runs the runner interactively. Does not require any options."""
ICU = (
    "Process terminated. Couldn't find a valid ICU package installed on the system. Please install libicu (or icu-libs) using your package manager"
    " and try again. Alternatively you can set the configuration flag System.Globalization.Invariant to true if you want to run with no"
    " globalization support."
)


class Listener:
    """One `run`.

    Args:
        root: the agent's folder.
        version: of the package.
    """

    def __init__(self, root: Path, version: str, console: Console, script: Script) -> None:
        self.root, self.version, self.console, self.script = root, version, console, script
        self.settings = settings.load(root)
        self.ephemeral = true(self.settings.get("ephemeral"))
        self.returns_result = true(os.environ.get("ACTIONS_RUNNER_RETURN_JOB_RESULT_FOR_HOSTED"))
        self.run_once = self.ephemeral or self.returns_result
        script.name = str(self.settings.get("agentname", ""))
        self.events: queue.SimpleQueue[tuple[str, Any]] = queue.SimpleQueue()
        self.messages = Messages(self.settings, version, console, script, self.events.put)
        self.job: JobRun | None = None
        self.update: Update | None = None
        self.taken = False  # a job came to a runner that runs one only
        self.signalled = 0

    def run(self) -> int:
        """From the session to the exit code."""
        for number in (signal.SIGINT, signal.SIGQUIT, signal.SIGTERM):
            signal.signal(number, lambda number, _: self.events.put(("signal", number)))
        work = self.root / str(self.settings.get("workfolder", "_work"))
        try:
            if self.script.take("start", "work_folder"):
                raise OSError
            work.mkdir(parents=True, exist_ok=True)
        except OSError:
            self.console.error(f"Fail to create and validate runner's work directory '{work}'.")
            return TERMINATED
        self.messages.start()
        while True:
            code = self._handle(*self.events.get())
            if code is not None:
                return code

    def _handle(self, kind: str, what: Any) -> int | None:
        """One event; the exit code when it is the last."""
        if kind == "signal":
            return self._stop(what)
        if kind == "message":
            self._message(what)
        elif kind == "over":
            return self._over(what)
        elif kind == "updated":
            return self._updated(replaced=what)
        elif kind == "deprecated":
            self.console.write("Runner", "Deleting Runner Session...")
            self.console.error(f"An error occurred: {what}")
        elif kind == "forget":
            settings.forget(self.root, self.console)
        elif kind == "gone":
            return self._gone()
        elif kind == "end":
            return int(what)
        return None

    def _message(self, message: dict[str, Any]) -> None:
        kind, body = str(message["type"]), message.get("body") or {}
        if kind == "RunnerJobRequest":
            self._take(body)
        elif kind == "JobCancellation":
            self.console.write("JobDispatcher", f"Job cancellation request {body.get('job_id')} received, cancellation timeout 5 minutes.")
            if self.job is not None:
                self.job.cancel("Canceled")
        elif kind in {"AgentRefresh", "RunnerRefresh"}:
            self._refresh(body)
        else:
            self.console.write("Runner", f"Received message with unsupported message type {kind}.", level="ERR ")

    def _refresh(self, body: dict[str, Any]) -> None:
        if self.update is not None:
            self.console.write("Runner", "Refresh message received, skip autoupdate since a previous autoupdate is already running.")
            return
        self.console.write("Runner", "Refresh message received, kick-off selfupdate background process.")
        self.messages.busy.add("update")
        url = str(self.settings["serverurl"])
        self.update = Update(self.root, self.version, body, url=url, console=self.console, script=self.script, done=self.events.put)
        self.update.start()
        if self.job is None:
            self.update.idle.set()

    def _take(self, body: dict[str, Any]) -> None:
        """A job came."""
        fault = self.script.take("job") or {}
        name = str(fault.get("fault"))
        if self.messages.v2 or name == "unacknowledged":
            self.console.write("BrokerMessageListener", f"Acknowledging runner request '{body['id']}'.")
        if name in {"ghost", "unacknowledged"}:
            self.messages.fall_silent(close=True)
            return
        if name in {"exit", "silent"}:
            self.messages.obey(fault)
            return
        if self.run_once:
            self.console.write("Runner", "One time used runner received job message.")
            self.taken = True
        self.messages.job_status("Busy")
        about = {"name": self.script.name, "work": str(self.settings.get("workfolder", "_work")), "scale": self.script.scale}
        self.job = JobRun(
            self.root,
            str(self.settings["serverurl"]),
            body,
            session=self.messages.session,
            about=about,
            console=self.console,
            fault=fault,
            done=lambda result: self.events.put(("over", result)),
        )
        self.job.start()

    def _over(self, result: str) -> int | None:
        self.job = None
        fault = None if self.signalled else self.script.take("after_job")
        if fault is not None and fault["fault"] != "unpolled":
            self.messages.obey(fault)
            return None
        self.messages.job_status("Online", unpolled=fault is not None)
        if self.update is not None:
            self.update.idle.set()
        if self.signalled:
            return self._leave(SUCCESS)
        if not self.taken or fault is not None:
            return None
        text = "Job has finished at backend, the runner will exit since it is running under onetime use mode."
        self.console.write("Runner", text)
        self.console.write("Runner", "Stop message queue looping.")
        code = self._leave(100 + JOB_CODES[result] if self.returns_result else SUCCESS)
        if self.ephemeral:
            settings.forget(self.root, self.console)
        return code

    def _updated(self, *, replaced: bool) -> int | None:
        self.messages.busy.discard("update")
        self.update = None
        if not replaced:
            text = "Auto update task finished at backend, there is no available runner update needs to apply, continue message queue looping."
            self.console.write("Runner", text)
            return None
        text = "Auto update task finished at backend, an runner update is ready to apply exit the current runner instance."
        self.console.write("Runner", text)
        fault = self.script.take("updated", "exit")
        return self._leave(int(fault["code"]) if fault else RUN_ONCE_UPDATING if self.run_once else UPDATING)

    def _gone(self) -> int:
        """The platform does not know the runner any more: its files go too."""
        self.console.error("The runner no longer exists on the server. Cleaning up local configuration.")
        if self.job is not None:
            self.job.cancel("Canceled")
            self.job.join(UNLOAD_SECONDS)
        settings.forget(self.root, self.console)
        return SUCCESS

    def _stop(self, number: int) -> int | None:
        """SIGINT or SIGQUIT, which say so, or SIGTERM, which does not."""
        if self.script.take("signal", "ignore_int", *(["ignore_term"] if number == signal.SIGTERM else [])):
            return None
        if number != signal.SIGTERM:
            self.console.line("Exiting...")
        self.console.muted = False
        already, self.signalled = self.signalled, self.signalled or number
        if self.job is None:
            return self._leave(SUCCESS)
        if not already:
            self.console.write("JobDispatcher", "Shutting down JobDispatcher. Make sure all WorkerDispatcher has finished.")
            self.job.cancel("Canceled")
        return None

    def _leave(self, code: int) -> int:
        self.console.write("Runner", "Deleting Runner Session...")
        self.messages.close_session()
        return BY_TERM if self.signalled == signal.SIGTERM else code


def environment(root: Path) -> None:
    """Take what `.env` of the agent's folder says."""
    try:
        lines = (root / ".env").read_text().splitlines()
    except OSError:
        return
    for line in lines:
        key, equals, value = line.partition("=")
        if equals and key:
            os.environ[key] = value


def start_faults(root: Path, console: Console, script: Script) -> int | None:
    """What ends it before it begins."""
    del root
    fault = script.take("start", "sudo", "libicu", "disk_full", "exit") or {}
    if fault.get("fault") == "sudo":
        console.line("Must not run interactively with sudo")
        return TERMINATED
    if fault.get("fault") == "disk_full":
        console.error(f"An error occurred: No space left on device : '{console.path}'")
        return RETRYABLE
    if fault.get("fault") == "libicu":
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        console.error(ICU)
        os.abort()
    return end(int(fault.get("code", 1))) if fault else None


def end(code: int) -> int:
    """The code to end with; a negative one ends it here, by that signal."""
    if code < 0:
        signal.signal(-code, signal.SIG_DFL) if -code not in {signal.SIGKILL, signal.SIGSTOP} else None
        os.kill(os.getpid(), -code)
    return code


def command(root: Path, version: str, argv: list[str], console: Console) -> int:
    """One command of the program; its exit code."""
    verb = argv[0] if argv and not argv[0].startswith("-") else ""
    given = settings.inputs(argv)
    script = Script(root, Path(sys.argv[0]).absolute().parent / "script.json", given.get("name", ""))
    if "version" in given:
        console.line(version)
        return SUCCESS
    if verb == "configure":
        fault = script.take("configure", "not_found", "already_configured") or {}
        settings.configure(root, given, console, version=version, fault=str(fault.get("fault")))
    elif verb == "remove":
        settings.remove(root, given, console)
    elif verb == "run":
        script.name = str(settings.load(root).get("agentname", "")) if settings.configured(root) else ""
        code = start_faults(root, console, script)
        if code is not None:
            return code
        for name, size in settings.install(root, given["jitconfig"]) if "jitconfig" in given else []:
            console.write("Runner", f"Saved {size} bytes to '{root / name}'.")
        if not settings.configured(root):
            console.error("Runner is not configured.")
            console.line(USAGE)
            return TERMINATED
        return Listener(root, version, console, script).run()
    else:
        console.line(USAGE)
    return SUCCESS


def main(version: str) -> int:
    """The program, as its packed file starts it."""
    root = Path(sys.argv[0]).absolute().parents[1]
    environment(root)
    console = Console(root, "Runner")
    console.write("Listener", "Runner is built for Linux (X64) - linux-x64.")
    console.write("Listener", f"Version: {version}")
    try:
        code = command(root, version, sys.argv[1:], console)
    except Terminated as error:
        console.error(str(error))
        code = TERMINATED
    except Exception as error:  # noqa: BLE001 - as the real one: whatever it is, it may be tried again
        console.error(f"An error occurred: {error}")
        code = RETRYABLE
    console.write("Listener", f"Runner execution has finished with return code {code}")
    return code
