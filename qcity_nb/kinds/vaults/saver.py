"""Puts copies for an engine: each in a process of its own and in a session of its own, so that neither a tick nor Ctrl-C has to do with it."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import threading
import time
from collections.abc import Sequence

import msgspec

from ...model.vault import VaultAsk

SECONDS = 600.0
COMMAND = (sys.executable, "-m", "qcity_nb.kinds.vaults")


class Saver:
    """See `engine.vaults.Saver`."""

    def __init__(self) -> None:
        self._under_way: dict[str, threading.Thread] = {}
        self._children: set[subprocess.Popen[bytes]] = set()

    def begin(self, ask: VaultAsk) -> None:
        """Begin one; nothing while another one of the same vault is under way."""
        known = self._under_way.get(ask.config.name)
        if known is not None and known.is_alive():
            return
        thread = self._under_way[ask.config.name] = threading.Thread(target=self._run, args=(ask,), name="qcity-vault", daemon=True)
        thread.start()

    def close(self, asks: Sequence[VaultAsk], seconds: float) -> None:
        """Put the last ones and wait for them; what is not done by then is ended, and leaves the vault as it was."""
        end = time.monotonic() + seconds
        self._wait(end)
        for ask in asks:
            self.begin(ask)
        self._wait(end)
        for child in list(self._children):
            child.kill()

    def _wait(self, end: float) -> None:
        for thread in self._under_way.values():
            thread.join(max(0.0, end - time.monotonic()))

    def _run(self, ask: VaultAsk) -> None:
        """What came of it is written down by the process itself; what it said on standard error is in the engine's log."""
        pipe = subprocess.PIPE
        child = subprocess.Popen(COMMAND, stdin=pipe, stdout=subprocess.DEVNULL, cwd=ask.home, start_new_session=True)
        self._children.add(child)
        try:
            with contextlib.suppress(subprocess.TimeoutExpired):
                child.communicate(msgspec.json.encode(ask), timeout=SECONDS)
        finally:
            child.kill()
            child.wait()
            self._children.discard(child)
