"""The stand-in itself: the server, its front door, and what a test can make happen."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from .. import smart_git
from ..exchange import Request, tagged, utcnow
from ..faults import Reply
from ..forge import Forge
from . import managing, merging, shapes, working
from .routes import Call, Refusal, Route, allowed, known_token, params
from .state import Group, Job, Pipeline, Project, Rules, Runner, State, Token, new_job_token

ROUTES: tuple[Route, ...] = (*working.ROUTES, *managing.ROUTES, *merging.ROUTES)
MINUTE = timedelta(minutes=1)


class FakeGitLab(Forge):
    """GitLab, as far as runners and their jobs need it: the API of a runner (`working`) and that of people (`managing`), under `/api/v4`.

    ```
    with FakeGitLab() as gitlab:
        project = gitlab.project("octo/hello")
        token = gitlab.token(scopes=["create_runner"])
        made = requests.post(f"{gitlab.url}/user/runners", headers={"PRIVATE-TOKEN": token},
                             json={"runner_type": "project_type", "project_id": project.id, "tag_list": "gpu"}).json()
        job = gitlab.queue_job("octo/hello", script=["make test"], tags=["gpu"])
    ```

    `root` is what a person would call GitLab's URL, `url` the root of its API.

    Making things: `publish`, `project`, `serve` (a real repository), `group`, `token`, `expire`, `add_runner`, `queue_job`.
    Making things happen: `merge`, `finish_job`, `cancel_job`, `delete_runner`, `reset_token`, `contact`, `spend` (rate limit), `rules`.
    Making things go wrong: `fault`, `heal`, `down`, `up`, `outage`, `clock_offset`, `rules.down_for_runners`.
    Looking: `runners`, `runner`, `job`, `jobs`, `pipeline`, `log`, `seen`, `wait`, `flags`.

    Args:
        now: the time on GitLab; give a `FakeClock`'s to move it.

    Attributes:
        rules: durations and switches: how the service behaves. Change them at any time.
        flags: what a runner did that GitLab puts up with, but should not have to.
    """

    def __init__(self, *, now: Callable[[], datetime] = utcnow) -> None:
        super().__init__(now=now, base="/api/v4")
        self.state = State(now, self.lock, lambda: self.root)
        self._published: dict[str, bytes] = {}

    @property
    def rules(self) -> Rules:
        """How the service behaves."""
        return self.state.rules

    @property
    def flags(self) -> list[str]:
        """What a runner did that it should not."""
        return self.state.flags

    # the front door

    def answer(self, request: Request) -> Reply:
        """Find the handler, check the token, count, and tag."""
        self.state.settle()
        if request.method == "GET" and (file := self._published.get(request.path)) is not None:
            return Reply(body=file, headers={"Content-Type": "application/octet-stream"})
        if (reply := smart_git.through(request, self._bare, self._enters)) is not None:
            self._settle_refs()
            return reply
        for route in ROUTES:
            args = route.match(request)
            if args is not None:
                return self._through(route, request, args)
        return Refusal(404, "", error="404 Not Found").reply()

    def _through(self, route: Route, request: Request, args: dict[str, str]) -> Reply:
        token: Token | None = None
        try:
            if not route.open:
                token = known_token(self.state, request)
                allowed(route, token)
                self._count(token)
            about = Call(state=self.state, request=request, args=args, params=params(request), token=token)
            reply = tagged(request, route.handler(about))
        except Refusal as refusal:
            reply = refusal.reply()
        reply.headers["X-Request-Id"] = secrets.token_hex(8)
        if token is not None and token.reset is not None:
            numbers = {"Limit": token.limit, "Observed": token.used, "Remaining": max(0, token.limit - token.used)}
            reply.headers |= {f"RateLimit-{name}": str(number) for name, number in numbers.items()}
            reply.headers["RateLimit-Reset"] = str(int(token.reset.timestamp()))
        return reply

    def _bare(self, path: str) -> Path | None:
        return next((one.bare for one in self.state.projects.values() if one.path == path), None)

    def _enters(self, password: str, path: str, wanted: str) -> Reply | None:
        token = self.state.tokens.get(password)
        if token is None or (token.expires is not None and token.expires <= self.now()):
            return smart_git.refuses(401, "HTTP Basic: Access denied.")
        if (token.sees is not None and path not in token.sees) or self._bare(path) is None:
            return smart_git.refuses(404, "The project you were looking for could not be found or you don't have permission to view it.")
        may = token.scopes & {"api", "write_repository", f"{wanted}_repository"}
        return None if may else smart_git.refuses(403, "You are not allowed to push code to this project.")

    def _settle_refs(self) -> None:
        for one in self.state.projects.values():
            one.refs = smart_git.refs(one.bare) if one.bare is not None else one.refs

    def _count(self, token: Token) -> None:
        if token.reset is None or token.reset <= self.now():
            token.used, token.reset = 0, self.now() + MINUTE
        if token.used >= token.limit:
            raise Refusal(429, "Retry later", headers={"Retry-After": str(max(1, int((token.reset - self.now()).total_seconds())))})
        token.used += 1

    # making things

    def publish(self, files: Mapping[str, bytes]) -> str:
        """Serve files by their paths, as GitLab publishes gitlab-runner (`agents.package.gitlab_release`); the address to take them from."""
        self._published |= {f"/published/{path}": content for path, content in files.items()}
        return f"{self.root}/published"

    def project(self, path: str) -> Project:
        """Make a project."""
        with self.lock:
            made = Project(id=next(self.state.ids), path=path, registration_token="GR1348941" + secrets.token_hex(8), created=self.now())
            self.state.projects[made.id] = made
        return made

    def serve(self, path: str, bare: Path) -> str:
        """Have a project's repository be this bare one; the address from which git takes it."""
        with self.lock:
            self._at(path).bare = bare
            self._settle_refs()
        return f"{self.root}/{path}.git"

    def merge(self, path: str, number: int, *, squash: bool = False) -> None:
        """Merge a merge request of a project whose repository is served."""
        with self.lock:
            where = self._at(path)
            one = where.merges[number - 1]
            assert where.bare is not None
            smart_git.merge(where.bare, one.target, one.source, squash=squash)
            one.state = "merged"
            self._settle_refs()

    def group(self, path: str) -> Group:
        """Make a group; projects whose path begins with its path are in it."""
        with self.lock:
            made = Group(id=next(self.state.ids), path=path, registration_token="GR1348941" + secrets.token_hex(8))
            self.state.groups[made.id] = made
        return made

    def token(
        self, scopes: Iterable[str] = ("api",), *, sees: Iterable[str] | None = None, expires_in: timedelta | None = None, limit: int = 2000
    ) -> str:
        """Make a personal access token; `sees`: paths of projects and groups, None for all; `limit`: requests a minute."""
        value = "glpat-" + secrets.token_urlsafe(15)
        expires = None if expires_in is None else self.now() + expires_in
        seen = None if sees is None else frozenset(sees)
        with self.lock:
            self.state.tokens[value] = Token(value=value, scopes=frozenset(scopes), sees=seen, expires=expires, limit=limit)
        return value

    def expire(self, token: str) -> None:
        """End a token's life now."""
        with self.lock:
            self.state.tokens[token].expires = self.now()

    def spend(self, token: str, *, leave: int = 0) -> None:
        """Use this minute's requests of a token up, but for `leave`."""
        with self.lock:
            held = self.state.tokens[token]
            held.used, held.reset = held.limit - leave, self.now() + MINUTE

    def add_runner(self, path: str, description: str, *, tags: Sequence[str] = ()) -> Runner:
        """Register a runner of a project as somebody else would have."""
        with self.lock:
            where = self._at(path)
            return self.state.add_runner(kind="project_type", description=description, projects=[where.id], group=None, tags=list(tags))

    def queue_job(
        self,
        path: str,
        *,
        script: Sequence[str] = ("true",),
        name: str = "build",
        stage: str = "test",
        tags: Sequence[str] = (),
        pipeline: int | None = None,
        ref: str = "main",
        sha: str = "",
        repo_url: str = "",
        variables: Mapping[str, str] | None = None,
        artifacts: Sequence[Mapping[str, Any]] = (),
        manual: bool = False,
    ) -> int:
        """Queue a job, in a pipeline of its own or in `pipeline`; its id. `repo_url` may be a folder: that is what runners clone."""
        with self.lock:
            where = self._at(path)
            of = self.state.pipelines[pipeline] if pipeline is not None else self._pipeline(where, ref, sha)
            job = Job(
                id=next(self.state.ids),
                pipeline=of.id,
                project=where.id,
                name=name,
                stage=stage,
                script=list(script),
                tags=list(tags),
                token=new_job_token(),
                created=self.now(),
                variables=dict(variables or {}),
                artifacts=[dict(one) for one in artifacts],
                repo_url=repo_url,
            )
            self.state.jobs[job.id] = job
            if manual:
                job.status = "manual"
            else:
                self.state.queue(job)
        return job.id

    def _pipeline(self, where: Project, ref: str, sha: str) -> Pipeline:
        number = 1 + sum(one.project == where.id for one in self.state.pipelines.values())
        at = sha or shapes.sha(where.path, number)
        made = Pipeline(id=next(self.state.ids), number=number, project=where.id, ref=ref, sha=at, created=self.now())
        self.state.pipelines[made.id] = made
        return made

    def _at(self, path: str) -> Project:
        for one in self.state.projects.values():
            if one.path == path:
                return one
        raise LookupError(f"there is no project {path}")

    # making things happen

    def finish_job(self, number: int, status: str = "success", reason: str | None = None) -> None:
        """End a job from the service's side."""
        with self.lock:
            self.state.finish(self.state.jobs[number], status, reason)
            self.lock.notify_all()

    def cancel_job(self, number: int) -> None:
        """Cancel a job as a person would."""
        with self.lock:
            self.state.cancel(self.state.jobs[number])
            self.lock.notify_all()

    def delete_runner(self, description: str) -> None:
        """The service forgets a runner."""
        with self.lock:
            del self.state.runners[self.runner(description).id]
            self.lock.notify_all()

    def reset_token(self, description: str) -> str:
        """A runner's token is another one from now on (F35)."""
        with self.lock:
            runner = self.runner(description)
            self.state.new_token(runner)
            return runner.token

    def contact(self, description: str) -> None:
        """A runner is heard, and that is written down."""
        with self.lock:
            runner = self.runner(description)
            runner.contacted = runner.seen = self.now()

    # looking

    def runners(self) -> list[Runner]:
        """All runners."""
        with self.lock:
            return list(self.state.runners.values())

    def runner(self, description: str) -> Runner:
        """A runner by its description.

        Raises:
            LookupError: there is none.
        """
        for one in self.runners():
            if one.description == description:
                return one
        raise LookupError(f"there is no runner {description}")

    def job(self, number: int) -> Job:
        """A job as it is now."""
        with self.lock:
            self.state.settle()
            return self.state.jobs[number]

    def jobs(self, path: str) -> list[Job]:
        """All jobs of a project, oldest first."""
        with self.lock:
            self.state.settle()
            where = self._at(path)
            return [job for job in self.state.jobs.values() if job.project == where.id]

    def pipeline(self, number: int) -> Pipeline:
        """A pipeline."""
        with self.lock:
            return self.state.pipelines[number]
