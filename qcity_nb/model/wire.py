"""What the engine and a runner's worker tell each other, one JSON line each, in files that outlive both.

Orders go down, facts come up. Either side may see a line twice after a crash: every one of them is safe to repeat.
"""

from __future__ import annotations

from datetime import datetime

import msgspec

from .schedule import Cell, Live, RunPlan, RunState
from .tunnel import Followed, Follower, Issued, TunnelView
from .work import Annotation, Artifact, BuildPlan, JobPlan, Outcome, Step


class Needed(msgspec.Struct, frozen=True, kw_only=True):
    """How a job that another one needs ended, with its outputs and its own needs (act is shown all ancestors)."""

    outcome: Outcome
    outputs: dict[str, str] = {}
    needs: tuple[str, ...] = ()


class RunJob(msgspec.Struct, frozen=True, kw_only=True, tag="run"):
    """Run this job now. `token` is unique for one attempt; a worker that knows it already ignores the line."""

    token: str
    job: int
    attempt: int
    build: int
    sha: str
    ref: str
    workflow: str
    executor: str
    plan: JobPlan
    needs: dict[str, Needed] = {}


class CancelJob(msgspec.Struct, frozen=True, kw_only=True, tag="cancel"):
    """End this attempt: `always()` steps get their chance, then everything of it is killed. The outcome reported is `outcome`."""

    token: str
    reason: str
    outcome: Outcome = Outcome.CANCELLED


class Seen(msgspec.Struct, frozen=True, kw_only=True, tag="seen"):
    """The commits that builds exist for already, per ref: sent first, so that a new worker starts where the last one was."""

    heads: dict[str, str]


class AgentCard(msgspec.Struct, frozen=True, kw_only=True):
    """An agent that the attendant is to look after: `phase` and `desired` as the engine has them."""

    name: str
    kind: str
    options: dict[str, object]
    labels: tuple[str, ...] = ()
    incarnation: int
    pid: int | None = None
    phase: str
    desired: str
    claim: str = ""


class Watch(msgspec.Struct, frozen=True, kw_only=True, tag="watch"):
    """To the attendant: these are the agents. It says again all that it knows of them, because another engine may have heard it."""

    agents: tuple[AgentCard, ...]


class Do(msgspec.Struct, frozen=True, kw_only=True, tag="do"):
    """To the attendant: do this about an agent and answer with the same key. Safe to repeat.

    `act` is an act's value, or leave, drain, undrain, labels; without an agent: discover, plan, delete, with `args` of its own.
    """

    key: str
    service: str
    act: str
    code: str = ""
    args: dict[str, object] = {}


class Mend(msgspec.Struct, frozen=True, kw_only=True, tag="mend"):
    """To an agent's next life: this was found, so do this before the agent runs."""

    act: str
    code: str


class RunNotebook(msgspec.Struct, frozen=True, kw_only=True, tag="notebook"):
    """Run this notebook now. `token` is unique for one attempt; a worker that knows it already ignores the line.

    `resumes` is the run whose kernel is to go on; `last` the executed notebook, below the home, that the outputs are held against.
    """

    token: str
    run: int
    attempt: int
    plan: RunPlan
    at: datetime
    resumes: int | None = None
    last: str = ""


class CancelRun(msgspec.Struct, frozen=True, kw_only=True, tag="cancel_run"):
    """End this attempt: its cell is interrupted, then its kernel is ended."""

    token: str
    reason: str


class FollowerCard(msgspec.Struct, frozen=True, kw_only=True):
    """One follower of a tunnel by its key, and what it was last told."""

    key: str
    follower: Follower
    last: Followed | None = None


class Follow(msgspec.Struct, frozen=True, kw_only=True, tag="follow"):
    """To a tunnel: these follow its address, and these origins were issued for it so far, oldest first. `generation` is the last one there was.

    `others`: origins that were issued for other tunnels too, so that they say nothing. Said first of all, and whenever it changes.
    """

    followers: tuple[FollowerCard, ...] = ()
    issued: tuple[Issued, ...] = ()
    others: tuple[str, ...] = ()
    generation: int = 0


class Probe(msgspec.Struct, frozen=True, kw_only=True, tag="probe"):
    """To a tunnel: ask a nonce through its address now, and tell its followers again."""


Order = RunJob | CancelJob | Seen | Watch | Do | Mend | RunNotebook | CancelRun | Follow | Probe


class Hello(msgspec.Struct, frozen=True, kw_only=True, tag="hello"):
    """The worker is up. `sandbox` is the level it proved; `missing` says in words what keeps it from `full`."""

    sandbox: str
    missing: str = ""


class BuildFound(msgspec.Struct, frozen=True, kw_only=True, tag="build"):
    """A commit asks for this build."""

    plan: BuildPlan


class JobBegan(msgspec.Struct, frozen=True, kw_only=True, tag="began"):
    """An attempt runs, under this sandbox level; `log` is the path of its log below the home."""

    token: str
    at: datetime
    sandbox: str
    log: str


class JobMoved(msgspec.Struct, frozen=True, kw_only=True, tag="moved"):
    """Steps and annotations of a running attempt so far."""

    token: str
    steps: tuple[Step, ...]
    annotations: tuple[Annotation, ...] = ()


class JobEnded(msgspec.Struct, frozen=True, kw_only=True, tag="ended"):
    """An attempt is over and nothing of it lives."""

    token: str
    at: datetime
    outcome: Outcome
    reason: str = ""
    steps: tuple[Step, ...] = ()
    annotations: tuple[Annotation, ...] = ()
    outputs: dict[str, str] = {}
    artifacts: tuple[Artifact, ...] = ()
    leftovers: int = 0


class Trouble(msgspec.Struct, frozen=True, kw_only=True, tag="trouble"):
    """Something outside the jobs is wrong (the repository cannot be reached, a disk is full); empty text means it is well again."""

    about: str
    text: str


class Advice(msgspec.Struct, frozen=True, kw_only=True, tag="advice"):
    """A row of the catalogue holds for an agent, and this is to be done now. The engine opens an incident for it.

    `mending`: the agent's own start does it already.
    """

    service: str
    incarnation: int
    code: str
    title: str
    cause: str
    act: str
    evidence: tuple[str, ...] = ()
    todo: str = ""
    human: bool = False
    mending: bool = False


class Proven(msgspec.Struct, frozen=True, kw_only=True, tag="proven"):
    """What was done about a row worked; `how` says how that is known."""

    service: str
    code: str
    how: str


class Well(msgspec.Struct, frozen=True, kw_only=True, tag="well"):
    """An agent is up: it says so, and its platform agrees if it could be asked."""

    service: str
    incarnation: int
    proof: str


class Did(msgspec.Struct, frozen=True, kw_only=True, tag="did"):
    """What came of a `Do`, or of what an agent's own start did; `key` is empty for the latter.

    `busy`: it runs a job, so it was left alone. `answer` and `error` are for whoever asked by a command.
    """

    service: str
    text: str
    key: str = ""
    busy: bool = False
    answer: dict[str, object] = {}
    error: str = ""
    todo: str = ""


class AgentView(msgspec.Struct, frozen=True, kw_only=True, tag="agent"):
    """An agent as its platform shows it, for people. `note` says what is suspected or not known, `checked` when the platform last answered."""

    service: str
    id: int | None = None
    name: str = ""
    online: bool | None = None
    busy: bool = False
    labels: tuple[str, ...] = ()
    version: str = ""
    url: str = ""
    note: str = ""
    checked: datetime | None = None


class Stranger(msgspec.Struct, frozen=True, kw_only=True, tag="stranger"):
    """An agent that somebody else started: `options` say what and where it is."""

    service: str
    alive: bool
    pid: int | None = None
    labels: tuple[str, ...] = ()
    options: dict[str, object] = {}


class Checked(msgspec.Struct, frozen=True, kw_only=True, tag="checked"):
    """A machine was looked at: before or after a job (`started`, `completed`), or by a canary. `text` is one sentence, `took` seconds."""

    service: str
    what: str
    ok: bool
    text: str
    at: datetime
    took: float = 0.0
    details: dict[str, str] = {}


class RunBegan(msgspec.Struct, frozen=True, kw_only=True, tag="run_began"):
    """An attempt at a run has begun, under this sandbox level."""

    token: str
    at: datetime
    sandbox: str = "none"


class RunMoved(msgspec.Struct, frozen=True, kw_only=True, tag="run_moved"):
    """Where an attempt is: in which cell, and how each cell stands; no cells when they stand as was said before."""

    token: str
    live: Live
    cells: tuple[Cell, ...] = ()


class RunEnded(msgspec.Struct, frozen=True, kw_only=True, tag="run_ended"):
    """An attempt is over. `cell` is the number of the cell that it failed in; its kernel is kept until `parked`; `output` lies below the home.

    `died`: it is lost because what executed it elsewhere died; else its worker was stopped, which is held against nobody.
    """

    token: str
    at: datetime
    state: RunState
    reason: str = ""
    cells: tuple[Cell, ...] = ()
    cell: int | None = None
    parked: datetime | None = None
    output: str = ""
    changed: str = ""
    died: bool = False


class TunnelMoved(msgspec.Struct, frozen=True, kw_only=True, tag="tunnel"):
    """Where a tunnel stands now; `story` says in one sentence what happened, empty when only figures moved."""

    view: TunnelView
    story: str = ""


class TunnelFollowed(msgspec.Struct, frozen=True, kw_only=True, tag="followed"):
    """What came of carrying a tunnel's address to the follower with this key."""

    key: str
    at: datetime
    what: Followed


RunFact = RunBegan | RunMoved | RunEnded

TunnelFact = TunnelMoved | TunnelFollowed

AgentFact = Advice | Proven | Well | Did | AgentView | Stranger | Checked

Fact = Hello | BuildFound | JobBegan | JobMoved | JobEnded | Trouble | AgentFact | RunFact | TunnelFact
