"""Where everything lies below a home folder: names only, nothing is touched."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Home:
    """The paths of a home."""

    root: Path

    @property
    def store(self) -> Path:
        """The embedded store's file."""
        return self.root / "qcity.db"

    @property
    def lock(self) -> Path:
        """Held by the home's engine while it lives."""
        return self.root / "engine.lock"

    @property
    def log(self) -> Path:
        """What the engine prints."""
        return self.root / "engine.log"

    @property
    def doorbell(self) -> Path:
        """Rung by clients and workers to wake the engine."""
        return self.root / "doorbell"

    @property
    def ballast(self) -> Path:
        """Space to free when the disk is full."""
        return self.root / "ballast"

    @property
    def backups(self) -> Path:
        """Good copies of the embedded store."""
        return self.root / "backups"

    @property
    def vaults(self) -> Path:
        """What is known of each vault: `vaults/<name>.json`."""
        return self.root / "vaults"

    @property
    def artifacts(self) -> Path:
        """What jobs gave away: `artifacts/<build>/<name>/`."""
        return self.root / "artifacts"

    @property
    def cache(self) -> Path:
        """What jobs keep for later ones: `cache/<runner>/<key>/`."""
        return self.root / "cache"

    @property
    def job_logs(self) -> Path:
        """One log for each attempt of a job."""
        return self.root / "logs"

    def run(self, id_: int, attempt: int) -> Path:
        """What an attempt at a run leaves: `runs/<run>/<attempt>/`."""
        return self.root / "runs" / str(id_) / str(attempt)

    def cell(self, name: str, *, scheduled: bool) -> Path:
        """The notebook that somebody's cell became: `cells/<name>/<name>.ipynb`; a scheduled one lies apart: a trial does not change it."""
        folder = self.root / "cells" / name
        return (folder / "scheduled" if scheduled else folder) / f"{name}.ipynb"

    @property
    def links(self) -> Path:
        """The journal of what was rewritten in people's files, one file for each change."""
        return self.root / "links"

    @property
    def link_checks(self) -> Path:
        """What checks of links remember: answers that were good, pictures of what was not."""
        return self.root / "link-checks"

    @property
    def pointer_key(self) -> Path:
        """The Ed25519 key that signs pointers, mode 0600."""
        return self.root / "pointer.key"

    def served(self, port: int) -> Path:
        """What a served page at this port keeps: its lock, where it is, the links to it."""
        return self.root / "serve" / str(port)

    @property
    def metrics_token(self) -> Path:
        """What a reader of the served metrics shows, mode 0600."""
        return self.root / "serve" / "metrics.token"

    def service(self, name: str) -> Path:
        """The folder of one service: lock, identity, exit, log, orders, facts."""
        return self.root / "services" / name

    def facts(self, name: str, incarnation: int) -> Path:
        """What the worker of this incarnation reports."""
        return self.service(name) / f"facts-{incarnation}.jsonl"

    def orders(self, name: str, incarnation: int) -> Path:
        """What the worker of this incarnation is told."""
        return self.service(name) / f"orders-{incarnation}.jsonl"

    def worker_bell(self, name: str) -> Path:
        """Rung by the engine to wake a worker."""
        return self.service(name) / "doorbell"

    def beat(self, name: str) -> Path:
        """Touched by a worker as its sign of life."""
        return self.service(name) / "beat"
