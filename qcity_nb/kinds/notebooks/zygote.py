"""A process that has imported what kernels need and forks one whenever its owner asks: ready in a hundredth of the time of a fresh start.

It has one thread and no sockets but the one to its owner, or it refuses: a child of a process with threads may hang. Its children die with it, and it
ends with its owner. Standard library only until it is told what to import.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import importlib
import importlib.util
import json
import os
import select
import signal
import socket
import sys
import sysconfig
import traceback
from typing import Any

KERNEL = (
    *("ipykernel.kernelapp", "ipykernel.ipkernel", "ipykernel.zmqshell", "ipykernel.debugger", "tornado.ioloop", "tornado.platform.asyncio"),
    *("IPython.core.completer", "IPython.core.completerlib", "IPython.core.debugger", "IPython.core.oinspect", "IPython.extensions.storemagic"),
    *("faulthandler", "sqlite3"),
)
"""What a kernel imports as it begins: shared, it costs each of them neither time nor memory."""
PR_SET_PDEATHSIG = 1
MOST = 1 << 20
TRY_SECONDS = 60.0


def serve(owner: socket.socket) -> None:
    """Fork for the owner until it goes away."""
    wake, waker = os.pipe()
    os.set_blocking(wake, False)
    os.set_blocking(waker, False)
    signal.set_wakeup_fd(waker, warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    children: dict[int, socket.socket] = {}
    retired = False
    for name in KERNEL:
        with contextlib.suppress(ImportError):
            importlib.import_module(name)
    gc.collect()
    gc.freeze()
    while not (retired and not children):
        ready, _, _ = select.select([owner.fileno(), wake], [], [])
        if wake in ready:
            with contextlib.suppress(BlockingIOError):
                os.read(wake, 4096)
            _reap(children)
        if owner.fileno() in ready:
            data, fds, _, _ = socket.recv_fds(owner, MOST, 3)
            if not data:
                return
            asked = json.loads(data)
            if not asked:
                retired = True
                continue
            line = socket.socket(fileno=fds[0])
            _import(asked["imports"])
            if (threads := _threads()) > 1:
                line.send(json.dumps({"error": f"it has {threads} threads"}).encode())
                line.close()
            elif (pid := os.fork()) == 0:
                _become(asked, [owner, line, *children.values()], [wake, waker], fds[1:])
            else:
                children[pid] = line
                line.send(json.dumps({"pid": pid}).encode())
            for fd in fds[1:]:
                os.close(fd)


def _reap(children: dict[int, socket.socket]) -> None:
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if pid == 0:
            return
        if line := children.pop(pid, None):
            with contextlib.suppress(OSError):
                line.send(json.dumps({"code": os.waitstatus_to_exitcode(status)}).encode())
            line.close()


def _import(names: list[str]) -> None:
    """Import what a notebook will, if that leaves one thread: tried in a child first. Only what is installed counts, nothing of anybody's folder."""
    fresh = [name for name in names if name not in sys.modules and _installed(name)]
    if not fresh:
        return
    if (pid := os.fork()) == 0:
        code = 1
        with contextlib.suppress(BaseException):
            _all(fresh)
            code = 0 if _threads() == 1 else 1
        os._exit(code)
    handle = os.pidfd_open(pid)
    if not select.select([handle], [], [], TRY_SECONDS)[0]:
        os.kill(pid, signal.SIGKILL)
    os.close(handle)
    if os.waitpid(pid, 0)[1] == 0:
        _all(fresh)
        gc.freeze()


def _all(names: list[str]) -> None:
    from qcity_nb.kinds.notebooks.lean import NAME, lightened

    with contextlib.nullcontext() if NAME in names else lightened():
        for name in names:
            importlib.import_module(name)


def _threads() -> int:
    """How many threads there are. OpenBLAS ends its own before a fork, so one that comes to nothing is tried first."""
    if len(os.listdir("/proc/self/task")) > 1:
        if (pid := os.fork()) == 0:
            os._exit(0)
        os.waitpid(pid, 0)
    return len(os.listdir("/proc/self/task"))


def _installed(name: str) -> bool:
    try:
        spec = importlib.util.find_spec(name)
    except (ImportError, ValueError):
        return False
    homes = {sysconfig.get_path(key) for key in ("purelib", "platlib", "stdlib", "platstdlib")}
    return spec is not None and spec.origin is not None and any(spec.origin.startswith(home + os.sep) for home in homes)


def _become(asked: dict[str, Any], lines: list[socket.socket], pipes: list[int], fds: list[int]) -> None:
    """In the child: be a kernel as if it had been started, and leave as any program does: its threads awaited, its files written.

    Raises:
        SystemExit: the kernel is over.
    """
    try:
        signal.set_wakeup_fd(-1)
        os.setsid()
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        for line in lines:
            line.close()
        for fd in pipes:
            os.close(fd)
        for number, fd in enumerate(fds, 1):
            os.dup2(fd, number)
            os.close(fd)
        os.environ.clear()
        os.environ.update(asked["env"])
        os.chdir(asked["cwd"])
        sys.argv = asked["argv"]
        _reseed()
        from qcity_nb.kinds.notebooks import kernel

        kernel.main(asked["argv"][1:])
    except Exception:  # noqa: BLE001 - of a kernel or of what it loads: told on its own stderr, and its exit code says so
        traceback.print_exc()
        raise SystemExit(1) from None
    raise SystemExit(0)


def _reseed() -> None:
    """No two children draw the same numbers."""
    import random

    random.seed()
    if numpy := sys.modules.get("numpy"):
        numpy.random.seed()


if __name__ == "__main__":
    sys.path = [one for one in sys.path if one not in ("", os.getcwd())]
    serve(socket.socket(fileno=int(sys.argv[1])))
