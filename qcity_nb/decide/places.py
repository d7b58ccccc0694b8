"""Which environment this is, what its owner's terms allow there, and which places may take work over. Pure: facts in, rulings out.

Source for Colab's clauses: its FAQ, as quoted by several public repositories; the page itself could not be read here. What nobody has read is
said to be unknown and not offered.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from collections.abc import Set as AbstractSet

from ..errors import BadInput
from ..model.fleet import PlaceConfig
from ..model.place import PlaceReport, Ruling, Tier, Venue
from .wording import did_you_mean

ELSEWHERE = "Use your own machine, a host over SSH (kind ssh), or a Hugging Face job (kind huggingface)"
COLAB_HOURS = 24.0
"""What Colab gives a paid machine at most; a free one gets 12, and neither is promised."""
VARIABLES = (
    (Venue.KAGGLE, ("KAGGLE_KERNEL_RUN_TYPE",)),  # before Colab: its image can carry Colab's variables
    (Venue.COLAB, ("COLAB_RELEASE_TAG", "COLAB_NOTEBOOK_ID")),
    (Venue.BINDER, ("BINDER_LAUNCH_HOST", "BINDER_REPO_URL", "BINDER_REQUEST")),
    (Venue.JUPYTERHUB, ("JUPYTERHUB_USER", "JUPYTERHUB_SERVICE_PREFIX")),
    (Venue.DEEPNOTE, ("DEEPNOTE_PROJECT_ID",)),
    (Venue.DATABRICKS, ("DATABRICKS_RUNTIME_VERSION",)),
    (Venue.COCALC, ("COCALC_PROJECT_ID",)),
    (Venue.SAGEMAKER, ("SAGEMAKER_INTERNAL_IMAGE_URI",)),
    (Venue.PAPERMILL, ("QCITY_NB_HEADLESS",)),
    (Venue.VSCODE, ("VSCODE_PID",)),
    (Venue.CI, ("GITHUB_ACTIONS", "GITLAB_CI", "CI")),
    (Venue.JUPYTER, ("JPY_SESSION_NAME", "JPY_PARENT_PID")),
)
"""The first venue of which a variable is set, hosts before front ends. Each is set by the venue itself, papermill's by whoever runs it for us:
nothing of papermill's reaches a kernel, and what started it may have been any of those below it."""
FOLDERS = {"/kaggle/input": Venue.KAGGLE, "/home/studio-lab-user": Venue.STUDIO_LAB}
"""Folders that tell the venue where no variable does."""
DAGSHUB = ("DAGSHUB_TOKEN", "DAGSHUB_USER_TOKEN")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,39}")
OFF = ("", "0", "false", "no")


def detect(env: Mapping[str, str], *, paths: AbstractSet[str] = frozenset(), kernel: bool = False) -> Venue:
    """Which environment a process is in.

    Args:
        env: its environment.
        paths: which of the folders in question exist (`FOLDERS`).
        kernel: whether it is a notebook's kernel, whatever the variables say.
    """
    if "/kaggle/input" in paths:
        return Venue.KAGGLE  # its image can carry Colab's variables
    for venue, names in VARIABLES:
        if venue is Venue.PAPERMILL:  # here the front ends begin, and no host has a variable set
            for path, host in FOLDERS.items():
                if path in paths:
                    return host
        if venue is Venue.VSCODE and env.get("SERVER_SOFTWARE", "").startswith("voila/"):
            return Venue.VOILA  # a page that shows a notebook: who looks at it can run no cell
        if any(env.get(name, "").lower() not in OFF for name in names):
            return venue
    return Venue.JUPYTER if kernel else Venue.BARE


def attached(env: Mapping[str, str]) -> tuple[str, ...]:
    """What a venue is connected with that is none itself: DagsHub has no kernels of its own, its client runs inside of others."""
    there = any(env.get(name) for name in DAGSHUB) or "dagshub.com" in env.get("MLFLOW_TRACKING_URI", "")
    return ("DagsHub",) if there else ()


def policy(venue: Venue, tier: Tier = Tier.UNKNOWN) -> Ruling:
    """What the terms of a venue allow: an engine with runners that take work from a forge."""
    if venue is Venue.COLAB:
        return _colab(tier)
    if venue is Venue.BINDER:
        why = "Binder is for demonstrations: a session ends after about ten idle minutes, and is no server"
        return Ruling(allowed=False, why=why, todo=f"qcity demo runs there. {ELSEWHERE}")
    if venue in UNREAD:
        why = f"what {venue.value}'s terms say about CI runners was never read here, so they are not offered"
        return Ruling(allowed=False, why=why, todo=ELSEWHERE)
    if venue is Venue.VOILA:
        why = "Voila shows a notebook to people who are not its owner, so nothing is started for them"
        return Ruling(allowed=False, why=why, todo=f"Start it from a terminal on that machine: qcity up. {ELSEWHERE}")
    if venue in OWN_ACCOUNT:
        return Ruling(why=f"a machine of your own {venue.value} account, whose terms were never read here: ask who runs it")
    return Ruling()


UNREAD = frozenset({Venue.KAGGLE, Venue.DEEPNOTE, Venue.COCALC, Venue.STUDIO_LAB})
"""Machines that somebody lends, under terms that nobody has read for this."""
OWN_ACCOUNT = frozenset({Venue.DATABRICKS, Venue.SAGEMAKER})
"""Machines that an account pays for by the hour."""
LENT = frozenset({Venue.COLAB, Venue.BINDER, Venue.JUPYTERHUB, Venue.DATABRICKS, Venue.SAGEMAKER, *UNREAD})
"""Where a public address of ours concerns somebody else, too."""


NO_TUNNEL = frozenset({"colab", "jupyter", "domain", "static"})
"""Providers that open nothing to everybody: the venue's own proxy, and what is served by somebody else anyway."""


def reachable(chain: Iterable[str], venue: Venue, tier: Tier, *, acknowledged: bool) -> Ruling:
    """What the terms of a venue allow of tunnels.

    Args:
        chain: the providers that would be asked.
        acknowledged: a person said that everybody may reach it, and has read the terms.
    """
    public = [name for name in chain if name not in NO_TUNNEL]
    if not public or venue not in LENT:
        return Ruling()
    own = "colab" if venue is Venue.COLAB else "jupyter"
    if venue is Venue.COLAB and tier is not Tier.PAID:
        clause = 'its FAQ forbids "connecting to remote proxies" and web services apart from notebooks'
        why = f"the provider {public[0]} is refused on free Colab: {clause}"
        todo = f"Leave the chain out: the notebook's own proxy ({own}) serves you alone; a paid one says QCITY_TIER=paid"
        return Ruling(allowed=False, why=why, todo=todo)
    if not acknowledged:
        why = f"{public[0]} opens this machine to everybody, and the terms of {venue.value} may end the session for it"
        return Ruling(allowed=False, why=why, todo=f"Leave the chain out to use its own proxy ({own}), or say public=True (--public)")
    return Ruling()


def default_chain(venue: Venue) -> tuple[str, ...]:
    """The providers that are asked when nobody names any, by preference."""
    if venue is Venue.COLAB:
        return ("colab",)
    return ("jupyter",) if venue in (Venue.BINDER, Venue.JUPYTERHUB) else ("ngrok", "ssh", "cloudflared", "localtunnel")


def tier_of(options: Mapping[str, str]) -> Tier:
    """The tier that a person states in a place's options.

    Raises:
        BadInput: there is no such tier.
    """
    given = options.get("tier", "unknown")
    if given not in [tier.value for tier in Tier]:
        raise BadInput(f'"{given}" is no tier', 'Write tier = "paid" or tier = "free"')
    return Tier(given)


def bounded(ruling: Ruling, options: Mapping[str, str], *, default: float) -> float:
    """For how many hours a place is taken: as asked for, at most what policy allows.

    Raises:
        BadInput: it is no number of hours, or too many.
    """
    given = options.get("hours", "")
    most = ruling.hours
    try:
        hours = float(given) if given else min(default, most or default)
    except ValueError:
        raise BadInput(f'"{given}" is no number of hours', "Write hours = 6") from None
    if not 0 < hours < 1000 or (most is not None and hours > most):
        raise BadInput(f"hours = {given} cannot be had there", f"Ask for more than 0 and at most {most:g}" if most else "Ask for more than 0")
    return hours


def known_name(name: str) -> None:
    """See to it that a name can be a file's, a session's and a label's.

    Raises:
        BadInput: it cannot.
    """
    if not _NAME.fullmatch(name):
        raise BadInput(f'a place cannot be called "{name}"', "Use letters, digits, dots, dashes and underscores, 40 at most")


def known_options(config: PlaceConfig, known: Iterable[str]) -> None:
    """See to it that a place has no option that its kind does not know.

    Raises:
        BadInput: it has one; the sentence names the nearest right one.
    """
    for name in config.options:
        if name not in known:
            todo = did_you_mean(name, sorted(known), what="option")
            raise BadInput(f'places of the kind {config.kind} have no option "{name}" (place {config.name})', todo)


def asked(config: PlaceConfig, name: str, what: str) -> str:
    """An option that a place cannot do without.

    Raises:
        BadInput: it is not there.
    """
    if value := config.options.get(name, "").strip():
        return value
    raise BadInput(f"the place {config.name} does not say its {name}", f"{what}, for example: {name} = …")


def failing(reports: Iterable[PlaceReport]) -> tuple[dict[str, str], dict[str, str]]:
    """What `tenure.candidates` takes: the places that policy refuses, and those that are ill now, each with the reason."""
    refused: dict[str, str] = {}
    ill: dict[str, str] = {}
    for report in reports:
        if not report.allowed:
            refused[report.place] = report.why
        elif not report.healthy:
            ill[report.place] = report.why
    return refused, ill


def forbidden(places: Iterable[PlaceConfig], *, me: str, mine: Ruling) -> dict[str, str]:
    """The places of a fleet that policy refuses, each with the reason, as far as their kinds tell.

    Args:
        me: the name of the place that asks.
        mine: what policy says of where it really is.
    """
    rulings = {place.name: _understood(place) for place in places if place.kind == "colab"}
    return {name: ruling.why for name, ruling in {**rulings, me: mine}.items() if not ruling.allowed}


def _understood(place: PlaceConfig) -> Ruling:
    """What policy says of a Colab; one whose tier cannot be read may not take anything over."""
    try:
        return policy(Venue.COLAB, tier_of(place.options))
    except BadInput as error:
        return Ruling(allowed=False, why=error.what, todo=error.todo)


def _colab(tier: Tier) -> Ruling:
    if tier is Tier.PAID:
        why = "paid Colab with a positive balance of compute units: one session, in a visible executing cell, never as a public server"
        return Ruling(why=why, hours=COLAB_HOURS)
    unknown = "" if tier is Tier.FREE else ' (nobody said that it is paid: tier = "paid")'
    why = (
        "free Colab forbids distributed-computing workers and going around the notebook's page, and a CI runner is both; "
        f"tunnels, remote shells and public web services are forbidden too{unknown}"
    )
    return Ruling(allowed=False, why=why, todo=f"A paid plan with a positive balance lifts this. {ELSEWHERE}")
