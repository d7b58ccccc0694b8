"""Places that work can go to: what a look at one found, what is brought there, and how its engine is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum

from .fleet import PlaceConfig

SHARED_STORE = "shared-store"
"""Under which name the address of a store that places share is kept for a runner that hands it on: like a token, for it may hold a password."""


class Venue(Enum):
    """What kind of environment a process finds itself in."""

    KAGGLE = "Kaggle"
    COLAB = "Colab"
    BINDER = "Binder"
    JUPYTERHUB = "JupyterHub"
    DEEPNOTE = "Deepnote"
    DATABRICKS = "Databricks"
    COCALC = "CoCalc"
    SAGEMAKER = "SageMaker"
    STUDIO_LAB = "SageMaker Studio Lab"
    VSCODE = "VS Code"
    VOILA = "Voila"
    PAPERMILL = "papermill"
    CI = "CI"
    JUPYTER = "Jupyter"
    BARE = "a plain process"


class Tier(Enum):
    """Whether a platform's work is paid for; unknown counts as free."""

    FREE = "free"
    PAID = "paid"
    UNKNOWN = "unknown"


@dataclass(frozen=True, kw_only=True)
class Ruling:
    """What policy says of running an engine with runners somewhere. `hours`: how long at most, None when nothing bounds it."""

    allowed: bool = True
    why: str = ""
    todo: str = ""
    hours: float | None = None


@dataclass(frozen=True, kw_only=True)
class PlaceReport:
    """What a look at a place found. `missing` says in words what keeps an engine from starting there; `why` is the whole in one sentence."""

    place: str
    kind: str
    allowed: bool = True
    reachable: bool = True
    why: str = ""
    todo: str = ""
    system: str = ""
    python: str = ""
    git: str = ""
    disk: int | None = None  # bytes that are free
    version: str = ""  # of the package that is installed there
    hours: float | None = None
    missing: tuple[str, ...] = ()

    @property
    def healthy(self) -> bool:
        """Whether an engine could start there now, policy aside."""
        return self.reachable and not self.missing

    @property
    def ready(self) -> bool:
        """Whether one may, too."""
        return self.allowed and self.healthy


class Running(Enum):
    """How the engine of a place is."""

    UP = "up"
    STARTING = "starting"
    DOWN = "down"
    ABSENT = "absent"  # nothing of ours is there
    UNKNOWN = "unknown"


@dataclass(frozen=True, kw_only=True)
class PlaceState:
    """The engine of a place, in its own words where it was asked, and what else is worth knowing. `until`: when the place ends by itself."""

    place: str
    kind: str
    running: Running
    sentence: str = ""
    headline: str = ""
    generation: int = 0
    version: str = ""
    link: str = ""  # where a person looks at it
    until: datetime | None = None


@dataclass(frozen=True, kw_only=True)
class Parcel:
    """What is brought to a place: this very version as a wheel (a path), what `qcity.toml` is to say there, tokens. `tag` changes with the wheel."""

    wheel: str
    version: str
    tag: str
    wheels: tuple[str, ...] = ()  # of everything that it needs, for a place without a package index
    config: str = ""
    store: str = field(default="", repr=False)
    credentials: Mapping[str, str] = field(default_factory=dict, repr=False)


@dataclass(frozen=True, kw_only=True)
class Sighting:
    """What a shared store says of one place's engine; `age` is of its last sign of life, in seconds of the store's own rows."""

    place: str
    machine: str
    generation: int
    age: float
    released: bool = False


@dataclass(frozen=True, kw_only=True)
class PlaceAsk:
    """What a client asks of a place: `verb` is check, status, start or stop."""

    verb: str
    config: PlaceConfig
    home: str
    store: str = field(default="", repr=False)
    sightings: tuple[Sighting, ...] = ()


@dataclass(frozen=True, kw_only=True)
class PlaceAnswer:
    """What came of it: a report, a state, or an error by the name of its class."""

    report: PlaceReport | None = None
    state: PlaceState | None = None
    error: str = ""
    what: str = ""
    todo: str = ""
