"""A stand-in of Hugging Face Jobs over loopback HTTP, stateful: whoami, hardware, asking for a job, listing by label, cancelling; the hub is in it.

Its shapes are those that `huggingface_hub` 2.4 sends and reads. A test moves a job on with `set_stage`, or gives a folder: then a job really runs, as
a child process with its environment and its secrets and nothing else.
"""

from __future__ import annotations

import contextlib
import subprocess
import threading
from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import psutil

from .exchange import Request, address, page, sends, utcnow, zulu
from .faults import Reply
from .hub import FakeHub

TERMINAL = ("COMPLETED", "CANCELED", "ERROR", "DELETED")


class FakeHuggingFace(FakeHub):
    """Hugging Face, as far as jobs need it.

    Args:
        room: a folder in which jobs run, their logs as ID.log; None runs none.
        env: what is in a container's environment before a job comes, as PATH.

    Attributes:
        jobs: what was asked for, oldest first, as the API shows it; the secrets are kept apart, in `secrets` by id.
        token: the one that is accepted.
    """

    def __init__(
        self, *, now: Callable[[], datetime] = utcnow, user: str = "octo", room: Path | None = None, env: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(now=now)
        self.user, self.token = user, "hf_" + "standin" * 4
        self.tokens = {self.token}
        self.room, self.env = room, dict(env or {})
        self.running: dict[str, subprocess.Popen[bytes]] = {}
        self.jobs: list[dict[str, Any]] = []
        self.secrets: dict[str, dict[str, str]] = {}

    def set_stage(self, id_: str, stage: str, message: str | None = None) -> None:
        """Move a job on."""
        with self.lock:
            job = next(job for job in self.jobs if job["id"] == id_)
            job["status"] = {"stage": stage, "message": message}
            self.lock.notify_all()

    def close(self) -> None:
        """Stop, and end the jobs that run."""
        for process in self.running.values():
            _end(process)
        super().close()

    def answer(self, request: Request) -> Reply:
        """What the API says."""
        if request.header("Authorization") != f"Bearer {self.token}":
            return sends({"error": "Invalid username or password."}, 401)
        if request.method == "GET" and request.path == "/api/whoami-v2":
            return sends({"type": "user", "name": self.user, "auth": {"type": "access_token"}})
        if request.method == "GET" and request.path == "/api/jobs/hardware":
            return sends([_hardware("cpu-basic", 167), _hardware("t4-small", 6667)])
        if where := address("/api/jobs/{namespace}", request.raw):
            if where["namespace"] != self.user:
                return sends({"error": "You do not have permission to run jobs in this namespace"}, 403)
            return self._ask(request) if request.method == "POST" else self._list(request)
        if (where := address("/api/jobs/{namespace}/{id}/cancel", request.raw)) and request.method == "POST":
            return self._cancel(where["id"])
        if where := address("/api/jobs/{namespace}/{id}", request.raw):
            job = next((job for job in self.jobs if job["id"] == where["id"]), None)
            return sends({"error": "Job not found"}, 404) if job is None else sends(job)
        return super().answer(request)

    def _ask(self, request: Request) -> Reply:
        body = request.json()
        if not isinstance(body.get("command"), list) or not isinstance(body.get("environment"), dict) or "dockerImage" not in body:
            return sends({"error": "Invalid job spec"}, 400)
        id_ = f"{len(self.jobs) + 0x687FB701029421AE5549D998:024x}"
        self.secrets[id_] = dict(body.pop("secrets", {}))
        owner = {"id": "5e9ecfc04957053f60648a3e", "name": self.user, "type": "user"}
        made = {"id": id_, "createdAt": zulu(self.now()), "owner": owner, "status": {"stage": "SCHEDULING", "message": None}, **body}
        self.jobs.append(made)
        if self.room is not None:
            self._run(made, self.room)
        return sends(made)

    def _run(self, job: dict[str, Any], room: Path) -> None:
        """Run it, as the platform would."""
        there = room / job["id"]
        there.mkdir(parents=True)
        env = {"HOME": str(there), "TMPDIR": str(there), **self.env, **job["environment"], **self.secrets[job["id"]]}
        with (room / f"{job['id']}.log").open("wb") as log:
            argv = [*job["command"], *job["arguments"]]
            made = subprocess.Popen(
                argv, env=env, cwd=there, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT, start_new_session=True
            )
        self.running[job["id"]] = made
        job["status"] = {"stage": "RUNNING", "message": None}
        threading.Thread(target=self._mind, args=(job, made), daemon=True).start()

    def _mind(self, job: dict[str, Any], process: subprocess.Popen[bytes]) -> None:
        code = process.wait()
        with self.lock:
            if job["status"]["stage"] not in TERMINAL:
                words = f"Job failed with exit code: {code}" if code else None
                job["status"] = {"stage": "ERROR" if code else "COMPLETED", "message": words}
            self.lock.notify_all()

    def _list(self, request: Request) -> Reply:
        wanted = [text.partition("=")[::2] for text in request.every("label")]
        fits = [job for job in reversed(self.jobs) if all(job.get("labels", {}).get(key) == value for key, value in wanted)]
        items, _, links = page(fits, request, url=self.root + request.path)
        reply = sends(items)
        reply.headers.update(links)
        return reply

    def _cancel(self, id_: str) -> Reply:
        job = next((job for job in self.jobs if job["id"] == id_), None)
        if job is None:
            return sends({"error": "Job not found"}, 404)
        if job["status"]["stage"] in TERMINAL:
            return sends({"error": "Job is already finished"}, 409)
        job["status"] = {"stage": "CANCELED", "message": None}
        if id_ in self.running:
            _end(self.running[id_])
        return sends(job)


def _end(process: subprocess.Popen[bytes]) -> None:
    """A container ends with all that is in it."""
    with contextlib.suppress(psutil.NoSuchProcess):
        first = psutil.Process(process.pid)
        for one in [*first.children(recursive=True), first]:
            with contextlib.suppress(psutil.NoSuchProcess):
                one.kill()


def _hardware(name: str, micro: int) -> dict[str, Any]:
    shown = {"name": name, "prettyName": name, "cpu": "2 vCPU", "ram": "16 GB", "ephemeralStorage": "20 GB", "accelerator": None}
    return {**shown, "unitCostMicroUSD": micro, "unitCostUSD": micro / 1e6, "unitLabel": "minute"}
