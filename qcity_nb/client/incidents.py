"""Incidents: what went wrong, what was done about it, how it is known to be well."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from ..decide.health import Level
from ..decide.wording import did_you_mean, line, sentence, span
from ..errors import NotFound
from ..store import history
from ..store.history import Incident as Row
from .link import Link, now
from .tables import Html, Shown, clock, facts, frame, mark, table

if TYPE_CHECKING:
    import pandas as pd

LEVELS = {"open": Level.REPAIRING, "healthy": Level.WELL, "quarantined": Level.BAD}

COLUMNS = {
    "id": "whole",
    "runner": "text",
    "state": "text",
    "opened": "moment",
    "closed": "moment",
    "seconds": "number",
    "title": "text",
    "cause": "text",
    "done": "text",
    "proof": "text",
}


def tell(row: Row) -> str:
    """An incident as a colleague's note: what, why, the lines that show it, what was done, how it is known."""
    parts = [sentence(row.title), sentence(f"Cause: {row.cause}") if row.cause else ""]
    shown = "; ".join(text.rstrip(".") for text in row.evidence[:3])
    parts.append(sentence(f"Evidence: {line(shown, limit=600)}") if shown else "")
    parts.append(sentence("Done: " + "; ".join(text.rstrip(".") for text in row.done)) if row.done else "")
    parts.append(sentence("Proof: " + "; ".join(text.rstrip(".") for text in row.proof)) if row.proof else "")
    if row.state == "quarantined":
        parts.append(f"It needs you: qcity runner logs {row.service}, then qcity runner start {row.service}.")
    if row.state == "open":
        parts.append("It is being worked on.")
    return line(" ".join(part for part in parts if part), limit=2000)


class Incident(Shown):
    """One incident, as it is whenever it is looked at."""

    def __init__(self, link: Link, id_: int) -> None:
        self._link, self.id = link, id_

    @property
    def row(self) -> Row:
        """What the store knows."""
        with self._link.read() as connection:
            row = history.get_incident(connection, self._link.place, self.id)
        if row is None:
            raise NotFound(f"there is no incident {self.id} any more", "qcity incident list shows those there are")
        return row

    def sentence(self) -> str:
        """The whole story in a few sentences."""
        return tell(self.row)

    def __repr__(self) -> str:
        row = self.row
        return f"<Incident {row.id} · {line(row.title, limit=60)} · {row.state}>"

    def _html(self) -> str:
        row = self.row
        pairs: list[tuple[str, object]] = [
            ("is", Html(mark(LEVELS.get(row.state, Level.WARN), row.state))),
            ("began", clock(row.opened) + " UTC"),
            ("took", span((row.closed or now()) - row.opened)),
            ("cause", row.cause),
            ("done", "; ".join(row.done)),
            ("proof", "; ".join(row.proof)),
            ("evidence", " | ".join(row.evidence)),
        ]
        return facts(f"Incident {row.id}: {row.title}", pairs)


class Incidents(Shown):
    """The newest incidents of a place; `incidents[3]` is the one with that number."""

    def __init__(self, link: Link) -> None:
        self._link = link

    def rows(self, *, limit: int = 100) -> list[Row]:
        """What the store knows of them, oldest first."""
        with self._link.read() as connection:
            return history.latest_incidents(connection, self._link.place, limit=limit)

    def frame(self) -> pd.DataFrame:
        """The newest incidents as a pandas frame; times are UTC."""
        return frame(COLUMNS, [_record(row) for row in self.rows()])

    def __getitem__(self, id_: int) -> Incident:
        with self._link.read() as connection:
            found = history.get_incident(connection, self._link.place, id_) if isinstance(id_, int) and 0 < id_ < 1 << 31 else None
        if found is None:
            known = [str(row.id) for row in self.rows(limit=8)]
            none = "Nothing has gone wrong here yet"
            raise NotFound(f"there is no incident {line(str(id_), limit=40)}", did_you_mean(str(id_), known, what="incident", none=none))
        return Incident(self._link, id_)

    def __iter__(self) -> Iterator[Incident]:
        return iter([Incident(self._link, row.id) for row in self.rows()])

    def __len__(self) -> int:
        return len(self.rows())

    def __contains__(self, id_: object) -> bool:
        return any(row.id == id_ for row in self.rows())

    def _ipython_key_completions_(self) -> list[int]:
        return [row.id for row in self.rows()]

    def __repr__(self) -> str:
        return "\n".join(f"{row.id} {line(row.title, limit=60)}: {row.state}" for row in self.rows(limit=20)) or "nothing has gone wrong yet"

    def _html(self) -> str:
        rows = [
            (row.id, Html(mark(LEVELS.get(row.state, Level.WARN), row.state)), clock(row.opened), row.title, row.cause, "; ".join(row.proof))
            for row in self.rows(limit=20)
        ]
        return table("", ("incident", "is", "began (UTC)", "what", "cause", "proof"), rows, empty="Nothing has gone wrong yet.")


def _record(row: Row) -> dict[str, Any]:
    took = (row.closed - row.opened).total_seconds() if row.closed else None
    base = {"id": row.id, "runner": row.service, "state": row.state, "opened": row.opened, "closed": row.closed, "seconds": took}
    return base | {"title": row.title, "cause": row.cause, "done": "; ".join(row.done), "proof": "; ".join(row.proof)}
