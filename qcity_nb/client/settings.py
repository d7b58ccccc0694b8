"""A repository's `qcity.toml`, read and checked whole."""

from __future__ import annotations

from pathlib import Path

from ..decide import config
from ..errors import BadConfig
from ..model.config import CityConfig

FILE = "qcity.toml"
LARGEST = 1 << 20


def read(folder: Path) -> CityConfig | None:
    """The repository's `qcity.toml`, checked; None when there is none.

    Raises:
        BadConfig: everything that is wrong with it, one line for each problem.
    """
    path = folder / FILE
    try:
        raw = path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise BadConfig(f"{path} cannot be read ({error.strerror})", "Make it a readable file, or remove it") from None
    if len(raw) > LARGEST:
        raise BadConfig(f"{FILE}:1: this file has {len(raw)} bytes; at most {LARGEST} are read", "Keep only the settings in it")
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        number = raw[: error.start].count(b"\n") + 1
        raise BadConfig(f"{FILE}:{number}: this line is not UTF-8 text", "Save the file as UTF-8") from None
    found, problems = config.read(text)
    if problems:
        raise BadConfig("\n".join(f"{FILE}:{problem.line}: {problem.text}" for problem in problems), f"Nothing was started; the file is {path}")
    return found
