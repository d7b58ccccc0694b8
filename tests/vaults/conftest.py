"""Machines that die: homes in folders of their own, whose engines and services are ended by kill -9."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

import psutil
import pytest

import qcity_nb
from qcity_nb.client.city import QCity
from qcity_nb.io.files import is_locked


class Machines:
    """Homes by name, each as if on a machine of its own."""

    def __init__(self, base: Path) -> None:
        self._base, self._open = base, []
        self.said: dict[str, list[str]] = {}

    def home(self, name: str) -> Path:
        return self._base / name

    def open(self, name: str) -> QCity:
        """A client there."""
        city = qcity_nb.open(self.home(name), say=self.said.setdefault(name, []).append)
        self._open.append(city)
        return city

    def resume(self, where: str, *args, **more) -> QCity:
        """The first cell there; what it says is kept."""
        self.said[where] = []
        city = qcity_nb.resume(*args, home=self.home(where), say=self.said[where].append, **more)
        self._open.append(city)
        return city

    def take_away(self, name: str) -> None:
        """Everything of it dies at once, without a word."""
        for _ in range(10):
            ours = self._ours(str(self.home(name)))
            if not ours:
                return
            for one in ours:
                with contextlib.suppress(psutil.NoSuchProcess):
                    one.kill()
            psutil.wait_procs(ours, timeout=5)
        raise AssertionError(f"something of {name} lives on")

    def _ours(self, mark: str) -> list[psutil.Process]:
        found: dict[int, psutil.Process] = {}
        for one in psutil.process_iter():
            with contextlib.suppress(psutil.Error):
                if one.pid != os.getpid() and (mark in " ".join(one.cmdline()) or one.cwd().startswith(mark)):
                    found |= {each.pid: each for each in (one, *one.children(recursive=True))}
        return [one for one in found.values() if one.is_running() and one.status() != psutil.STATUS_ZOMBIE]

    def close(self) -> None:
        for city in self._open:
            if is_locked(city.home / "engine.lock"):
                with contextlib.suppress(qcity_nb.QCityError):
                    city.stop()
            city.close()
            self.take_away(city.home.name)


@pytest.fixture
def machines(tmp_path):
    made = Machines(tmp_path)
    yield made
    made.close()
