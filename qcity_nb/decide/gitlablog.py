"""What gitlab-ci-local prints while it runs one job: its parts as steps, its result, and a log for people without colours and secrets.

Every line of the job itself comes with a mark of the tool before it, so that no job can speak in the tool's name.
"""

from __future__ import annotations

import json
import re
from collections import deque
from collections.abc import Callable, Iterable, Mapping

from ..model.work import Annotation, Outcome, Step
from .actlog import clean, telling
from .redact import redact

PARTS = ("before_script", "script", "after_script")
_FINISHED = re.compile(r"finished in [\d.,a-zμ ]+?(?:\s+(FAIL|WARN) (\d+)(?:\s+(after_script))?)?\s*$")
_QUIET = "> still running..."


class GitlabLog:
    """Accumulates the lines of one run of the tool.

    Args:
        job: the job's full name.
        before: how many commands its `before_script` has.
        clock: seconds, for how long a part took.
        allow: whether the job may fail, whatever its exit code.
        known: secret values that must not be shown.
    """

    def __init__(self, *, job: str, before: int, clock: Callable[[], float], allow: bool = False, known: Iterable[str] = ()) -> None:
        self.job, self.before, self._clock, self._allow, self._known = job, before, clock, allow, tuple(known)
        self.annotations: list[Annotation] = []
        self.outputs: Mapping[str, str] = {}
        self.outcome: Outcome | None = None
        self.leftovers = 0
        self.stray: deque[str] = deque(maxlen=20)
        self._parts: dict[str, tuple[Outcome | None, float]] = {}
        self._now = ""
        self._began = 0.0
        self._commands = 0
        self._code = 0
        self._failed = ""
        self._lines: deque[str] = deque(maxlen=80)

    @property
    def steps(self) -> tuple[Step, ...]:
        """The parts that began."""
        there = [(part, *self._parts[part]) for part in PARTS if part in self._parts]
        return tuple(
            Step(number=number, name=part, outcome=outcome, seconds=None if outcome is None else round(seconds, 3))
            for number, (part, outcome, seconds) in enumerate(there, 1)
        )

    def feed(self, line: str) -> list[str]:
        """Take one line in; what it adds to the log."""
        if line.startswith('{"leftovers"'):
            self.leftovers = int(json.loads(line).get("leftovers", 0))
            return []
        text = redact(clean(line), self._known)
        if not text.startswith(f"{self.job} "):
            if text and self.outcome is None:  # after the job's end the tool repeats what is known
                self.stray.append(text)
            elif text and self._now:  # and of an after_script behind a failure it does not say that it is over
                self._leave(Outcome.SUCCESS)
                self._now = ""
            return []
        return self._own(text[len(self.job) + 1 :])

    def _own(self, text: str) -> list[str]:
        if text.startswith("> "):
            if text == _QUIET:
                return []
            if self._now != "after_script":
                self._lines.append(text[2:])
            return [text[2:]]
        if text.startswith("$ "):
            return self._command(text)
        if text.startswith("Running after script"):
            return self._begin("after_script")
        finished = _FINISHED.match(text)
        if finished:
            return self._finish(finished[1] or "", finished[2] or "0", finished[3] or "")
        return [text]

    def _command(self, text: str) -> list[str]:
        self._commands += 1
        part = self._now
        if part != "after_script":
            part = "before_script" if self._commands <= self.before else "script"
        return [*(self._begin(part) if part != self._now else []), text]

    def _begin(self, part: str) -> list[str]:
        self._leave(Outcome.SUCCESS)
        self._now, self._began = part, self._clock()
        self._parts[part] = (None, 0.0)
        return [f"▶ {part}"]

    def _leave(self, outcome: Outcome) -> None:
        if self._now:
            self._parts[self._now] = (outcome, self._clock() - self._began)

    def _finish(self, word: str, code: str, part: str) -> list[str]:
        self._leave(Outcome.FAILURE if part else Outcome.SUCCESS)
        self._now = ""
        if part or self.outcome is not None:
            return []  # what happens after the script changes no result
        self._code = int(code)
        self.outcome = Outcome.SUCCESS
        if word:
            self._failed = "script" if "script" in self._parts else "before_script"
            _, seconds = self._parts.get(self._failed, (None, 0.0))
            self._parts[self._failed] = (Outcome.FAILURE, seconds)
            self.outcome = Outcome.FAILURE
            if word == "WARN" and not self._allow:
                # `allow_failure:exit_codes`: that this one is forgiven could be known only now.
                self.outcome = Outcome.SUCCESS
                self.annotations.append(Annotation(level="warning", message=f"{self.reason()}; its file allows this exit code", step=self._failed))
        return []

    def close(self, outcome: Outcome) -> str:
        """Nothing more will come: the part it was cut off in, in words, or an empty text."""
        cut, self._now = self._now, ""
        if cut:
            self._parts[cut] = (outcome, self._clock() - self._began)
        self.outcome = self.outcome or outcome
        return f'"{cut}"' if cut else ""

    def reason(self) -> str:
        """Why the job failed: the part, its exit code and its most telling line."""
        if not self._failed:
            return self.stray[-1] if self.stray else ""
        told = telling(self._lines, [])
        number = next((step.number for step in self.steps if step.name == self._failed), 1)
        return f'step {number} "{self._failed}" ended with exit code {self._code}' + (f": {told}" if told else "")
