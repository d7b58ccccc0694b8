"""Hugging Face's jobs over HTTP: asked for, found again by a label, followed to their end, cancelled."""

from __future__ import annotations

import contextlib
import threading
import time

from ...decide.huggingface import Job
from ...errors import PlatformError, QCityError
from ..forges.http import Caller

ENDED = ("COMPLETED", "CANCELED", "ERROR", "DELETED")
LOOK, PATIENCE = 3.0, 300.0
"""Seconds between two looks at a job, and that Hugging Face may be out of reach before nobody knows any more how a job is."""


class Jobs:
    """The jobs of a namespace. Every call raises `PlatformError` when it is refused, or not answered.

    Args:
        caller: with a token that may ask for jobs.
        namespace: of a user or an organization.
    """

    def __init__(self, caller: Caller, namespace: str) -> None:
        self._caller, self._path = caller, f"/api/jobs/{namespace}"

    def ask(self, body: dict[str, object]) -> Job:
        """Ask for one."""
        return self._caller.send("POST", self._path, Job, body)

    def ask_once(self, body: dict[str, object], label: str, value: str) -> Job:
        """Ask for one whose label nobody else has: when the answer is lost it is found by that."""
        try:
            return self.ask(body)
        except PlatformError:
            for job in self.labelled(label, value):
                return job
            raise

    def labelled(self, label: str, value: str) -> list[Job]:
        """All with this label."""
        found = [job for page in self._caller.pages(self._path, list[Job], label=f"{label}={value}") for job in page]
        return [job for job in found if (job.labels or {}).get(label) == value]

    def cancel(self, job: Job) -> None:
        """Cancel one, if it has not ended by itself."""
        try:
            self._caller.send("POST", f"{self._path}/{job.id}/cancel", type(None))
        except PlatformError as error:
            if error.kind != "conflict":
                raise

    def followed(self, job: Job, over: threading.Event) -> Job:
        """The job when it has ended. It is cancelled when nobody wants it any more, or nobody knows how it is."""
        seen = time.monotonic()
        try:
            while job.status.stage not in ENDED and not over.wait(LOOK):
                try:
                    job, seen = self._caller.get(f"{self._path}/{job.id}", Job), time.monotonic()
                except PlatformError as error:
                    if error.permanent or time.monotonic() - seen > PATIENCE:
                        raise
        finally:
            if job.status.stage not in ENDED:
                with contextlib.suppress(QCityError):  # its own time ends it
                    self.cancel(job)
        return job
