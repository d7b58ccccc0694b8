"""GitLab's REST API v4, for the runners of one project or group. Sources: docs.gitlab.com/api: runners, users, jobs."""

from __future__ import annotations

import platform
from collections.abc import Sequence
from datetime import datetime, timedelta
from urllib.parse import quote, urlsplit

import msgspec

from ...decide.wording import nearest
from ...errors import BadInput, PlatformError
from ...model.agent import OWNED, Package, Remote, RemoteJob, Wanted
from ...model.proposal import Proposal
from ...ports import Registration
from .http import Caller

DOTCOM = "https://gitlab.com"
DOWNLOADS = "https://gitlab-runner-downloads.s3.amazonaws.com/latest"
"""Where GitLab publishes gitlab-runner, with `release.sha256` beside it."""
PROCESSORS = {"x86_64": "amd64", "AMD64": "amd64", "aarch64": "arm64", "arm64": "arm64", "armv7l": "arm"}


class _Runner(msgspec.Struct):
    id: int
    description: str | None = ""
    online: bool | None = None
    paused: bool = False
    tag_list: list[str] = []
    version: str | None = ""
    platform: str | None = ""
    contacted_at: datetime | None = None
    job_execution_status: str = ""


class _Made(msgspec.Struct):
    id: int
    token: str
    token_expires_at: datetime | None = None


class _Scope(msgspec.Struct):
    id: int


class _Named(msgspec.Struct):
    path_with_namespace: str = ""  # of a project
    full_path: str = ""  # of a group


class _Pipeline(msgspec.Struct):
    id: int


class _Holder(msgspec.Struct):
    description: str | None = ""


class _Job(msgspec.Struct):
    id: int
    name: str
    status: str
    pipeline: _Pipeline
    tag_list: list[str] = []
    runner: _Holder | None = None
    created_at: datetime | None = None
    started_at: datetime | None = None
    failure_reason: str | None = None


class _Merge(msgspec.Struct):
    iid: int
    web_url: str
    state: str
    description: str = ""
    source_project_id: int = 0  # of a fork, another one
    target_project_id: int = 0


OURS = frozenset({"script_failure", "job_canceled"})
"""Reasons that are the job's own; every other one is the infrastructure's."""


class GitLab:
    """A `Forge`, and `Proposing` for a project.

    Args:
        wanted: its `url` is the web address, its `scope` a project's path or, with the option `group`, a group's.
        token: a personal, project or group access token with `create_runner` and `manage_runner` (or `api`).
    """

    def __init__(self, wanted: Wanted, token: str) -> None:
        self._wanted, url = wanted, (wanted.url or DOTCOM).rstrip("/")
        self.caller = Caller(f"{url}/api/v4", {"PRIVATE-TOKEN": token}, who="GitLab" if url == DOTCOM else urlsplit(url).netloc)
        self._options = dict(wanted.options)
        self._family = "groups" if self._options.get("scope") == "group" else "projects"
        self._base = f"/{self._family}/{quote(wanted.scope, safe='')}"

    def runners(self) -> list[Remote]:
        """All runners of the scope. The list has no tags: `runner` has."""
        return [_remote(one) for page in self.caller.pages(f"{self._base}/runners", list[_Runner]) for one in page]

    def runner(self, id_: int) -> Remote | None:
        """One of them, with its tags and its last contact."""
        try:
            return _remote(self.caller.get(f"/runners/{id_}", _Runner))
        except PlatformError as error:
            if error.kind == "not_found":
                return None
            raise

    def find(self, name: str) -> Remote | None:
        """The newest runner of that description. An unknown project or group is answered with the nearest one that the token sees."""
        try:
            mine = [one for one in self.runners() if one.name == name]
        except PlatformError as error:
            if near := self._near() if error.kind == "not_found" else "":
                raise PlatformError(error.what, f'Did you mean "{near}"?', kind=error.kind, needed=error.needed) from error
            raise
        return self.runner(max(one.id for one in mine)) if mine else None

    def register(self, wanted: Wanted) -> Registration:
        """Make a runner; its own token is what it works with."""
        scope = self.caller.get(self._base, _Scope)
        kind, key = ("group_type", "group_id") if self._family == "groups" else ("project_type", "project_id")
        asked = [label for label in wanted.labels if not label.startswith(f"{OWNED}-")]  # ours alone must not keep it from jobs without tags
        tags = {"tag_list": ",".join(wanted.labels), "run_untagged": not asked}
        body = {"runner_type": kind, key: scope.id, "description": wanted.name, **tags}
        made = self.caller.send("POST", "/user/runners", _Made, body)
        return Registration(secret=made.token, jit=False, id=made.id, expires=made.token_expires_at)

    def remove(self, id_: int) -> None:
        """Delete a runner."""
        try:
            self.caller.send("DELETE", f"/runners/{id_}", type(None))
        except PlatformError as error:
            if error.kind != "not_found":
                raise

    def set_labels(self, id_: int, labels: Sequence[str]) -> None:
        """Replace its tags."""
        self.caller.send("PUT", f"/runners/{id_}", _Runner, {"tag_list": list(labels)})

    def pause(self, id_: int, *, paused: bool) -> bool:
        """GitLab's own drain."""
        self.caller.send("PUT", f"/runners/{id_}", _Runner, {"paused": paused})
        return True

    def queued(self) -> list[RemoteJob]:
        """The jobs that wait. A group has no list of them."""
        if self._family == "groups":
            return []
        pages = self.caller.pages(f"{self._base}/jobs", list[_Job], **{"scope[]": "pending"})
        return [_job(one) for page in pages for one in page]

    def running(self, runner: Remote) -> list[RemoteJob]:
        """The jobs that it has now, else the one it had last."""
        mine = self.caller.get(f"/runners/{runner.id}/jobs", list[_Job], status="running")
        return [_job(one) for one in mine or self.caller.get(f"/runners/{runner.id}/jobs", list[_Job], per_page="1", order_by="id", sort="desc")]

    def rerun(self, job: RemoteJob) -> None:
        """Run a job again; one that still counts as running is cancelled first, by force where its runner would have to answer."""
        if job.status == "in_progress":
            where = f"{self._base}/jobs/{job.id}/cancel"
            if self.caller.send("POST", where, _Job).status == "canceling":
                self.caller.send("POST", where, dict[str, object], {"force": True})
        self.caller.send("POST", f"{self._base}/jobs/{job.id}/retry", dict[str, object])

    def cancel(self, job: RemoteJob) -> None:
        """Cancel one job."""
        self.caller.send("POST", f"{self._base}/jobs/{job.id}/cancel", dict[str, object])

    def packages(self) -> list[Package]:
        """gitlab-runner as GitLab publishes it; its checksums stand in `release.sha256`."""
        processor = PROCESSORS.get(platform.machine(), "")
        name = f"gitlab-runner-{platform.system().lower()}-{processor}"
        base = self._options.get("downloads") or DOWNLOADS
        lines = self.caller.text(f"{base}/release.sha256").splitlines()
        sums = {path.lstrip("*").rpartition("/")[2]: digest for digest, _, path in (line.strip().partition(" ") for line in lines) if path.strip()}
        sums = {path.strip().lstrip("*"): digest for path, digest in sums.items()}
        if not processor or name not in sums:
            raise BadInput(f"GitLab offers no gitlab-runner for {platform.system()} on {platform.machine()}", "Use another machine")
        return [Package(version=sums[name][:12], url=f"{base}/binaries/{name}", filename=name, sha256=sums[name])]

    def verify(self, runner_token: str) -> bool:
        """Whether a runner's own token is still good."""
        try:
            self.caller.send("POST", "/runners/verify", dict[str, object], {"token": runner_token})
        except PlatformError as error:
            if error.kind in ("forbidden", "unauthorized"):
                return False
            raise
        return True

    def proposals(self, branch: str) -> list[Proposal]:
        """The merge requests of a branch of the project, the newest first."""
        asked = {"state": "all", "source_branch": branch, "order_by": "created_at", "sort": "desc"}
        found = self.caller.get(f"{self._base}/merge_requests", list[_Merge], **asked)
        return [_proposal(one) for one in found if one.source_project_id == one.target_project_id]

    def propose(self, branch: str, base: str, title: str, body: str) -> Proposal:
        """Open a merge request."""
        sent = {"source_branch": branch, "target_branch": base, "title": title, "description": body}
        return _proposal(self.caller.send("POST", f"{self._base}/merge_requests", _Merge, sent))

    def amend(self, number: int, title: str, body: str, *, close: bool = False) -> Proposal:
        """Change what a merge request says."""
        more = {**({"title": title} if title else {}), **({"state_event": "close"} if close else {})}
        return _proposal(self.caller.send("PUT", f"{self._base}/merge_requests/{number}", _Merge, {"description": body, **more}))

    def skew(self) -> timedelta | None:
        """Our clock minus GitLab's."""
        return self.caller.skew

    def _near(self) -> str:
        """The project or group of the person whose token it is with the nearest path; empty when none is near, or nobody says."""
        groups = self._family == "groups"
        mine = {"min_access_level": "40"} if groups else {"membership": "true", "simple": "true"}  # 40: maintainers may have runners
        try:
            found = self.caller.get(f"/{self._family}", list[_Named], per_page="100", order_by="id", sort="desc", **mine)
        except PlatformError:
            return ""
        return nearest(self._wanted.scope, [one.full_path or one.path_with_namespace for one in found])


def _remote(one: _Runner) -> Remote:
    return Remote(
        id=one.id,
        name=one.description or "",
        online=bool(one.online),
        busy=one.job_execution_status == "active",
        labels=tuple(one.tag_list),
        os=one.platform or "",
        version=one.version or "",
        paused=one.paused,
        contacted=one.contacted_at,
    )


def _proposal(one: _Merge) -> Proposal:
    state = {"opened": "open", "locked": "open"}.get(one.state, one.state)  # locked: it is being merged
    return Proposal(number=one.iid, url=one.web_url, state=state, body=one.description)


def _job(one: _Job) -> RemoteJob:
    waits = one.status in ("pending", "created", "waiting_for_resource")
    over = {"success": "success", "failed": "failure", "canceled": "cancelled"}.get(one.status, "")
    return RemoteJob(
        id=one.id,
        run=one.pipeline.id,
        name=one.name,
        status="completed" if over else "queued" if waits else {"running": "in_progress"}.get(one.status, one.status),
        conclusion=over,
        labels=tuple(one.tag_list),
        runner=(one.runner.description or "") if one.runner else "",
        created=one.created_at,
        started=one.started_at,
        failed_step=(one.failure_reason or "") if one.failure_reason in OURS else "",
    )
