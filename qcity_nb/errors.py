"""Every error that a person may meet. Each says what happened, to what, and what to do next.

    QCityError
     ├── BadInput            what was given cannot be used (exit code 2)
     │    └── BadConfig      a wrong key or value in qcity.toml, with its line
     ├── NotFound            no runner, job or incident of that name
     ├── Refused             it is understood and not allowed, or not now
     ├── StoreError          the store cannot be opened or written
     │    ├── StoreTooNew    it was made by a newer version
     │    ├── StoreCorrupt   its file is damaged
     │    └── StoreFull      the disk is full
     ├── HomeError           the home folder cannot be used
     ├── EngineError         the engine did not start or does not answer
     ├── LeaseError          the store of leases did not answer: nobody knows whether what it was asked was done
     ├── PlatformError       a forge's API refused or did not answer
     ├── TunnelError         a provider gives no address that works
     ├── PlaceError          a place cannot be reached, or what was asked of it failed there
     └── MissingTool         a program or package is not installed
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .model.tunnel import Fault

PROGRAMS = ("qcity", "qmoi-live-status", "pip", "apt-get", "npm", "sysctl", "ssh-keyscan", "ssh-copy-id", "colab")


def advice(todo: str) -> str:
    """What to do next, as every place shows it: a sentence with a capital letter and a full stop. A program's name stays as it is typed."""
    todo = todo.strip()
    if not todo:
        return ""
    if not todo.startswith(tuple(f"{name} " for name in PROGRAMS)):
        todo = todo[0].upper() + todo[1:]
    return todo if todo[-1] in ".!?…" else todo + "."


class QCityError(Exception):
    """Something a person can understand and act on.

    Args:
        what: what happened and to what, one sentence without the final stop.
        todo: what to do next; empty when there is nothing.
        permanent: whether trying again cannot help.
    """

    exit_code = 1

    def __init__(self, what: str, todo: str = "", *, permanent: bool = True) -> None:
        todo = advice(todo)
        super().__init__(what, todo)
        self.what, self.todo, self.permanent = what, todo, permanent

    def __str__(self) -> str:
        return f"{self.what}. {self.todo}".rstrip()

    def _render_traceback_(self) -> list[str]:
        """What IPython shows in a cell: the sentence. Where it was raised is in sys.last_traceback."""
        return [f"qcity: {self}"]


class BadInput(QCityError):
    """What was given cannot be used."""

    exit_code = 2


class BadConfig(BadInput):
    """A wrong key or value in `qcity.toml`."""


class NotFound(QCityError):
    """There is no such runner, job or incident."""


class Refused(QCityError):
    """It is understood and not allowed, or not now."""


class StoreError(QCityError):
    """The store cannot be opened or written."""


class StoreTooNew(StoreError):
    """The store was made by a newer version of this package."""


class StoreCorrupt(StoreError):
    """The store's file is damaged."""


class StoreFull(StoreError):
    """The disk below the store is full."""


class HomeError(QCityError):
    """The home folder cannot be used."""


class EngineError(QCityError):
    """The engine did not start or does not answer."""


class LeaseError(QCityError):
    """The store of leases did not answer. A swap may or may not have been done; reading tells."""


class MissingTool(QCityError):
    """A program or a package that is needed is not installed."""


class PlatformError(QCityError):
    """A forge's API refused a call, or did not answer.

    Args:
        kind: unreachable, unauthorized, forbidden, not_found, conflict, busy, invalid, limited, server, garbled.
        needed: the permission that its reply named.
        retry_after: seconds that it asked us to wait.
        layer: of the network: dns, tcp, tls, proxy or http.
    """

    def __init__(self, what: str, todo: str = "", *, kind: str, needed: str = "", retry_after: float | None = None, layer: str = "") -> None:
        super().__init__(what, todo, permanent=kind not in ("unreachable", "limited", "server", "garbled", "busy"))
        self.kind, self.needed, self.retry_after, self.layer = kind, needed, retry_after, layer


class PlaceError(QCityError):
    """A place cannot be reached, or what was asked of it failed there. It may be asked again: everything that is done to a place is repeatable."""

    def __init__(self, what: str, todo: str = "", *, permanent: bool = False) -> None:
        super().__init__(what, todo, permanent=permanent)


class TunnelError(QCityError):
    """A provider gives no address that works.

    Args:
        fault: why, as one of `model.tunnel.Fault`; what follows from it is decided in `decide.tunnel`.
        retry_after: seconds that it asked us to wait.
    """

    def __init__(self, what: str, todo: str = "", *, fault: Fault, retry_after: float | None = None) -> None:
        super().__init__(what, todo, permanent=fault.lasting)
        self.fault, self.retry_after = fault, retry_after
