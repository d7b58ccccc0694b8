"""A kernel that is shut in: a fresh interpreter under this machine's best sandbox, in a folder of its own that is gone afterwards.

It reads the notebook's folder and what its interpreter needs, writes its own folder, and sees nothing of any home. Only its artifacts are kept.
"""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Mapping
from pathlib import Path

from jupyter_client.kernelspec import KernelSpec

from ...decide.wording import size
from ...errors import Refused
from ...io.files import walkable
from ...model.home import Home
from ...model.schedule import RunPlan
from ...model.service import Limits, Sandbox
from ...ports import Cage
from .. import sandboxes
from ..sandboxes import uids
from ..sandboxes.folders import fresh, give, outermost, remove, replace, roomy, tame
from ..sandboxes.toolchains import visible
from . import provisioner

PACKAGE = Path(__file__).parents[2]
EVERYBODYS = Path("/var/tmp")  # noqa: S108 - for a folder of our own that another uid has to reach
NATIVE = ("python", f"python{sys.version_info[0]}", f"python{sys.version_info[0]}.{sys.version_info[1]}")
"""What a kernel's specification may call the interpreter that Jupyter runs in."""
ARTIFACTS = "QCITY_ARTIFACTS"
"""In a kernel's environment: the folder whose files are kept with its run."""


class Shut:
    """What one kernel is shut into.

    Args:
        plan: of its run.
        home: hidden from it.
        artifacts: where its artifacts go.

    Raises:
        Refused: this machine's sandbox is weaker than the plan accepts, or the notebook lies where a sandbox must hide everything.
    """

    def __init__(self, plan: RunPlan, home: Home, artifacts: Path) -> None:
        self._kind, self.level, _ = sandboxes.best(plan.sandbox)
        self._shown = Path(plan.notebook).parent.resolve()
        private = [Path.home().resolve(), home.root.resolve()]
        if any(one.is_relative_to(self._shown) for one in private):
            what = f"{plan.notebook} lies in a folder that holds private files, and a sandbox would have to show all of it"
            raise Refused(what, "Put it into a folder of its own")
        self._limits = Limits()
        self._hidden, self._network, self._artifacts = tuple(private), plan.network, artifacts
        self.uid: int | None = None
        self._holds: list[socket.socket] = []
        if os.geteuid() == 0:
            (self.uid,), self._holds = uids.lease(1)
        where = roomy()
        reached = self.level is Sandbox.FULL or walkable(where)
        self.folder, self._hold = fresh(where if reached else EVERYBODYS)
        for name in (".tmp", ".cache", ".ipython", "artifacts"):
            (self.folder / name).mkdir()

    @property
    def short(self) -> str:
        """What is said when its memory did not do."""
        return f"the memory limit of {size(self._limits.memory)} was reached"

    def environment(self, more: Mapping[str, str]) -> dict[str, str]:
        """All that the kernel finds in its environment; `more` are its secrets and settings."""
        path, _ = visible(os.environ.get("PATH", os.defpath), never=self._hidden)
        inside = self.level is Sandbox.FULL
        return {
            **more,
            "PATH": path,
            "HOME": str(self.folder),
            "TMPDIR": "/tmp" if inside else str(self.folder / ".tmp"),  # noqa: S108 - inside of the sandbox it is the run's own
            "XDG_CACHE_HOME": str(self.folder / ".cache"),
            "IPYTHONDIR": str(self.folder / ".ipython"),
            "LANG": "C.UTF-8",
            "USER": "runner",
            "LOGNAME": "runner",
            ARTIFACTS: str(self.folder / "artifacts"),
        }

    def enclose(self, spec: KernelSpec) -> None:
        """Have a kernel of this specification started shut in. It is interrupted by a message: a signal would end its sandbox."""
        argv = [sys.executable if spec.argv[0] in NATIVE else spec.argv[0], *spec.argv[1:]]
        ours = provisioner.is_ours(argv)
        if ours:
            argv = [argv[0], "-m", provisioner.OURS, *argv[3:]]
        _, tools = visible(os.pathsep.join([str(Path(argv[0]).parent), os.environ.get("PATH", os.defpath)]), never=self._hidden)
        cage = Cage(
            work=self.folder,
            readable=outermost([self._shown, *tools, *([PACKAGE] if ours else [])]),
            hidden=self._hidden,
            network=self._network,
            uid=self.uid,
            limits=self._limits,
        )
        begin = ["/usr/bin/env", "-u", "JPY_PARENT_PID", "-C", str(self._shown)]  # its parent is in another world, and would be missed
        spec.argv = [*self._kind.wrap([*begin, *argv], cage=cage)]
        spec.interrupt_mode = "message"
        spec.metadata["kernel_provisioner"] = {"provisioner_name": provisioner.NAME, "config": {}}
        spec.metadata[provisioner.SHUT] = self

    def hand_over(self) -> None:
        """Everything in its folder is the kernel's from now on."""
        if self.uid is not None:
            give(self.folder, self.uid)

    def close(self) -> bool:
        """End what is left of it, keep its artifacts; whether its memory limit ended a process."""
        short = sandboxes.release(self.folder)
        made = self.folder / "artifacts"
        if made.is_dir() and not made.is_symlink() and any(made.iterdir()):
            tame(made)
            replace(made, self._artifacts)
        remove(self.folder)
        os.close(self._hold)
        for hold in self._holds:
            hold.close()
        return short
