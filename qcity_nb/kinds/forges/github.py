"""GitHub's REST API, for the runners of one repository or organisation. Source: docs.github.com/rest/actions, version 2022-11-28."""

from __future__ import annotations

import platform
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from urllib.parse import quote, urlsplit

import msgspec

from ...decide.wording import nearest
from ...errors import BadInput, PlatformError
from ...model.agent import Package, Remote, RemoteJob, Wanted
from ...model.proposal import Proposal
from ...ports import Registration
from .http import Caller

DOTCOM = "https://github.com"
SYSTEMS = {"Linux": "linux", "Darwin": "osx", "Windows": "win"}
PROCESSORS = {"x86_64": "x64", "AMD64": "x64", "aarch64": "arm64", "arm64": "arm64", "armv7l": "arm"}


class _Label(msgspec.Struct):
    name: str
    type: str = "custom"


class _Runner(msgspec.Struct):
    id: int
    name: str
    status: str
    busy: bool = False
    labels: list[_Label] = []
    os: str = ""
    ephemeral: bool = False
    version: str | None = None


class _Runners(msgspec.Struct):
    runners: list[_Runner]


class _Step(msgspec.Struct):
    name: str
    conclusion: str | None = None


class _Job(msgspec.Struct):
    id: int
    run_id: int
    name: str
    status: str
    conclusion: str | None = None
    labels: list[str] = []
    runner_name: str | None = None
    created_at: datetime | None = None
    started_at: datetime | None = None
    steps: list[_Step] = []
    run_attempt: int = 1


class _Jobs(msgspec.Struct):
    jobs: list[_Job]


class _Repository(msgspec.Struct):
    full_name: str


class _Run(msgspec.Struct):
    id: int


class _Runs(msgspec.Struct):
    workflow_runs: list[_Run]


class _Token(msgspec.Struct):
    token: str
    expires_at: datetime


class _Jit(msgspec.Struct):
    runner: _Runner
    encoded_jit_config: str


class _Package(msgspec.Struct):
    os: str
    architecture: str
    download_url: str
    filename: str
    sha256_checksum: str | None = None


class _Group(msgspec.Struct):
    id: int
    name: str


class _Groups(msgspec.Struct):
    runner_groups: list[_Group]


class _Pull(msgspec.Struct):
    number: int
    html_url: str
    state: str
    body: str = ""
    merged_at: datetime | None = None


class GitHub:
    """A `Forge`, and `Proposing` for a repository.

    Args:
        wanted: its `url` is the web address (github.com, or an enterprise server's), its `scope` is owner/name or an organisation.
        token: classic with `repo` (or `admin:org`), or fine-grained with Administration, of the repository, to write
            (for proposals: Contents and Pull requests, to write).
    """

    def __init__(self, wanted: Wanted, token: str) -> None:
        self._wanted, url = wanted, (wanted.url or DOTCOM).rstrip("/")
        api = "https://api.github.com" if url == DOTCOM else f"{url}/api/v3"
        headers = {"Authorization": f"Bearer {token}", "Accept": "application/vnd.github+json", "X-GitHub-Api-Version": "2022-11-28"}
        self.caller = Caller(api, headers, who="GitHub" if url == DOTCOM else urlsplit(url).netloc)
        owner, _, name = wanted.scope.partition("/")
        self._repo = f"/repos/{quote(owner)}/{quote(name)}" if name else ""
        self._base = f"{self._repo or f'/orgs/{quote(owner)}'}/actions"

    def runners(self) -> list[Remote]:
        """All runners of the scope."""
        return [_remote(one) for page in self.caller.pages(f"{self._base}/runners", _Runners) for one in page.runners]

    def runner(self, id_: int) -> Remote | None:
        """One of them."""
        try:
            return _remote(self.caller.get(f"{self._base}/runners/{id_}", _Runner))
        except PlatformError as error:
            if error.kind == "not_found" and not error.needed:
                return None
            raise

    def find(self, name: str) -> Remote | None:
        """The runner of that name. An unknown repository is answered with the nearest one that the token sees."""
        try:
            page = self.caller.get(f"{self._base}/runners", _Runners, name=name, per_page="100")
        except PlatformError as error:
            near = self._near() if error.kind == "not_found" and self._repo else ""
            if near:
                raise PlatformError(error.what, f'Did you mean "{near}"?', kind=error.kind, needed=error.needed) from error
            raise
        return next((_remote(one) for one in page.runners if one.name == name), None)

    def register(self, wanted: Wanted) -> Registration:
        """A just-in-time configuration for an ephemeral runner, else a registration token that lives for an hour."""
        if not wanted.ephemeral:
            token = self.caller.send("POST", f"{self._base}/runners/registration-token", _Token)
            return Registration(secret=token.token, jit=False, expires=token.expires_at)
        body = {"name": wanted.name, "runner_group_id": self._group(wanted.group), "labels": list(wanted.labels), "work_folder": "_work"}
        given = self.caller.send("POST", f"{self._base}/runners/generate-jitconfig", _Jit, body)
        return Registration(secret=given.encoded_jit_config, jit=True, id=given.runner.id)

    def remove(self, id_: int) -> None:
        """Delete a registration."""
        try:
            self.caller.send("DELETE", f"{self._base}/runners/{id_}", type(None))
        except PlatformError as error:
            if error.kind != "not_found":
                raise

    def set_labels(self, id_: int, labels: Sequence[str]) -> None:
        """Replace the custom labels."""
        self.caller.send("PUT", f"{self._base}/runners/{id_}/labels", dict[str, object], {"labels": list(labels)})

    def pause(self, id_: int, *, paused: bool) -> bool:
        """GitHub cannot pause a runner: it is drained by taking its labels."""
        return False

    def queued(self) -> list[RemoteJob]:
        """The jobs that wait. An organisation has no list of them."""
        return [job for job in self._jobs("queued") if job.status == "queued"]

    def running(self, runner: Remote) -> list[RemoteJob]:
        """The jobs that this runner has now, else the one it had last."""
        mine = [job for job in self._jobs("in_progress") if job.runner == runner.name]
        return mine or [job for job in self._jobs("completed", newest=10) if job.runner == runner.name][:1]

    def rerun(self, job: RemoteJob) -> None:
        """Run one job again, and what needs it."""
        self.caller.send("POST", f"{self._repo}/actions/jobs/{job.id}/rerun", dict[str, object], {"enable_debug_logging": False})

    def cancel(self, job: RemoteJob) -> None:
        """Cancel its run."""
        self.caller.send("POST", f"{self._repo}/actions/runs/{job.run}/cancel", dict[str, object])

    def packages(self) -> list[Package]:
        """The runner's releases for this machine."""
        system, processor = SYSTEMS.get(platform.system(), ""), PROCESSORS.get(platform.machine(), "")
        offered = self.caller.get(f"{self._base}/runners/downloads", list[_Package])
        mine = [one for one in offered if one.os == system and one.architecture == processor]
        if not mine:
            raise BadInput(f"GitHub offers no runner for {platform.system()} on {platform.machine()}", "Use another machine")
        return [
            Package(version=_version(one.filename), url=one.download_url, filename=one.filename, sha256=one.sha256_checksum or "") for one in mine
        ]

    def verify(self, token: str) -> bool:
        """A listener's key cannot be asked about."""
        return True

    def proposals(self, branch: str) -> list[Proposal]:
        """The pull requests of a branch of the repository itself, the newest first."""
        head = f"{self._wanted.scope.partition('/')[0]}:{branch}"
        asked = {"state": "all", "head": head, "sort": "created", "direction": "desc"}
        return [_proposal(one) for one in self.caller.get(f"{self._repo}/pulls", list[_Pull], **asked)]

    def propose(self, branch: str, base: str, title: str, body: str) -> Proposal:
        """Open a pull request."""
        return _proposal(self.caller.send("POST", f"{self._repo}/pulls", _Pull, {"head": branch, "base": base, "title": title, "body": body}))

    def amend(self, number: int, title: str, body: str, *, close: bool = False) -> Proposal:
        """Change what a pull request says."""
        more = {**({"title": title} if title else {}), **({"state": "closed"} if close else {})}
        return _proposal(self.caller.send("PATCH", f"{self._repo}/pulls/{number}", _Pull, {"body": body, **more}))

    def skew(self) -> timedelta | None:
        """Our clock minus GitHub's."""
        return self.caller.skew

    def _near(self) -> str:
        """The repository that the token sees whose name is nearest to ours; empty when none is near, or nobody says."""
        try:
            return nearest(self._wanted.scope, [one.full_name for one in self.caller.get("/user/repos", list[_Repository], per_page="100")])
        except PlatformError:
            return ""

    def _group(self, name: str) -> int:
        if not name or self._repo:
            return 1  # the default group; a repository has no others
        for page in self.caller.pages(f"{self._base}/runner-groups", _Groups):
            for group in page.runner_groups:
                if group.name.lower() == name.lower():
                    return group.id
        todo = "Make it in the organisation's settings, or leave the group out"
        raise PlatformError(f'there is no runner group "{name}"', todo, kind="not_found")

    def _jobs(self, status: str, *, newest: int = 100) -> Iterator[RemoteJob]:
        if not self._repo:
            return
        runs = self.caller.get(f"{self._repo}/actions/runs", _Runs, status=status, per_page=str(newest))
        for run in runs.workflow_runs:
            for page in self.caller.pages(f"{self._repo}/actions/runs/{run.id}/jobs", _Jobs):
                yield from map(_job, page.jobs)


def _remote(one: _Runner) -> Remote:
    labels = tuple(label.name for label in one.labels)
    return Remote(
        id=one.id,
        name=one.name,
        online=one.status == "online",
        busy=one.busy,
        labels=labels,
        os=one.os,
        version=one.version or "",
        ephemeral=one.ephemeral,
    )


def _proposal(one: _Pull) -> Proposal:
    return Proposal(number=one.number, url=one.html_url, state="merged" if one.merged_at else one.state, body=one.body)


def _job(one: _Job) -> RemoteJob:
    ended = [step for step in one.steps if step.conclusion]
    failed = next((step.name for step in ended if step.conclusion == "failure"), "")
    return RemoteJob(
        id=one.id,
        run=one.run_id,
        name=one.name,
        status=one.status,
        conclusion=one.conclusion or "",
        labels=tuple(one.labels),
        runner=one.runner_name or "",
        created=one.created_at,
        started=one.started_at,
        concluded_steps=len(ended),
        failed_step=failed,
        attempt=one.run_attempt,
    )


def _version(filename: str) -> str:
    """`2.336.0` of `actions-runner-linux-x64-2.336.0.tar.gz`."""
    return filename.removesuffix(".zip").removesuffix(".tar.gz").rpartition("-")[2]
