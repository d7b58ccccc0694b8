"""What the log lines of official agents mean. Lines in, named clues out; pure, and tolerant of lines it has never seen.

Sources: actions/runner `src/Runner.Listener` and `src/Misc`, read at 2.336; gitlab-runner `commands/` and `network/`, read at 19.4.
The listener mirrors its console into `_diag` as source `Terminal`, so one of the two is enough.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timezone

from ..model.agent import Clue

_DIAG = re.compile(r"^\[(?P<at>\d{4}-\d\d-\d\d \d\d:\d\d:\d\d)Z (?P<level>CRIT|ERR |WARN|INFO|VERB) (?P<source>[^\]]*)\] (?P<text>.*)$")
_CONSOLE = re.compile(r"^(?P<at>\d{4}-\d\d-\d\d \d\d:\d\d:\d\d)Z: (?P<text>.*)$")
_MIRROR = re.compile(r"^WRITE (?:LINE|ERROR): ")
_GO_TIME = re.compile(r'\btime="?(?P<at>\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|[+-]\d\d:\d\d))"?')

PATTERNS: tuple[tuple[str, str], ...] = (
    ("connected", r"^√ Connected to GitHub"),
    ("listening", r"^Listening for Jobs"),
    ("running", r"^Running job: "),
    ("completed", r"^Job .* completed with result: "),
    ("connect_error", r"^Runner connect error: "),
    ("reconnected", r"^Runner reconnected"),
    ("updating", r"^Runner update in progress|^Downloading .* runner"),
    ("update_exit", r"^Runner will exit shortly for update"),
    ("update_finished", r"^Runner update process finished"),
    ("update_failed", r"^Runner update failed"),
    ("session_exists", r"^A session for this runner already exists"),
    ("registration_deleted", r"registration has been deleted"),
    ("no_longer_exists", r"[Tt]he runner no longer exists on the server"),
    ("clock", r"clock may be out of sync"),
    ("version_deprecated", r"Runner version .* is deprecated"),
    ("sudo", r"^Must not run (?:interactively )?with sudo"),
    ("dependencies", r"libicu|Libicu|Dependencies is missing for Dotnet"),
    ("already_configured", r"^Cannot configure the runner because it is already configured"),
    ("register_not_found", r"NotFound from .POST .*runner-registration"),
    ("not_configured", r"^Runner is not configured"),
    ("acknowledging", r"Acknowledging runner request"),
    ("token_request", r"^AAD Correlation ID for this token request"),
    ("heartbeat", r"^No message retrieved"),
    ("renewed", r"^Successfully renew job"),
    ("broker_migration", r"BrokerMigration message received"),
    ("new_status", r"Continue to get messages with new status|Get messages with new status"),
    ("worker_hung", r"^Job request message sending for job .* been cancelled, kill running worker"),
    ("worker_exit", r"^Worker finished for job .*\. Code: (\d+)"),
    ("lost_communication", r"lost communication with the server"),
    ("disk_full", r"No space left on device"),
    ("not_owned", r"EACCES|Access to the path .* is denied"),
    ("revoked", r"^Runner OAuth token has been revoked"),
    ("gl_forbidden", r"Checking for jobs\.\.\. forbidden"),
    ("gl_unhealthy", r"is unhealthy and will be disabled for"),
    ("gl_long_polling", r"Long polling issues detected"),
    ("gl_prepare", r"prepare environment:"),
    ("gl_received", r"Checking for jobs\.\.\. received"),
    ("gl_over", r"Job succeeded|Job failed"),
    ("gl_ready", r"Initializing executor providers|Starting multi-runner|Configuration loaded|^Starting runner for |msg=.Starting runner for "),
    ("gl_limit", r"This runner has processed its build limit"),
    ("gl_unhealthy", r"Runner is not healthy!"),
    ("gl_locked", r"config.*(?:is )?locked|lock(?:ing)? (?:the )?config"),
)
"""name, what the text of a line must match. The first that matches counts."""

_COMPILED = tuple((name, re.compile(pattern)) for name, pattern in PATTERNS)


@dataclass(frozen=True, kw_only=True)
class Line:
    """A log line taken apart; `at` is None where the line has no time."""

    text: str
    at: datetime | None = None
    level: str = ""
    source: str = ""


def parse(raw: str) -> Line:
    """One line of a console, of `_diag` or of gitlab-runner (text or JSON)."""
    raw = raw.rstrip("\r\n").lstrip("\ufeff")
    if raw.startswith(("[RUNNER ", "[WORKER ")):  # ACTIONS_RUNNER_PRINT_LOG_TO_STDOUT
        raw = "[" + raw[8:]
    if found := _DIAG.match(raw):
        text = _MIRROR.sub("", found["text"]) if found["source"] == "Terminal" else found["text"]
        inner = _CONSOLE.match(text)
        return Line(text=inner["text"] if inner else text, at=_utc(found["at"]), level=found["level"].strip(), source=found["source"])
    if found := _CONSOLE.match(raw):
        return Line(text=found["text"], at=_utc(found["at"]))
    if raw.startswith("{"):
        return _from_json(raw)
    moment = _GO_TIME.search(raw)
    return Line(text=raw, at=_iso(moment["at"]) if moment else None)


def clue(raw: str) -> Clue | None:
    """What the line means, or None when it says nothing that anybody decides on."""
    line = parse(raw)
    for name, pattern in _COMPILED:
        if pattern.search(line.text):
            return Clue(name=name, line=raw.strip()[:300], at=line.at)
    return None


def clues(lines: Iterable[str]) -> tuple[Clue, ...]:
    """The clues of a log, oldest first. A run of the same clue is kept as its first and its last three."""
    kept: list[Clue] = []
    for found in filter(None, map(clue, lines)):
        run = 0
        for earlier in reversed(kept):
            if earlier.name != found.name:
                break
            run += 1
        if run >= 4:
            del kept[-3]
        kept.append(found)
    return tuple(kept)


def life(found: Iterable[Clue]) -> tuple[Clue, ...]:
    """The clues since the agent last said that it listens, that line included; all of them when it never did."""
    kept = list(found)
    starts = [index for index, one in enumerate(kept) if one.name in ("listening", "gl_ready")]
    return tuple(kept[starts[-1] :]) if starts else tuple(kept)


def worker_code(found: Iterable[Clue]) -> int | None:
    """The exit code of the last job's worker, if the log speaks of it. 100 to 105 are results of jobs, everything else is a crash."""
    code = None
    for one in found:
        code = None if one.name == "running" else code
        if one.name == "worker_exit" and (digits := re.search(r"Code: (\d+)", one.line)):
            code = int(digits[1])
    return code


def _utc(text: str) -> datetime:
    return datetime.strptime(text, "%Y-%m-%d %H:%M:%S").replace(tzinfo=timezone.utc)


def _iso(text: str) -> datetime | None:
    try:
        return datetime.fromisoformat(text.replace("Z", "+00:00")).astimezone(timezone.utc)
    except ValueError:
        return None


def _from_json(raw: str) -> Line:
    try:
        record = json.loads(raw)
        return Line(text=str(record["msg"]), at=_iso(str(record.get("time", ""))), level=str(record.get("level", "")))
    except (ValueError, KeyError, TypeError):
        return Line(text=raw)
