"""How the scripted listener opens its session and asks for messages (`MessageListener.cs`, `BrokerMessageListener.cs` of actions/runner).

It is a thread: what it hears goes to the listener as events, it decides nothing about jobs. Faults of the occasions `session` and `poll` happen
here.
"""

from __future__ import annotations

import contextlib
import os
import random
import signal
import threading
import time
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from typing import Any

from .console import Console
from .script import Script
from .settings import CLOCK, true
from .wire import Unreachable, Wire

RETRY_SECONDS, CONFLICT_SECONDS, CLOCK_SECONDS = 30.0, 240.0, 1800.0
HEARTBEAT_SECONDS = 1800.0
BACKOFF_SECONDS = (15.0, 30.0)
KEEP_SECONDS = 5.0
"""How often an agent that polls no more shows that its session lives."""
TERMINATED, CONFLICT, DEPRECATED = 1, 5, 7
DELETED = (
    "Failed to create a session. The runner registration has been deleted from the server, please re-configure."
    " Runner registrations are automatically deleted for runners that have not connected to the service recently."
)
CONTINUE = "Get messages has been cancelled using local token source. Continue to get messages with new status."
BROKER = "BrokerMigration message received. Polling Broker for messages..."


class Messages(threading.Thread):
    """The session and its messages.

    Args:
        settings: of the registration.
        tell: takes an event, a pair of its kind and what belongs to it: message, gone, end.

    Attributes:
        busy: why no job is asked for now.
        session: its id.
    """

    def __init__(self, settings: dict[str, Any], version: str, console: Console, script: Script, tell: Callable[[tuple[str, Any]], None]) -> None:
        super().__init__(daemon=True, name="messages")
        self._settings, self._version, self._console, self._script, self._tell = settings, version, console, script, tell
        self._server = str(settings["serverurl"])
        self._wire = Wire(self._server)
        self._quiet = threading.Event()
        self._unpolled = self._hangs_up = False
        self._once = true(settings.get("ephemeral"))
        self.v2 = true(settings.get("usev2flow")) or script.told("flow") == "v2"
        self._source = "BrokerMessageListener" if self.v2 else "MessageListener"
        self.busy: set[str] = set()
        self.session = ""

    def run(self) -> None:
        """From the session to the end."""
        code = self._open()
        if code is not None:
            self._tell(("end", code))
            return
        self._listens()
        self._poll()
        if self._hangs_up:
            self._wire.close()  # once more: a question may have been under way, and called again

    # what the listener does with it

    def job_status(self, state: str, *, unpolled: bool = False) -> None:
        """A job began or ended; the question that is under way is asked anew."""
        self._console.write(self._source, f"Received job status event. JobState: {state}")
        self._console.write(self._source, CONTINUE)
        self._unpolled = self._unpolled or unpolled
        if state == "Online" and not unpolled and not self._once:
            self.busy.discard("job")  # one of a single job asks for no other, and leaves

    def fall_silent(self, *, close: bool) -> None:
        """Stop asking and saying."""
        self._quiet.set()
        self._console.muted, self._hangs_up = True, close
        if close:
            self._wire.close()

    def obey(self, fault: dict[str, Any]) -> None:
        """Make a fault of another occasion happen at the next question."""
        self._script.send({**fault, "at": "poll"})

    def close_session(self) -> None:
        """Delete the session, if there is one and the platform can be reached."""
        self._quiet.set()
        with contextlib.suppress(Unreachable):
            if self.session:
                Wire(self._server, seconds=5).ask("DELETE", "/_agent/session", session=self.session)

    # the session

    def _open(self) -> int | None:
        """Make a session, however long it takes. The exit code when there will be none."""
        say, troubled, tries = self._console, False, {"session_conflict": 0, "clock_skew": 0}
        while not self._quiet.is_set():
            say.write(self._source, "Attempt to create session.")
            code, text = self._attempt()
            if code == "ok":
                say.write(self._source, "Session created.")
                if troubled:
                    say.stamped("Runner reconnected.")
                return None
            say.write(self._source, "Catch exception during create session.", level="ERR ")
            say.write(self._source, text, level="ERR ")
            if code == "runner_deleted":
                say.error(DELETED)
                return TERMINATED
            if code == "version_deprecated":
                return self._deprecated(text)
            if code in tries:
                tries[code] += 1
            if self._final(code, tries.get(code, 0)):
                say.error(f"Failed to create session. {text}")
                return CONFLICT if code == "session_conflict" else TERMINATED
            if not troubled:
                say.stamped_error(f"Runner connect error: {text}. Retrying until reconnected.")
                troubled = True
            say.write(self._source, f"Sleeping for {RETRY_SECONDS:.0f} seconds before retrying.")
            self._quiet.wait(max(0.01, RETRY_SECONDS * self._script.scale))
        return None

    def _final(self, code: str, tries: int) -> bool:
        """Say what a failure means; whether it was tried for long enough."""
        say = self._console
        if code == "no_longer_exists":
            say.error("The runner no longer exists on the server. Please reconfigure the runner.")
            return True
        if code == "session_conflict":
            say.error("A session for this runner already exists.")
            if tries * RETRY_SECONDS >= CONFLICT_SECONDS:
                say.error(f"Stop retry on SessionConflictException after retried for {CONFLICT_SECONDS:.0f} seconds.")
                return True
            return False
        if code == "clock_skew":
            say.error(CLOCK)
            if tries * RETRY_SECONDS >= CLOCK_SECONDS:
                say.error(f"Stopped retrying OAuth token request exception after {CLOCK_SECONDS:.0f} seconds.")
                return True
            return False
        return code != "unreachable"

    def _listens(self) -> None:
        """Said here, not by way of the listener: the first poll must not be heard before it."""
        self._console.line(f"Current runner version: '{self._version}'")
        self._console.stamped("Listening for Jobs")

    def _attempt(self) -> tuple[str, str]:
        """One try: ok, or the code and the text of what is wrong."""
        fault = self._script.take("session") or {}
        name = str(fault.get("fault"))
        if name == "connect_error":
            self._quiet.wait(float(fault.get("seconds", 0)) * self._script.scale)
            return "unreachable", "Name or service not known (github.invalid:443)"
        shown = datetime.now(timezone.utc) + timedelta(seconds=float(self._script.told("skew") or 0))
        sent = {"agent_id": int(self._settings["agentid"]), "credential": self._settings["credential"]}
        sent |= {"version": self._version, "time": shown.isoformat()}
        said = {
            "session_conflict": ("session_conflict", f"The runner {self._script.name} already has an active session."),
            "registration_deleted": ("runner_deleted", "Registration was not found or is not medium trust."),
            "no_longer_exists": ("no_longer_exists", "The runner was not found."),
            "clock": ("runner_deleted" if fault.get("as") == "deleted" else "clock_skew", f"Current server time is {shown:%m/%d/%Y %H:%M:%S}."),
        }.get(name)
        reply: Any = {}
        try:
            if said is None:
                status, reply = self._wire.ask("POST", "/_agent/session", sent)
        except Unreachable as error:
            return "unreachable", str(error)
        self._console.line()
        self._console.success("Connected to GitHub")
        self._console.line()
        if said is not None:
            return said
        self._console.write("GitHubActionsService", "AAD Correlation ID for this token request: Unknown")
        if status == 201:
            self.session = str(reply["session"])
            return "ok", ""
        return str(reply.get("code", "refused")), str(reply.get("message", f"The service answered {status}"))

    def _deprecated(self, text: str) -> int:
        """The real service refuses an old version with the first question for a message, after the listener has said that it listens."""
        self._listens()
        self._tell(("deprecated", text))
        code = true(os.environ.get("ACTIONS_RUNNER_RETURN_VERSION_DEPRECATED_EXIT_CODE"))
        return DEPRECATED if code else TERMINATED

    # the messages

    def _poll(self) -> None:
        troubled, heartbeat = False, time.monotonic()
        while not self._quiet.is_set():
            fault = self._script.take("poll")
            if fault is not None and self._fault(fault):
                return
            if self._unpolled:
                self._keep_alive()
                return
            try:
                status, message = self._wire.ask("GET", "/_agent/message", session=self.session, busy="1" if self.busy else "")
            except Unreachable as error:
                if not troubled and not self._quiet.is_set():
                    self._console.stamped_error(f"Runner connect error: {error}. Retrying until reconnected.")
                troubled = True
                self._quiet.wait(max(0.02, random.uniform(*BACKOFF_SECONDS) * self._script.scale))
                continue
            if self._quiet.is_set():
                return  # the listener is leaving, and has closed the session
            if troubled:
                self._console.stamped("Runner reconnected.")
                troubled = False
            if status == 200:
                self._heard(message)
                heartbeat = time.monotonic()
            elif status != 204:
                if not self._refused(status, message):
                    return
            elif time.monotonic() - heartbeat > HEARTBEAT_SECONDS * self._script.scale:
                where = "" if self.v2 else f" from session '{self.session}'"
                self._console.write(self._source, f"No message retrieved{where} within last 30 minutes.")
                heartbeat = time.monotonic()

    def _refused(self, status: int, message: dict[str, Any]) -> bool:
        """Whether it can go on after a refusal."""
        if status == 404:
            return self._recover()
        self._console.error(f"An error occurred: {message.get('message', status)}")
        self._tell(("end", 2))
        return False

    def _heard(self, message: dict[str, Any]) -> None:
        kind = str(message["type"])
        if kind == "Fault":
            self._script.send(dict(message["body"]))
            return
        self._console.write(self._source, f"Message '{kind}' received" + ("." if self.v2 else f" from session '{self.session}'."))
        if kind == "RunnerJobRequest":
            self.busy.add("job")  # before the next question: the platform must not give another job
        elif kind in {"AgentRefresh", "RunnerRefresh"}:
            self.busy.add("update")
        if kind == "BrokerMigration":
            self._console.write(self._source, BROKER)
            return
        self._tell(("message", message))

    def _recover(self) -> bool:
        """The session is not known any more: open another, or find that the runner is gone. Whether to go on asking."""
        if self._once and "job" in self.busy:
            self._quiet.wait(0.05)  # the platform has forgotten it with its job's end; the listener is about to leave
            return True
        code, text = self._attempt()
        if code == "ok":
            self._console.write(self._source, "TaskAgentSessionExpiredException received, recovered by recreate session.")
            return True
        if code in {"session_conflict", "unreachable"}:
            self._quiet.wait(max(0.02, RETRY_SECONDS * self._script.scale))
            return True
        self._console.write("Runner", f"Runner registration no longer exists while retrieving messages. {text}")
        self._tell(("gone", None))
        return False

    def _fault(self, fault: dict[str, Any]) -> bool:
        """Do what the script says; whether that was the last thing."""
        name, scale = str(fault.get("fault")), self._script.scale
        if name == "silent":
            self.fall_silent(close=fault.get("socket") == "close")
        elif name == "exit":
            code = int(fault.get("code", 1))
            if fault.get("forgets"):
                self.close_session()
                self._tell(("forget", None))
            if code < 0:
                os.kill(os.getpid(), signal.Signals(-code))
            self._tell(("end", code))
        elif name == "deprecated":
            self.close_session()
            text = f"Runner version v{self._version} is deprecated and cannot receive messages."
            self._tell(("deprecated", text))
            self._tell(("end", DEPRECATED if true(os.environ.get("ACTIONS_RUNNER_RETURN_VERSION_DEPRECATED_EXIT_CODE")) else TERMINATED))
        elif name == "broker_loop":
            while not self._quiet.wait(max(0.02, scale)):
                self._console.write(self._source, BROKER)
                self._quietly()
        elif name == "connect_error":
            self._wire.close()
            self._console.stamped_error("Runner connect error: Name or service not known (github.invalid:443). Retrying until reconnected.")
            if not self._quiet.wait(float(fault.get("seconds", 60)) * scale):
                self._console.stamped("Runner reconnected.")
            return False
        elif name == "update_loops":
            self.busy.add("update")
            self._tell(("message", {"type": "AgentRefresh", "body": {"loops": True}}))
            return False
        return True

    def _keep_alive(self) -> None:
        """The session lives and asks for nothing."""
        while not self._quiet.wait(min(KEEP_SECONDS, max(0.05, KEEP_SECONDS * self._script.scale))):
            self._quietly()

    def _quietly(self) -> None:
        with contextlib.suppress(Unreachable):
            self._wire.ask("GET", "/_agent/message", session=self.session, busy="1", wait="0.01")
