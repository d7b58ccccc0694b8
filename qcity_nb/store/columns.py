"""Column types: moments as seconds since 1970 (small, comparable, the same on every database) and model values as JSON text."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Any

import msgspec
from sqlalchemy import Double, Text
from sqlalchemy.engine import Dialect
from sqlalchemy.types import TypeDecorator


class Moment(TypeDecorator[datetime]):
    """An aware UTC datetime, stored as a double: seconds since 1970."""

    impl = Double
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> float | None:
        """Datetime to seconds."""
        return None if value is None else value.timestamp()

    def process_result_value(self, value: float | None, dialect: Dialect) -> datetime | None:
        """Seconds to datetime."""
        return None if value is None else datetime.fromtimestamp(value, timezone.utc)


class Json(TypeDecorator[Any]):
    """A model value of type `kind`, stored as JSON text and checked when it is read."""

    impl = Text
    cache_ok = True

    def __init__(self, kind: Any = object) -> None:
        super().__init__()
        self.kind = kind

    def process_bind_param(self, value: Any, dialect: Dialect) -> str | None:
        """Value to text."""
        return None if value is None else msgspec.json.encode(value).decode()

    def process_result_value(self, value: str | None, dialect: Dialect) -> Any:
        """Text to value. Raises `msgspec.ValidationError` when the row was written by something else."""
        return None if value is None else msgspec.json.decode(value, type=self.kind)
