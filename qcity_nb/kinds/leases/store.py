"""A lease as a row of a table in a database that all places reach: one UPDATE that names the version it expects is the compare-and-swap.

The table is the shared store's own `leases`; in a database that is no store it is made. It needs no more of SQL than that, so any database will do,
and only a file that no other machine can open is refused.
"""

from __future__ import annotations

import os
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import URL, make_url

from ...errors import BadInput, LeaseError, MissingTool
from ...model.fleet import Holding, Stored
from ...model.home import Home
from . import from_text, to_text

META = sa.MetaData()
LEASES = sa.Table(
    "leases",
    META,
    sa.Column("claim", sa.String(64), primary_key=True),
    sa.Column("version", sa.Integer, nullable=False),
    sa.Column("record", sa.Text, nullable=False),
)


class StoreLease:
    """One claim's row.

    Args:
        url: the database.
        claim: the row's key.
        timeout: seconds that one statement may take.
    """

    def __init__(self, url: URL, claim: str, *, timeout: float) -> None:
        self._claim, self._shown = claim, url.render_as_string(hide_password=True)
        self._mine = LEASES.c.claim == claim
        try:
            self._engine = sa.create_engine(url, connect_args=_limits(url, timeout), pool_size=1, max_overflow=0)
        except ModuleNotFoundError as error:
            raise MissingTool(f"the driver of {self._shown} is not installed ({error.name})", 'pip install "qcity-nb[postgres]"') from None
        except sa.exc.ArgumentError:
            raise BadInput(f"{self._shown} names a driver that nobody knows", "It looks like postgresql+psycopg://user@host/name") from None
        self._made = False

    def read(self) -> Stored | None:
        """The row as it is now."""
        try:
            with self._begin() as connection:
                row = connection.execute(sa.select(LEASES.c.version, LEASES.c.record).where(self._mine)).first()
        except sa.exc.DBAPIError as error:
            raise self._unreachable(error) from None
        return None if row is None else Stored(record=from_text(row.record, f"the leases of {self._shown}"), version=str(row.version))

    def swap(self, expected: str | None, record: Holding) -> str | None:
        """Update the row if it has the expected version; see `ports.LeaseStore`."""
        text, version = to_text(record).decode(), 1 if expected is None else int(expected) + 1
        change: sa.Update | sa.Insert = LEASES.insert().values(claim=self._claim, version=version, record=text)
        if expected is not None:
            change = LEASES.update().where(self._mine, LEASES.c.version == int(expected)).values(version=version, record=text)
        try:
            with self._begin() as connection:
                changed = connection.execute(change).rowcount
        except sa.exc.IntegrityError:  # there was a row already
            return None
        except sa.exc.DBAPIError as error:
            raise self._unreachable(error) from None
        return str(version) if changed == 1 or expected is None else None  # an INSERT that raises nothing is done

    def close(self) -> None:
        """Give the connection back."""
        self._engine.dispose()

    def _begin(self) -> Any:
        if not self._made:
            try:
                META.create_all(self._engine)
            except sa.exc.IntegrityError:  # another place made it at the same moment
                pass
            except sa.exc.ProgrammingError:  # the same, in other words; or it may not be made, which the next statement says
                pass
            self._made = True
        return self._engine.begin()

    def _unreachable(self, error: sa.exc.DBAPIError) -> LeaseError:
        self._engine.dispose()  # a connection that failed is no good any more
        self._made = False
        said = str(error.orig).strip().splitlines() or ["it said nothing"]
        return LeaseError(f"the leases in {self._shown} cannot be reached ({said[0][:200]})", "It is asked again", permanent=False)


class KIND:
    """Leases in a database: `store:URL`, or only `store` for the shared store that this home uses itself."""

    @staticmethod
    def open(address: str, claim: str, *, home: Home, timeout: float) -> StoreLease:
        """The lease of a claim in the database at `address`.

        Raises:
            BadInput: it is none that other places can reach, or a password stands in it.
        """
        own = not address
        address = address or os.environ.get("QCITY_STORE", "")
        example = 'Write lease = "store:postgresql+psycopg://user@host/name", or give all places the same QCITY_STORE'
        if not address:
            raise BadInput(f"this home's own store is a SQLite file ({home.store}), which no other place can reach", example)
        try:
            url = make_url(address)
        except (sa.exc.ArgumentError, ValueError):
            raise BadInput("the address of the leases is no database", example) from None
        if url.get_backend_name() == "sqlite":
            raise BadInput("leases cannot be kept in a SQLite file: it has no compare-and-swap between machines", example)
        if url.password and not own:
            raise BadInput("the address of the leases holds a password", "Leave it out: PGPASSFILE, or ~/.pgpass, knows it")
        if url.drivername in ("postgresql", "postgres"):
            url = url.set(drivername="postgresql+psycopg")
        return StoreLease(url, claim, timeout=timeout)


def _limits(url: URL, timeout: float) -> dict[str, object]:
    """What keeps one call from taking longer than it may, as far as the driver lets us; the engine gives up on one that takes longer still."""
    if url.get_backend_name() == "sqlite":
        return {"timeout": timeout}
    if url.get_backend_name() != "postgresql":
        return {}
    milliseconds = max(1, int(timeout * 1000))
    options = f"-c statement_timeout={milliseconds} -c lock_timeout={milliseconds} -c synchronous_commit=on"
    return {"connect_timeout": max(2, int(timeout)), "tcp_user_timeout": milliseconds, "options": options}
