"""Kernels that are forked: a provisioner for Jupyter's own extension point. Whatever cannot be forked is started as ever.

`JUPYTER_DEFAULT_PROVISIONER_NAME=qcity-fork` makes nbval and plain papermill use it too.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import select
import signal
import socket
import subprocess
import sys
import sysconfig
import threading
import time
from pathlib import Path
from typing import Any, ClassVar

from jupyter_client.kernelspec import KernelSpec
from jupyter_client.provisioning import LocalProvisioner

NAME = "qcity-fork"
STOCK, OURS = "ipykernel_launcher", "qcity_nb.kinds.notebooks.kernel"
SWITCH = "QCITY_KERNELS"
"""`spawn` has every kernel started the long way."""
SHUT = "qcity_shut"
"""In a specification's metadata: what its kernel is shut into."""
IMPORTS = "QCITY_NOTEBOOK_IMPORTS"
"""What a notebook imports, by commas: a hint in a kernel's environment, taken out again before it starts."""
MOST = 500
"""Kernels of one zygote; then there is a fresh one."""
ANSWER_SECONDS = 90.0
TAKEN_ALONG = 2.0
"""Seconds that a sandbox gets to end what is in it."""


class Forked:
    """A kernel that the zygote forked, as `subprocess.Popen` would show it."""

    stdin = stdout = stderr = None

    def __init__(self, pid: int, line: socket.socket) -> None:
        self.pid, self.line = pid, line
        self.returncode: int | None = None
        self._handle = os.pidfd_open(pid)

    def poll(self) -> int | None:
        """Its exit code; None while it lives."""
        if self.returncode is None and select.select([self._handle], [], [], 0)[0]:
            self._settle(1.0)
        return self.returncode

    def _settle(self, seconds: float) -> None:
        """It is over: the zygote says how, unless it is gone too."""
        self.returncode = -signal.SIGKILL
        if select.select([self.line], [], [], seconds)[0]:
            with contextlib.suppress(OSError, ValueError):
                self.returncode = int(json.loads(self.line.recv(4096) or b"{}").get("code", -signal.SIGKILL))
        os.close(self._handle)
        self.line.close()

    def wait(self, timeout: float | None = None) -> int:
        """Wait for its end. Raises `subprocess.TimeoutExpired`."""
        if self.returncode is None:
            if not select.select([self._handle], [], [], timeout)[0]:
                raise subprocess.TimeoutExpired("kernel", timeout or 0)
            self._settle(1.0)
        assert self.returncode is not None
        return self.returncode

    async def over(self) -> None:
        """Wait for its end without holding anything up."""
        if self.returncode is not None:
            return
        loop, over = asyncio.get_running_loop(), asyncio.Event()
        loop.add_reader(self._handle, over.set)
        try:
            await over.wait()
        finally:
            if self.returncode is None:
                loop.remove_reader(self._handle)

    def send_signal(self, number: int) -> None:
        """Signal it, and nobody who has its number after it."""
        if self.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._handle, number)

    def terminate(self) -> None:
        """SIGTERM."""
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """SIGKILL."""
        self.send_signal(signal.SIGKILL)


_retired: list[Zygote] = []


class Zygote:
    """The zygote of this process."""

    def __init__(self) -> None:
        self._line, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.stamp, self.forks = _stamp(), 0
        argv = [sys.executable, "-m", "qcity_nb.kinds.notebooks.zygote", str(theirs.fileno())]
        env = {key: value for key, value in os.environ.items() if key != "JPY_PARENT_PID"} | {"PYDEVD_DISABLE_FILE_VALIDATION": "1"}
        self._process = subprocess.Popen(argv, pass_fds=[theirs.fileno()], env=env, stdin=subprocess.DEVNULL, start_new_session=True)
        theirs.close()

    @property
    def good(self) -> bool:
        """Whether it may fork another one."""
        return self._process.poll() is None and self.forks < MOST and self.stamp == _stamp()

    def fork(self, argv: list[str], *, env: dict[str, str], cwd: str) -> Forked | None:
        """A kernel; None when it would not."""
        mine, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with contextlib.closing(theirs):
            imports = [one for one in env.pop(IMPORTS, "").split(",") if one]
            asked = json.dumps({"argv": argv, "env": env, "cwd": cwd, "imports": imports}).encode()
            try:
                socket.send_fds(self._line, [asked], [theirs.fileno(), *_streams()])
            except OSError:
                mine.close()
                return None
        self.forks += 1
        deadline = time.monotonic() + ANSWER_SECONDS
        while not select.select([mine], [], [], 0.5)[0]:
            if self._process.poll() is not None or time.monotonic() > deadline:
                break
        else:
            found = json.loads(mine.recv(4096) or b"{}")
            if "pid" in found:
                with contextlib.suppress(ProcessLookupError):
                    return Forked(found["pid"], mine)
        mine.close()
        return None

    def gone(self) -> bool:
        """Whether it has ended; then nothing of it is kept."""
        if self._process.poll() is None:
            return False
        self._line.close()
        return True

    def retire(self) -> None:
        """Fork no more; it stays as long as a child of it does."""
        with contextlib.suppress(OSError):
            self._line.send(b"{}")
        _retired.append(self)  # its end of the line stays open: the zygote's children die with it


class ForkProvisioner(LocalProvisioner):
    """Forks kernels of this interpreter; starts all others."""

    process: Any = None
    _lock = threading.Lock()
    _zygotes: ClassVar[dict[int, Zygote]] = {}  # by owner: a child of this process has one of its own

    @property
    def has_process(self) -> bool:
        """Whether there is one."""
        return self.process is not None

    async def pre_launch(self, **kwargs: Any) -> dict[str, Any]:
        """As ever, with our own module in the place of ipykernel's."""
        prepared = await super().pre_launch(**kwargs)
        cmd = list(prepared["cmd"])
        if is_ours(cmd):
            prepared["cmd"] = [cmd[0], "-m", OURS, *cmd[3:]]
        return prepared

    async def launch_kernel(self, cmd: list[str], **kwargs: Any) -> Any:
        """Fork it, or start it."""
        shut = self.kernel_spec.metadata.get(SHUT)
        if shut is not None:
            shut.hand_over()  # its connection file was written a moment ago
            return await super().launch_kernel(cmd, **{**kwargs, "stdout": subprocess.DEVNULL})
        if cmd[1:3] == ["-m", OURS] and forks():
            env, cwd = dict(kwargs.get("env") or os.environ), kwargs.get("cwd")
            forked = await asyncio.get_running_loop().run_in_executor(None, lambda: self._forked(cmd[2:], env, cwd))
            if forked is not None:
                self.process, self.pid, self.pgid = forked, forked.pid, forked.pid
                return self.connection_info
        if isinstance(kwargs.get("env"), dict):
            kwargs["env"].pop(IMPORTS, None)
        return await super().launch_kernel(cmd, **kwargs)

    async def kill(self, restart: bool = False) -> None:  # noqa: FBT001, FBT002 - jupyter_client's own signature
        """Kill it. A sandbox gets the chance to take along what is in it."""
        if SHUT in self.kernel_spec.metadata and self.process is not None:
            await self.terminate(restart=restart)
            deadline = time.monotonic() + TAKEN_ALONG
            while await self.poll() is None and time.monotonic() < deadline:  # noqa: ASYNC110 - there is nothing that one could wait for
                await asyncio.sleep(0.01)
        await super().kill(restart=restart)

    async def wait(self) -> int | None:
        """Wait for its end."""
        if not isinstance(self.process, Forked):
            return await super().wait()
        forked = self.process
        await forked.over()
        code = forked.wait()
        self.process = None
        return code

    @classmethod
    def _forked(cls, argv: list[str], env: dict[str, str], cwd: str | None) -> Forked | None:
        with cls._lock:
            _retired[:] = [one for one in _retired if not one.gone()]
            zygote = cls._zygotes.get(os.getpid())
            if zygote is None or not zygote.good:
                if zygote is not None:
                    zygote.retire()
                zygote = cls._zygotes[os.getpid()] = Zygote()
            return zygote.fork(argv, env=env, cwd=str(cwd or Path.cwd()))


def is_ours(cmd: list[str]) -> bool:
    """Whether a kernel's command is this interpreter's own IPython kernel."""
    same = Path(cmd[0]).parent == Path(sys.executable).parent and os.path.realpath(cmd[0]) == os.path.realpath(sys.executable)
    return cmd[1:3] == ["-m", STOCK] and same


def forks() -> bool:
    """Whether kernels are forked here: on Linux, unless somebody says otherwise."""
    return sys.platform == "linux" and hasattr(os, "pidfd_open") and os.environ.get(SWITCH, "") != "spawn"


def choose(spec: KernelSpec) -> None:
    """Have a kernel of ours started by this provisioner, unless its specification names another."""
    if spec.argv[1:3] == ["-m", STOCK]:
        spec.metadata.setdefault("kernel_provisioner", {"provisioner_name": NAME, "config": {}})


async def ended(one: Any) -> None:
    """Wait until a provisioner's kernel is over."""
    forked = getattr(one, "process", None)
    if isinstance(forked, Forked):
        await forked.over()
        return
    while await one.poll() is None:  # noqa: ASYNC110 - others have nothing that one could wait for
        await asyncio.sleep(0.01)


def _streams() -> list[int]:
    """Our own stdout and stderr, for what a kernel says outside of its cells."""
    return [fd for fd in (1, 2) if _is_open(fd)]


def _is_open(fd: int) -> bool:
    try:
        os.fstat(fd)
    except OSError:
        return False
    return True


def _stamp() -> tuple[float, ...]:
    """Changes when something is installed."""
    stamps = []
    for key in ("purelib", "platlib"):
        with contextlib.suppress(OSError, TypeError):
            stamps.append(os.stat(sysconfig.get_path(key)).st_mtime)
    return tuple(stamps)
