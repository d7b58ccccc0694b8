"""A place with notebooks in it: a real engine, a real worker, real kernels."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path

import nbformat
import pytest
from nbformat import v4

import qcity_nb
from qcity_nb.client.city import QCity
from qcity_nb.client.hosts import engine_pid
from qcity_nb.io.files import is_locked
from qcity_nb.store import lease, services
from qcity_nb.testing.real_engine import until


class Desk:
    """A folder with notebooks, and the place that runs them."""

    def __init__(self, folder: Path, city: QCity) -> None:
        self.folder, self.city = folder, city
        self.said: list[str] = []

    def write(self, *cells: str, name: str = "nightly.ipynb", parameters: str | None = None, kernel: str = "python3") -> Path:
        """A notebook of code cells; the first is tagged `parameters` when they are given."""
        made = v4.new_notebook(metadata={"kernelspec": {"name": kernel, "display_name": "x", "language": "python"}})
        if parameters is not None:
            made.cells.append(v4.new_code_cell(parameters, metadata={"tags": ["parameters"]}))
        made.cells += [v4.new_code_cell(cell) for cell in cells]
        path = self.folder / name
        nbformat.write(made, path)
        return path

    @property
    def engine(self) -> int:
        """The engine's pid."""
        with self.city.link.read() as connection:
            found = lease.current(connection, self.city.link.place)
        pid = engine_pid(found.holder) if found else None
        assert pid
        return pid

    @property
    def worker(self) -> int:
        """The worker's pid."""
        return until(self._worker, seconds=30)

    def _worker(self) -> int | None:
        with self.city.link.read() as connection:
            rows = {row.name: row for row in services.all_of(connection, self.city.link.place)}
        row = rows.get("notebooks")
        return row.pid if row is not None and row.state.phase.value == "running" else None

    def end(self) -> None:
        """Everything ends."""
        if is_locked(self.city.home / "engine.lock"):
            self.city.stop()
        self.city.close()


@contextlib.contextmanager
def desk_at(folder: Path) -> Iterator[Desk]:
    """A desk that is cleared afterwards."""
    heard: list[str] = []
    made = Desk(folder, qcity_nb.open(folder / "home", say=heard.append))
    made.said = heard
    try:
        yield made
    finally:
        made.end()


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    """One for all tests of a file that leave it as it was."""
    with desk_at(tmp_path_factory.mktemp("desk")) as made:
        yield made


@pytest.fixture
def own_desk(tmp_path: Path) -> Iterator[Desk]:
    """One for a test that kills things."""
    with desk_at(tmp_path) as made:
        yield made


@pytest.fixture
def desk_of() -> Callable[[Path], contextlib.AbstractContextManager[Desk]]:
    """Makes one for a test that has to prepare something first."""
    return desk_at
