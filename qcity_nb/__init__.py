"""CI runners that you start from a notebook, that stay up, repair themselves, and say in one sentence what went wrong.

    import qcity_nb
    city = qcity_nb.open()
    city.runners.start("local", repo="path/of/a/repository")

Importing this does nothing and loads nothing heavy; `open` begins.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .client.city import QCity
    from .errors import (
        BadConfig,
        BadInput,
        EngineError,
        HomeError,
        MissingTool,
        NotFound,
        QCityError,
        Refused,
        StoreCorrupt,
        StoreError,
        StoreFull,
        StoreTooNew,
    )

__version__ = "0.1.0"

__all__ = [
    "BadConfig",
    "BadInput",
    "EngineError",
    "HomeError",
    "MissingTool",
    "NotFound",
    "QCity",
    "QCityError",
    "Refused",
    "StoreCorrupt",
    "StoreError",
    "StoreFull",
    "StoreTooNew",
    "__version__",
    "demo",
    "open",
    "resume",
    "simulate",
]

HOSTS = ("process", "kernel", "once")


def open(  # noqa: A001 - `qcity_nb.open` reads as what it does
    home: str | Path | None = None, host: str = "process", *, say: Callable[[str], None] = print
) -> QCity:
    """The place at `home`, ready to be looked at and commanded. Opening it again is harmless.

    Args:
        home: its folder; None means QCITY_HOME, else the platform's folder for a user's state.
        host: who runs the engine when there is none: `process` (detached: it survives this kernel and terminal), `kernel` (a thread
            in here: for places where nothing may be spawned) or `once` (in here while you wait: papermill, CI).
        say: told what you should know although you did not ask; prints by default.

    Raises:
        HomeError: the folder cannot be used.
        StoreError: its store cannot be opened; the sentence says why and what to do.
    """
    from .errors import BadInput

    if host not in HOSTS:
        from .decide.wording import did_you_mean

        raise BadInput(f'there is no host "{host}" for the engine', did_you_mean(str(host), HOSTS, what="host"))
    import os

    from .client.city import QCity
    from .client.hosts import Host, InlineHost, ProcessHost
    from .store.database import Store, prepare, prepare_home
    from .ui.painter import PAINTER

    url = os.environ.get("QCITY_STORE") or None
    store, said = prepare(prepare_home(home_folder(home)), url, follows=True)
    if said:
        say(said)
    runs: Host
    if host == "process":
        runs = ProcessHost(store)
    else:
        from .engine import hosts

        own = Store(store.home, url)
        runs = InlineHost(store, hosts.KernelHost(own) if host == "kernel" else hosts.OnceHost(own))
    return QCity(store, runs, say=say, painter=PAINTER)


def resume(
    kind: str = "",
    target: str | Path = "",
    *,
    name: str = "",
    home: str | Path | None = None,
    host: str = "process",
    say: Callable[[str], None] = print,
    **options: Any,
) -> QCity:
    """The first cell of a machine that goes away, as Colab's: go on from a vault, and say in a few lines what was done. Twice is once.

        city = qcity_nb.resume("folder", "/content/drive/MyDrive/qcity")

    Args:
        kind, target: where the vault is, as `city.vaults.add` takes it; nothing means the one that is known here.
        name: what it is called here; without one, after its kind.
        home, host, say: as `open` takes them.
        options: `sealed`, `key_file`, `every`, and the kind's own.

    Raises:
        QCityError: there is nothing to go on from, or it cannot be used; the sentence says why and what to do.
    """
    city = open(home, host, say=say)
    try:
        for line in city.resume(kind, target, name=name, **options).lines:
            say(line)
    except BaseException:
        city.close()
        raise
    return city


def home_folder(home: str | Path | None = None) -> Path:
    """Where a home is: as given, else QCITY_HOME, else the platform's folder for a user's state."""
    import os

    if given := home or os.environ.get("QCITY_HOME"):
        return Path(given).expanduser().absolute()
    import platformdirs

    return Path(platformdirs.user_state_dir("qcity", appauthor=False))


def demo(folder: str | Path | None = None, *, keep: bool = True) -> int:
    """Run the whole product once, on a small repository of its own, and show what happens; 0 when all of it was seen to happen."""
    from .cli import demo as scene

    return scene.run(Path(folder) if folder else None, keep=keep)


def simulate(folder: str | Path = "qcity-simulation", *, say: Callable[[str], None] = print) -> QCity:
    """A place to look at without an account, a repository or a machine of your own: the real engine over simulated runners that live, work and break.

    It says everywhere that it is a simulation. It ends by itself after two hours, or by `.stop()`; its folder is used again then.

    Raises:
        HomeError: the folder holds something else.
    """
    from .demo import simulate as stage

    return stage.play(folder, say=say)


def load_ipython_extension(shell: Any) -> None:
    """`%load_ext qcity_nb`: gives a notebook `%qcity`, the command, and `%%qcity_job`, a cell as a job."""
    from .ui import magic

    magic.register(shell)


def __getattr__(name: str) -> Any:
    if name == "QCity":
        return importlib.import_module(".client.city", __name__).QCity
    if name in __all__:
        return getattr(importlib.import_module(".errors", __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
