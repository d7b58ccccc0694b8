"""What a scripted agent is told to do wrong, and how fast its clock runs. It decides only what is due; the agents do it.

A script is JSON: a list of faults, or `{"faults": […], "scale": 0.01, "skew": 600, "flow": "v2"}`. It is read anew at every occasion, from the
file that the environment variable `SCRIPTED_AGENT` names (it survives the cleaning of the environment before an agent starts), else from the
`script.json` beside the program, which `package.archive(script=…)` puts there. A fault that `FakeGitHub.push(scope, name, "Fault", {…})` sends
counts once.

A fault is `{"fault": NAME}` and, each optional: `at` (the occasion, when it is not the fault's own), `after` (let so many occasions pass first),
`times` (so often, over all lives of the agent; always when left out), `agents` (a pattern of names: for these only), and what the fault itself
takes. They are listed in `FAULTS`. How often an occasion came is kept in `_diag/.script` of the agent.
"""

from __future__ import annotations

import json
import os
import threading
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

VARIABLE = "SCRIPTED_AGENT"
"""Names a script's file."""
SCALE = "SCRIPTED_AGENT_SCALE"
"""How long a second of the agent's own intervals is, in seconds: 0.001 makes half an hour 1.8 s. It goes before the script's `scale`; else 1."""
FAULTS = {
    "silent": "poll",  # stops polling and logging, lives on; "socket": "close" hangs up (left out: the connection stays)
    "exit": "poll",  # ends with "code"; below zero: by that signal; "forgets": an ephemeral one that hangs up and removes its own half first
    "ignore_int": "signal",  # SIGINT, SIGQUIT and SIGTERM do nothing
    "ignore_term": "signal",  # SIGTERM does nothing
    "sudo": "start",  # what run.sh says to root; ends with 1
    "libicu": "start",  # what .NET says without libicu; ends by SIGABRT
    "work_folder": "start",  # the work folder cannot be made; ends with 1
    "not_found": "configure",  # the registration is answered by NotFound
    "already_configured": "configure",  # says that an earlier registration's files are there; ends with 1
    "session_conflict": "session",  # as if another session were alive: 8 tries, then 5
    "registration_deleted": "session",  # says so; ends with 1
    "no_longer_exists": "session",  # says so; ends with 1
    "clock": "session",  # the clock is off: 60 tries, then 1; "as": "deleted" says that the registration is deleted and ends with 1
    "deprecated": "poll",  # the version is refused after it listens; ends with 7 or 1
    "connect_error": "poll",  # cannot reach anybody for "seconds" (times the scale); also "at": "session"
    "broker_loop": "poll",  # is sent to the broker again and again, takes no job, is online
    "unpolled": "after_job",  # says that it continues to get messages, never does, stays online
    "update_loops": "poll",  # an update comes, nothing changes: ends with 3 or 4
    "update_fails": "update",  # "phase": "download" goes on and says so, "script" (left out) ends with 3 or 4 and leaves a .failed
    "ghost": "job",  # takes the job from its platform and does nothing, says nothing, hangs up
    "unacknowledged": "job",  # the same after "Acknowledging runner request", the last line of F1
    "crash_worker": "job",  # the worker ends with "code" (134); "completes": false: nothing is told to the platform
    "worker_hung": "job",  # the worker does not take its job within 30 seconds and is killed
    "disk_full": "job",  # the worker finds no space left for its log; "at": "start": the listener does, and ends with 2
    "starved": "job",  # the job runs, and the log says that the listener was not heard beside it
    "leave_orphans": "job",  # the job leaves a process of another session that nobody finds by its environment, for "seconds" (60)
    # of gitlab-runner
    "forbidden": "poll",  # as if the platform had answered 403
    "long_polling": "start",  # warns of it whatever its configuration is
    "prepare_environment": "job",  # the job fails before it begins, by a profile script
    "unhealthy": "start",  # the first question of a single run fails
}
"""Every fault and its own occasion. Occasions: start, configure, session, poll, job, after_job, update, updated (before it ends for that), signal."""


class Script:
    """An agent's orders.

    Args:
        root: the agent's folder.
        beside: the `script.json` of the program.
        name: the agent's.
    """

    def __init__(self, root: Path, beside: Path, name: str = "") -> None:
        self._root, self._beside, self.name = root, beside, name
        self._sent: list[dict[str, Any]] = []
        self._lock = threading.Lock()

    def told(self, key: str) -> Any:
        """What the script says beside its faults, as `skew`; None when it says nothing."""
        return self._read().get(key)

    @property
    def scale(self) -> float:
        """How long a second of the agent's intervals is."""
        return float(os.environ.get(SCALE) or self.told("scale") or 1.0)

    def send(self, fault: dict[str, Any]) -> str:
        """Take a fault that the platform sent, for once. Its occasion."""
        with self._lock:
            self._sent.append(fault)
        return str(fault.get("at") or FAULTS.get(str(fault.get("fault")), "poll"))

    def take(self, occasion: str, *names: str) -> dict[str, Any] | None:
        """The first fault that is due at an occasion, one of these names if any are given; None when all is well."""
        with self._lock:
            for sent in self._sent:
                if _fits(sent, occasion, names):
                    self._sent.remove(sent)
                    return sent
            mine = [one for one in self._read().get("faults", []) if _fits(one, occasion, names) and fnmatch(self.name, str(one.get("agents", "*")))]
            return self._due(mine) if mine else None

    def _due(self, mine: list[dict[str, Any]]) -> dict[str, Any] | None:
        path = self._root / "_diag" / ".script"
        try:
            counts = json.loads(path.read_text())
        except (OSError, ValueError):
            counts = {}
        chosen = None
        for one in mine:
            key = json.dumps(one, sort_keys=True)
            counts[key] = met = counts.get(key, 0) + 1
            first = int(one.get("after", 0)) + 1
            if met >= first and ("times" not in one or met < first + int(one["times"])):
                chosen = one
                break
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps(counts))
        return chosen

    def _read(self) -> dict[str, Any]:
        for path in (Path(os.environ.get(VARIABLE, "")), self._beside):
            try:
                found = json.loads(path.read_text())
            except (OSError, ValueError):
                continue
            return {"faults": found} if isinstance(found, list) else dict(found)
        return {}


def _fits(fault: dict[str, Any], occasion: str, names: tuple[str, ...]) -> bool:
    name = str(fault.get("fault"))
    return str(fault.get("at") or FAULTS.get(name, "poll")) == occasion and (not names or name in names)
