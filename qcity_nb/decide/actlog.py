"""What act's JSON lines say about one job: steps, annotations, result, outputs and a log for people. Lines of stub jobs are passed over.

Fields decide, never the wording of a message; the only guess is which line of a failed step tells best why it failed.
"""

from __future__ import annotations

import base64
import json
import re
from collections import deque
from collections.abc import Mapping
from typing import Any

from ..model.work import Annotation, Outcome, Step
from .isolate import LAST, StepPlan

_ENDS = {"success": Outcome.SUCCESS, "failure": Outcome.FAILURE, "skipped": Outcome.SKIPPED, "cancelled": Outcome.CANCELLED}
_OWN = ("Set up job", "Complete job")
_TERMINAL = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[@-Z\\-_=>])")
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")
_TELLING = re.compile(
    r"\b\w*(?:Error|Exception|Failure)\b|\berror\b|\bfailed\b|\bfatal\b|\bpanic\b|\bdenied\b|not found|No such|assert|Killed", re.IGNORECASE
)
_PYTEST = re.compile(r"^(\S+?\.py:\d+): (\w+)$")
MOST_ANNOTATIONS = 100
LINE = 4096


class ActLog:
    """Accumulates the lines of one run of act.

    Args:
        job: the id of the job that counts.
        observer: the id of the job whose output is the `needs` context.
        steps: the job's steps as its file has them.
    """

    def __init__(self, *, job: str, observer: str, steps: tuple[StepPlan, ...]) -> None:
        self.job, self.observer, self.plan = job, observer, steps
        self.annotations: list[Annotation] = []
        self.outputs: dict[str, str] = {}
        self.result: Outcome | None = None  # as the `needs` context has it
        self.leftovers = 0
        self.stray: deque[str] = deque(maxlen=20)  # lines that are not act's JSON
        self._said: Outcome | None = None  # as act printed it
        self._states: dict[str, tuple[Outcome | None, float | None]] = {}
        self._extra: dict[str, tuple[str, Outcome]] = {}
        self._lines: dict[str, deque[str]] = {}
        self._masks: list[str] = []

    @property
    def outcome(self) -> Outcome | None:
        """How the job ended; None when act did not get to say so."""
        return self.result or self._said

    @property
    def steps(self) -> tuple[Step, ...]:
        """The steps so far: all of them once the job is over, those that began before."""
        over = self.outcome is not None
        found: list[Step] = []
        for number, planned in enumerate(self.plan, 1):
            if planned.key in self._states:
                outcome, seconds = self._states[planned.key]
                found.append(Step(number=number, name=planned.name, outcome=outcome, seconds=seconds))
            elif over:
                found.append(Step(number=number, name=planned.name, outcome=Outcome.SKIPPED))
        extra = [(name, outcome) for name, outcome in self._extra.values() if outcome is Outcome.FAILURE]
        return (*found, *(Step(number=len(self.plan) + i, name=name, outcome=outcome) for i, (name, outcome) in enumerate(extra, 1)))

    def close(self, outcome: Outcome) -> str:
        """Nothing more will come. Steps that still ran get the outcome; the step it was cut off in, in words, or an empty text."""
        cut = [(number, one) for number, one in enumerate(self.plan, 1) if one.key in self._states and self._states[one.key][0] is None]
        for _, one in cut:
            self._states[one.key] = (outcome, None)
        self._said = self._said or outcome
        return f'step {cut[-1][0]} "{self._name(cut[-1][1].key)}"' if cut else ""

    def feed(self, line: str) -> list[str]:
        """Take one line in; what it adds to the log, without line ends."""
        try:
            said = json.loads(line)
        except ValueError:
            said = None
        if not isinstance(said, dict):
            text = "" if self.outcome else clean(line)  # act's last words repeat what is known by then
            if text:
                self.stray.append(text)
            return [text] if text else []
        if "leftovers" in said and "job" not in said:
            self.leftovers = int(said["leftovers"])
            return []
        if said.get("jobID") == self.observer:
            self._observe(said)
            return []
        if said.get("jobID") == self.job:
            return self._own(said)
        if said.get("level") in ("error", "fatal") and "jobID" not in said:
            self.stray.append(clean(str(said.get("msg", ""))))
            return [self.stray[-1]]
        return []

    def _observe(self, said: Mapping[str, Any]) -> None:
        if not said.get("raw_output"):
            return
        try:
            mine = json.loads(base64.b64decode(said["msg"]))[self.job]
        except (ValueError, KeyError, TypeError):
            return
        self.result = _ENDS.get(mine.get("result"))
        outputs = mine.get("outputs") or {}
        self.outputs = {str(name): str(value) for name, value in outputs.items() if value not in (None, "")}

    def _own(self, said: Mapping[str, Any]) -> list[str]:
        if "jobResult" in said:
            self._said = _ENDS.get(said["jobResult"])
            return []
        key = self._step(said)
        if key == LAST:
            return []
        text = str(said.get("msg", ""))
        if said.get("raw_output"):
            return self._print(key, text)
        if "command" in said:
            return self._command(said, key)
        if "stepResult" in said:
            return self._ended(said, key)
        if said.get("level") in ("error", "fatal"):
            return self._print(key, text)
        return self._began(said, key)

    @staticmethod
    def _step(said: Mapping[str, Any]) -> str:
        ids = said.get("stepID") or said.get("stepid") or [""]
        return str(ids[0] if isinstance(ids, list) else ids)

    def _began(self, said: Mapping[str, Any], key: str) -> list[str]:
        if key in self._states or said.get("stage") != "Main" or not self._number(key):
            return []
        self._states[key] = (None, None)
        return [f"▶ step {self._number(key)}: {self._name(key)}"]

    def _ended(self, said: Mapping[str, Any], key: str) -> list[str]:
        outcome = _ENDS.get(said["stepResult"], Outcome.FAILURE)
        name, ids = str(said.get("step", "")), said.get("stepID") or []
        if len(ids) > 1:
            return []  # a step inside of an action: its action counts
        if said.get("stage") == "Main" and self._number(key):
            nanoseconds = said.get("executionTime")
            seconds = round(nanoseconds / 1e9, 3) if nanoseconds is not None else None
            self._states[key] = (outcome, seconds)
            mark = {Outcome.SUCCESS: "✔", Outcome.SKIPPED: "-"}.get(outcome, "✘")
            return [f"{mark} step {self._number(key)}: {outcome.value}" + ("" if seconds is None else f" after {seconds:.2f} s")]
        label = name if name in _OWN else f"{said.get('stage', 'Post')} {name}"
        self._extra[label] = (label, outcome)
        return [f"✘ {label}: {outcome.value}"] if outcome is Outcome.FAILURE else []

    def _command(self, said: Mapping[str, Any], key: str) -> list[str]:
        command, arg = said["command"], str(said.get("arg", ""))
        if command == "add-mask":
            if arg:
                self._masks.append(arg)
            return []
        if command in ("warning", "error", "notice"):
            values = said.get("kvPairs") or {}
            line = str(values.get("line", ""))
            if len(self.annotations) < MOST_ANNOTATIONS:
                note = Annotation(
                    level=command,
                    message=self._masked(arg)[:LINE],
                    file=self._masked(str(values.get("file", ""))),
                    line=int(line) if line.isdigit() else None,
                    step=self._name(key),
                )
                self.annotations.append(note)
            return self._print(key, f"{command}: {arg}")
        if command == "group":
            return self._print(key, f"▸ {arg}")
        return []

    def _print(self, key: str, text: str) -> list[str]:
        lines = [line for part in text.rstrip("\n").split("\n") if (line := clean(self._masked(part))) or part == ""]
        self._lines.setdefault(key, deque(maxlen=80)).extend(lines)
        return lines

    def _masked(self, text: str) -> str:
        for secret in self._masks:
            text = text.replace(secret, "***")
        return text

    def _number(self, key: str) -> int:
        return next((number for number, one in enumerate(self.plan, 1) if one.key == key), 0)

    def _name(self, key: str) -> str:
        return next((self._masked(one.name) for one in self.plan if one.key == key), "")

    def reason(self) -> str:
        """Why the job failed: the step and its most telling line. Empty when nothing is known."""
        forgiven = {one.key for one in self.plan if one.forgiven}
        for number, planned in enumerate(self.plan, 1):
            if self._states.get(planned.key, (None, None))[0] is Outcome.FAILURE and planned.key not in forgiven:
                errors = [note.message for note in self.annotations if note.level == "error" and note.step == self._name(planned.key)]
                told = telling(self._lines.get(planned.key, ()), errors)
                return f'step {number} "{self._name(planned.key)}"' + (f": {told}" if told else "")
        for key, lines in self._lines.items():
            if not self._number(key) and lines:
                return f"{telling(lines, [])}"
        return self.stray[-1] if self.stray else ""


def clean(text: str) -> str:
    """A line as a person should see it: no terminal sequences, no control characters, what a carriage return overwrote gone, not endless."""
    text = _TERMINAL.sub("", text.rstrip("\r\n"))
    text = text.rstrip("\r").rpartition("\r")[2]
    return _CONTROL.sub("", text)[:LINE]


def telling(lines: deque[str] | tuple[str, ...], errors: list[str]) -> str:
    """The line that says best why a step failed: its own error annotation, an assertion with its place, the last that looks like an error."""
    if errors:
        return errors[-1].splitlines()[0][:300] if errors[-1] else ""
    said = [line.strip() for line in lines if line.strip() and not line.startswith("exitcode '")]
    place = next((match for line in reversed(said) if (match := _PYTEST.match(line))), None)
    claim = [line[1:].strip() for line in said if line.startswith("E  ")]
    if place and claim:
        return f"{place[1]}  {claim[0]}"[:300]
    return (next((line for line in reversed(said) if _TELLING.search(line)), "") or (said[-1] if said else ""))[:300]
