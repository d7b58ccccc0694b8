"""An agent: the official program of a forge (GitHub's listener, `gitlab-runner`) that runs its jobs. What is seen of one, and what a cause asks for.

Moments are aware UTC datetimes of the wall clock, as platforms and logs write them; durations are `timedelta`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import Enum

from .service import Exit

FORGES = {"github": "https://github.com", "gitlab": "https://gitlab.com"}
"""The forges we know, and where each is when nobody says otherwise."""
TOKENS = {
    "github": ("QCITY_GITHUB_TOKEN", "GITHUB_TOKEN", "GH_TOKEN"),
    "gitlab": ("QCITY_GITLAB_TOKEN", "GITLAB_TOKEN", "GITLAB_PRIVATE_TOKEN"),
}
"""Where a forge's token is looked for, the best first. None of these reaches an agent."""


OWNED = "qcity"
"""The label (with a dash and the place's id behind it) by which we know our own registrations."""


def credential(forge: str, url: str) -> str:
    """The name under which the token for a forge at an address is kept."""
    return f"{forge}-{(url or FORGES[forge]).partition('://')[2].strip('/')}"


class Act(Enum):
    """What is done about a cause. The first ones happen by restarting: the agent's next start does them before the agent runs."""

    RESTART = "restart"
    RESESSION = "wait until the old session is over, then restart"
    WAIT_CLOCK = "wait for the clock, then restart"
    REGISTER = "register again"
    RENAME = "register under a new name"
    INSTALL = "install the agent afresh"
    RENEW = "give it no jobs, clear its caches, install it afresh, and give it jobs when its canary passes"
    RERUN = "run the lost job again, once"
    CANCEL = "cancel the phantom run"
    PURGE = "make room on the disk"
    REAP = "end what the last job left running"
    OWN = "give the work folder back to the runner"
    LIMIT = "give jobs less, so that the agent keeps its share"
    SLOW = "ask less often"
    DELETE = "delete the registration that nobody uses"
    RETRY = "try again later"
    KEEP_ALIVE = "start it once, so that it is not forgotten"
    RELOAD = "write its configuration and have it read again"
    HOLD = "ask a person"


class Trust(Enum):
    """How much has to be known before an act: GitHub's catalogue of failures marks each with A, V or H."""

    AUTO = "automatic"
    VERIFIED = "automatic after a second, independent proof"
    HUMAN = "only a person"


class Reach(Enum):
    """How the platform's API answered last."""

    UNKNOWN = "not asked yet"
    FINE = "answers"
    DOWN = "cannot be reached"
    DENIED = "refuses the token"
    LIMITED = "asks for patience"


@dataclass(frozen=True, kw_only=True)
class Remote:
    """A runner as its platform lists it."""

    id: int
    name: str
    online: bool
    busy: bool = False
    labels: tuple[str, ...] = ()
    os: str = ""
    version: str = ""
    ephemeral: bool = False
    paused: bool = False
    contacted: datetime | None = None


@dataclass(frozen=True, kw_only=True)
class RemoteJob:
    """A job as its platform lists it. `concluded_steps` counts the steps that came to an end."""

    id: int
    run: int
    name: str
    status: str
    conclusion: str = ""
    labels: tuple[str, ...] = ()
    runner: str = ""
    created: datetime | None = None
    started: datetime | None = None
    concluded_steps: int = 0
    failed_step: str = ""
    attempt: int = 1


@dataclass(frozen=True, kw_only=True)
class Package:
    """A release of an agent as its platform offers it. Without a checksum it is refused."""

    version: str
    url: str
    filename: str
    sha256: str = ""


@dataclass(frozen=True, kw_only=True)
class Clue:
    """A line of an agent's log that means something: its name in `decide.agentlog`, the line itself, when it was written."""

    name: str
    line: str
    at: datetime | None = None


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """All that is known of one agent at one moment. Whoever looks fills in what can be seen from there; the rest says that it is not known.

    `remote` is None with `absent` when a complete and fresh list does not have it, and None without when nobody could look.
    """

    at: datetime
    name: str = ""  # our name for it, and where it is: for the command that a person is told
    scope: str = ""
    root: str = ""
    forge: str = "github"
    life: int = 0  # which start of the agent this tells of
    alive: bool = False
    foreign: bool = False  # started by somebody else: watched, never touched
    ephemeral: bool = False
    ended: Exit | None = None
    worker: bool | None = None  # whether a process that runs a job lives below the agent; None when that cannot be seen
    worker_code: int | None = None
    twin: int | None = None  # another process on the same folder or registration
    cpu: float | None = None  # share of a core that the job used over the last look
    silence: timedelta = timedelta(0)  # since its log grew
    clues: tuple[Clue, ...] = ()  # of this life, oldest first
    connected: bool | None = None  # an established connection to its platform; None when that cannot be seen
    reach: Reach = Reach.UNKNOWN
    reach_text: str = ""
    needed: str = ""  # the permission that a refusal named
    path: str = ""  # the layer of the network that fails: dns, tcp, tls, proxy, http; empty when all is well or nobody asked
    skew: timedelta | None = None  # our clock minus the platform's
    remote: Remote | None = None
    absent: bool = False
    phantom: timedelta | None = None  # for how long its platform has shown it busy and nothing below it worked
    waiting: timedelta | None = None  # the longest wait of a queued job that this agent could take
    unmatched: tuple[str, ...] = ()  # labels that a waiting job asks for and no runner has
    running_for: timedelta | None = None
    worst: timedelta | None = None  # the longest that this job's name ever took
    job: RemoteJob | None = None  # what the platform says of the job it had
    lost: bool = False  # an earlier life of it ended with a job under way, which has not been seen to
    configured: bool = True  # its registration's files are there
    refused: str = ""  # the last call about its registration that failed, and how: "register: not_found", "delete: busy", "verify: forbidden"
    refusals: int = 0  # in a row
    fingerprint_differs: bool = False  # its folder was copied from another machine
    version: str = ""
    offered: str = ""  # the newest version that its platform offers
    update_failed: bool = False
    update_finished: bool = False
    same_version_starts: int = 0  # starts in a row that were meant to update and did not
    free_disk: int | None = None  # bytes
    free_disk_share: float | None = None
    free_inodes_share: float | None = None
    not_ours: tuple[str, ...] = ()  # files in the work folder that belong to another user
    orphans: int = 0  # processes that the last job left
    unseen: timedelta | None = None  # since it was last online
    canary_failures: int = 0  # in a row
    canary: str = ""  # what was wrong at the last one
    twins_offline: tuple[int, ...] = ()  # ids of our own registrations that no process belongs to any more


@dataclass(frozen=True, kw_only=True)
class Finding:
    """A row of the catalogue that holds: which, why, the lines that show it, and what is to be done."""

    code: str
    cause: str
    act: Act
    trust: Trust
    evidence: tuple[str, ...] = ()
    todo: str = ""


@dataclass(frozen=True, kw_only=True)
class Suspicion:
    """A finding that waits for its second proof: since when, and how often it was seen."""

    code: str
    since: datetime
    seen: int = 1


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """What a person asked of an agent: where it registers and as what. `scope` is owner/name, an organisation, a project's or a group's path."""

    forge: str
    url: str
    scope: str
    name: str
    labels: tuple[str, ...] = ()
    ephemeral: bool = True
    group: str = ""
    version: str = ""  # pinned; empty means what the platform offers
    token: str = ""  # the name of the credential, never the credential
    options: tuple[tuple[str, str], ...] = field(default=())
