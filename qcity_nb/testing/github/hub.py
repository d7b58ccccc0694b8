"""The stand-in itself: the server, its front door (tokens, rate limits, ETags, the contract), and what a test can make happen."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from enum import Enum
from pathlib import Path
from types import TracebackType
from typing import Any

from .. import smart_git
from ..exchange import Request, tagged, utcnow
from ..faults import Reply
from ..forge import Forge
from ..openapi import contract
from . import agent, contents, runners, runs, shapes
from .routes import Call, Refusal, Route, call, known_token, level
from .state import HOUR, Download, Group, Job, Repo, Rules, Run, Runner, State, Token

ROUTES: tuple[Route, ...] = (*runners.ROUTES, *runs.ROUTES, *contents.ROUTES, *agent.ROUTES)


class Checksum(Enum):
    """What is told of an archive's SHA-256."""

    RIGHT = "right"
    WRONG = "wrong"
    MISSING = "missing"


class FakeGitHub(Forge):
    """GitHub, as far as self-hosted runners and repairs by pull request need it.

    ```
    with FakeGitHub() as github:
        github.repository("octo/hello")
        token = github.token(permissions={"administration": "write", "actions": "read"})
        requests.get(f"{github.url}/repos/octo/hello/actions/runners", headers={"Authorization": f"Bearer {token}"})
        job = github.queue_job("octo/hello", labels=["self-hosted", "gpu"])
        github.fault(faults.status(502), path="*/actions/runners", times=2)
    ```

    Addresses: those of GitHub's REST API that `ROUTES` lists, under `url`; GitHub's own side of a listener under `{root}/_agent/…` (see `agent`).
    Enterprise: `FakeGitHub(base="/api/v3")`.

    Making things: `repository`, `serve` (a real one), `organisation`, `token`, `expire`, `offer` (archives), `queue_job`, `add_runner`.
    Making things happen: `merge`, `busy`, `delete_runner`, `end_session`, `push` (messages to a listener), `finish_job`, `spend` (limits), `rules`.
    Making things go wrong: `fault`, `heal`, `down`, `up`, `outage`, `clock_offset`.
    Looking: `runners`, `runner`, `job`, `run`, `jobs`, `repo`, `log`, `seen`, `wait`, `violations`.

    Args:
        now: the time on GitHub; give a `FakeClock`'s to move it.
        base: `/api/v3` for Enterprise.
        validate: hold every request and reply against GitHub's OpenAPI document; by default when `openapi-core` is installed. A request that breaks
            it is refused with 422. What was found is in `violations`, and leaving the `with` block raises `ContractBroken` if there is any.
        lenient: leaving the block does not raise.

    Attributes:
        rules: durations, versions, limits: how the service behaves. Change them at any time.
        violations: what broke the contract.
    """

    def __init__(
        self, *, now: Callable[[], datetime] = utcnow, base: str = "", validate: bool | None = None, lenient: bool = False
    ) -> None:
        super().__init__(now=now, base=base)
        self.state = State(now, self.lock, lambda: self.root, lambda: self.url)
        self.violations: list[str] = []
        self._validates = contract.available() if validate is None else validate
        self._lenient = lenient

    @property
    def rules(self) -> Rules:
        """How the service behaves."""
        return self.state.rules

    @property
    def minimum_version(self) -> str:
        """Agents below this version are refused; empty: none."""
        return self.rules.minimum_version

    @minimum_version.setter
    def minimum_version(self, version: str) -> None:
        """Refuse agents below this version from now on."""
        self.rules.minimum_version = version

    # the front door

    def answer(self, request: Request) -> Reply:
        """Find the handler, check the token, count, and tag."""
        self.state.settle()
        if request.method == "HEAD" and request.path == "/":
            return Reply()  # the front page, which is no part of the API; its Date is all that anybody wants of it
        if (git := smart_git.through(request, self._bare, self._enters)) is not None:
            self._settle_refs()
            return git
        for route in ROUTES:
            args = route.match(request)
            if args is not None:
                return self._open(route, request, args) if route.open else self._api(route, request, args)
        if self._validates:
            self._violated(request, "GitHub or this stand-in does not have this address")
        return Refusal(404, "Not Found").reply()

    def _open(self, route: Route, request: Request, args: dict[str, str]) -> Reply:
        try:
            return route.handler(call(self.state, route, request, args, None))
        except Refusal as refusal:
            return refusal.reply()

    def _bare(self, name: str) -> Path | None:
        repo = self.state.repos.get(name.lower())
        return repo.bare if repo is not None else None

    def _enters(self, password: str, name: str, wanted: str) -> Reply | None:
        token = self.state.tokens.get(password)
        if token is None or (token.expires is not None and token.expires <= self.now()):
            return smart_git.refuses(401, "Invalid username or token.")
        if (token.sees is not None and name.lower() not in token.sees) or self._bare(name) is None:
            return smart_git.refuses(404, "Repository not found.")
        may = level(token, f"contents:{wanted}")
        return None if may else smart_git.refuses(403, "Write access to repository not granted.")

    def _settle_refs(self) -> None:
        for repo in self.state.repos.values():
            repo.refs = smart_git.refs(repo.bare) if repo.bare is not None else repo.refs

    def _api(self, route: Route, request: Request, args: dict[str, str]) -> Reply:
        token: Token | None = None
        try:
            token = known_token(self.state, request)
            self._renew_window(token)
            free = request.path == "/rate_limit"
            if not free and token.used >= token.limit:
                raise Refusal(403, "API rate limit exceeded for user ID 1.")
            about = call(self.state, route, request, args, token)
            if self._validates and (wrong := contract.broken_request(route.pattern, request, args)):
                self._violated(request, wrong)
                raise Refusal(422, f"This request breaks GitHub's description of it: {wrong}")
            reply = self._kept(route, request, args, route.handler(about))
            if reply.status != 304 and not free:
                token.used += 1
        except Refusal as refusal:
            reply = self._kept(route, request, args, refusal.reply())
        reply.headers |= {"X-GitHub-Media-Type": "github.v3; format=json", "X-GitHub-Request-Id": secrets.token_hex(8).upper()}
        if token is not None:
            reply.headers |= self._limits(token)
        return reply

    def _kept(self, route: Route, request: Request, args: dict[str, str], reply: Reply) -> Reply:
        """The reply with its ETag, having been held against the contract."""
        if self._validates and (wrong := contract.broken_reply(route.pattern, request, args, reply)):
            self._violated(request, f"our own reply {reply.status}: {wrong}")
        return tagged(request, reply)

    def _violated(self, request: Request, wrong: str) -> None:
        self.violations.append(f"{request.method} {request.target}: {wrong}")

    def _renew_window(self, token: Token) -> None:
        if token.reset is None or token.reset <= self.now():
            token.used, token.reset = 0, self.now() + HOUR

    @staticmethod
    def _limits(token: Token) -> dict[str, str]:
        assert token.reset is not None
        reset = str(int(token.reset.timestamp()))
        numbers = {"limit": str(token.limit), "remaining": str(max(0, token.limit - token.used)), "used": str(token.used), "reset": reset}
        return {f"x-ratelimit-{name}": number for name, number in numbers.items()} | {"x-ratelimit-resource": "core"}

    # making things

    def repository(self, name: str, *, private: bool = True, files: Mapping[str, bytes] | None = None) -> Repo:
        """Make owner/name with a branch `main` that holds the files."""
        owner, _, short = name.partition("/")
        with self.lock:
            repo = Repo(id=next(self.state.ids), owner=owner, name=short, private=private, created=self.now())
            repo.refs["refs/heads/main"] = shapes.sha(name, "first")
            repo.trees["main"] = dict(files or {"README.md": b"# hello\n"})
            self.state.repos[name.lower()] = repo
        return repo

    def serve(self, name: str, bare: Path) -> str:
        """Have a repository be this bare one; the address from which git takes it."""
        with self.lock:
            self.state.repos[name.lower()].bare = bare
            self._settle_refs()
        return f"{self.root}/{name}.git"

    def merge(self, name: str, number: int, *, squash: bool = False) -> None:
        """Merge a pull request of a repository that is served."""
        with self.lock:
            repo = self.state.repos[name.lower()]
            pull = repo.pulls[number - 1]
            assert repo.bare is not None
            smart_git.merge(repo.bare, pull.base, pull.head, squash=squash)
            pull.state, pull.merged = "closed", self.now()
            self._settle_refs()

    def organisation(self, name: str, *, groups: Iterable[str] = ()) -> dict[int, Group]:
        """Make an organisation; its runner groups are Default (1) and the given ones (2, 3, …)."""
        made = {1: Group(id=1, name="Default", default=True)} | {i: Group(id=i, name=group) for i, group in enumerate(groups, 2)}
        with self.lock:
            self.state.organisations[name.lower()] = made
        return made

    def token(
        self,
        permissions: Mapping[str, str] | None = None,
        *,
        sees: Iterable[str] | None = None,
        expires_in: timedelta | None = None,
        limit: int = 5000,
    ) -> str:
        """Make a token. `permissions`: name -> read or write, None for all; `sees`: repositories and organisations, None for all."""
        value = "github_pat_" + secrets.token_hex(12)
        seen = None if sees is None else frozenset(name.lower() for name in sees)
        expires = None if expires_in is None else self.now() + expires_in
        granted = None if permissions is None else dict(permissions)
        with self.lock:
            self.state.tokens[value] = Token(value=value, permissions=granted, sees=seen, expires=expires, limit=limit)
        return value

    def expire(self, token: str) -> None:
        """End a token's life now."""
        with self.lock:
            self.state.tokens[token].expires = self.now()

    def spend(self, token: str, *, leave: int = 0) -> None:
        """Use a token's rate limit up, but for `leave` requests."""
        with self.lock:
            held = self.state.tokens[token]
            self._renew_window(held)
            held.used = held.limit - leave

    def offer(
        self,
        archive: bytes,
        *,
        version: str = "2.336.0",
        os: str = "linux",
        architecture: str = "x64",
        checksum: Checksum = Checksum.RIGHT,
    ) -> str:
        """Offer an archive of the runner for download, in the place of what was offered for that system before; its file's name."""
        name = f"actions-runner-{os}-{architecture}-{version}.tar.gz"
        said = {Checksum.RIGHT: hashlib.sha256(archive).hexdigest(), Checksum.WRONG: "0" * 64, Checksum.MISSING: None}[checksum]
        with self.lock:
            kept = [one for one in self.state.downloads if (one.os, one.architecture) != (os, architecture)]
            self.state.downloads = [*kept, Download(os=os, architecture=architecture, filename=name, archive=archive, sha256=said)]
        return name

    def queue_job(
        self,
        repo: str,
        *,
        labels: Sequence[str] = ("self-hosted",),
        name: str = "build",
        run: int | None = None,
        branch: str = "main",
        workflow: str = "CI",
        payload: Any = None,
    ) -> int:
        """Queue a job, in a run of its own or in `run`; its id. The payload reaches the listener as it is (keep it JSON)."""
        with self.lock:
            here = self.state.repos[repo.lower()]
            about = Call(state=self.state, request=_nothing(self.now()), args={}, token=None, repo=here)
            made = self.state.runs[run] if run is not None else runs.new_run(about, name=workflow, event="push", branch=branch)
            job = Job(
                id=next(self.state.ids),
                run=made.id,
                attempt=made.attempt,
                repo=here.full_name,
                name=name,
                labels=tuple(labels),
                created=self.now(),
                payload=payload,
            )
            self.state.jobs[job.id] = job
            self.lock.notify_all()
        return job.id

    def add_runner(self, scope: str, name: str, *, labels: Sequence[str] = ("self-hosted",), ephemeral: bool = False, online: bool = False) -> Runner:
        """Register a runner as somebody else would have; it is heard as long as `touch` is called when `online`."""
        with self.lock:
            made = self.state.add_runner(name=name, scope=scope, labels=list(labels), ephemeral=ephemeral, os="linux")
            if online:
                made.seen, made.version = self.now(), "2.336.0"
            return made

    # making things happen

    def touch(self, scope: str, name: str) -> None:
        """A runner is heard."""
        with self.lock:
            self.runner(scope, name).seen = self.now()

    def busy(self, scope: str, name: str, *, busy: bool = True) -> None:
        """Make a runner busy without a job (the phantom of F2), or free again, taking its job from it."""
        with self.lock:
            one = self.runner(scope, name)
            one.held = busy
            if not busy:
                one.job = None

    def delete_runner(self, scope: str, name: str) -> None:
        """The service forgets a runner, busy or not; whoever waits for messages hears of it at once."""
        with self.lock:
            del self.state.runners[self.runner(scope, name).id]
            self.lock.notify_all()

    def end_session(self, scope: str, name: str) -> None:
        """The service forgets a session."""
        with self.lock:
            one = self.runner(scope, name)
            one.session = one.session_seen = None
            self.lock.notify_all()

    def push(self, scope: str, name: str, kind: str, body: Any = None) -> None:
        """Send a runner's listener a message, as AgentRefresh (update yourself) or BrokerMigration."""
        with self.lock:
            self.runner(scope, name).messages.append({"type": kind, "body": body})
            self.lock.notify_all()

    def finish_job(self, number: int, conclusion: str = "success") -> None:
        """End a job from the service's side."""
        with self.lock:
            self.state.finish(self.state.jobs[number], conclusion)
            self.lock.notify_all()

    # looking

    def repo(self, name: str) -> Repo:
        """A repository."""
        with self.lock:
            return self.state.repos[name.lower()]

    def runners(self, scope: str) -> list[Runner]:
        """The runners of a repository or an organisation as they are now."""
        with self.lock:
            self.state.settle()
            return self.state.runners_of(scope)

    def runner(self, scope: str, name: str) -> Runner:
        """A runner by its name.

        Raises:
            LookupError: there is none.
        """
        for one in self.runners(scope):
            if one.name == name:
                return one
        raise LookupError(f"{scope} has no runner {name}")

    def online(self, scope: str, name: str) -> bool:
        """Whether a runner is online."""
        with self.lock:
            return self.state.online(self.runner(scope, name))

    def job(self, number: int) -> Job:
        """A job as it is now."""
        with self.lock:
            self.state.settle()
            return self.state.jobs[number]

    def jobs(self, repo: str) -> list[Job]:
        """All jobs of a repository, all attempts, oldest first."""
        with self.lock:
            self.state.settle()
            return [job for job in self.state.jobs.values() if job.repo.lower() == repo.lower()]

    def run(self, number: int) -> Run:
        """A run."""
        with self.lock:
            return self.state.runs[number]

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        super().__exit__(kind, error, trace)
        if error is None and self.violations and not self._lenient:
            raise contract.ContractBroken("\n".join(self.violations))


def _nothing(now: datetime) -> Request:
    from email.message import Message

    return Request(method="", path="", raw="", target="", query={}, headers=Message(), body=b"", at=now)

