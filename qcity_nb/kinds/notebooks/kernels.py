"""A kernel for a run: started, connected without the waits that nobody needs, ended so that its open files are written.

Its sockets lie in a private folder, so that two runs never take the same port, and no output is dropped for want of room.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from queue import Empty
from typing import Any

import zmq
import zmq.asyncio
from jupyter_client.asynchronous.client import AsyncKernelClient
from jupyter_client.kernelspec import NoSuchKernel
from jupyter_client.manager import AsyncKernelManager

from ...decide.wording import did_you_mean
from ...errors import EngineError, NotFound
from ..sandboxes.folders import fresh, roomy
from . import provisioner
from .shut import Shut

LEAVE = 5.0
"""Seconds that a kernel gets to end by itself."""
_contexts: dict[int, zmq.asyncio.Context] = {}


def _context() -> zmq.asyncio.Context:
    """One for the process: whatever is received waits for us, however much it is, and a connection that came too early is tried again soon."""
    if os.getpid() not in _contexts:
        made = zmq.asyncio.Context()
        made.setsockopt(zmq.RCVHWM, 0)
        made.setsockopt(zmq.RECONNECT_IVL, 5)
        _contexts[os.getpid()] = made
    return _contexts[os.getpid()]


@contextlib.contextmanager
def manager(name: str, shut: Shut | None = None) -> Iterator[AsyncKernelManager]:
    """A manager for a kernel of that name; what it needs on disk is gone afterwards.

    Args:
        shut: what it is shut into; whoever made it closes it.

    Raises:
        NotFound: no such kernel is installed.
    """
    folder, hold = fresh(roomy()) if shut is None else (shut.folder, None)
    try:
        ipc: dict[str, Any] = {"transport": "ipc", "ip": str(folder / "s")} if os.name == "posix" else {}
        made = AsyncKernelManager(kernel_name=name, connection_file=str(folder / "kernel.json"), context=_context(), **ipc)
        try:
            spec = made.kernel_spec
        except NoSuchKernel:
            known = list(made.kernel_spec_manager.find_kernel_specs())
            todo = did_you_mean(name, known, what="kernel", none="pip install ipykernel brings one")
            raise NotFound(f'no kernel "{name}" is installed', todo) from None
        provisioner.choose(spec) if shut is None else shut.enclose(spec)
        yield made
    finally:
        if hold is not None:
            shutil.rmtree(folder, ignore_errors=True)
            os.close(hold)


async def start(km: AsyncKernelManager, cwd: str | None, imports: Sequence[str] = (), env: Mapping[str, str] | None = None) -> None:
    """Start it.

    Args:
        cwd: its folder; None means the current one.
        imports: what its notebook will import, as a hint.
        env: what it finds in its environment; None means what is in ours.

    Raises:
        EngineError: it could not be started.
    """
    whole = {**(os.environ if env is None else env), provisioner.IMPORTS: ",".join(imports)}
    try:
        await km.start_kernel(env=whole, **({} if cwd is None else {"cwd": cwd}))
    except OSError as error:
        why = error.strerror or error
        raise EngineError(f"the kernel {km.kernel_name} could not be started: {why}", "jupyter kernelspec list shows its command") from error


async def connect(km: AsyncKernelManager, timeout: float) -> AsyncKernelClient:
    """A client of a kernel that is ready: it has answered, and what it prints arrives.

    Raises:
        EngineError: it died, or has not answered in time.
    """
    kc: AsyncKernelClient = km.client(context=_context())
    kc.start_channels(hb=False, stdin=False)
    try:
        await _ready(km, kc, timeout)
    except BaseException:
        kc.stop_channels()
        raise
    return kc


async def _ready(km: AsyncKernelManager, kc: AsyncKernelClient, timeout: float) -> None:
    deadline, wait = asyncio.get_running_loop().time() + timeout, 0.01
    while not await _heard(kc, kc.kernel_info(), wait=wait):
        wait = min(wait * 2, 1.0)
        if not await km.is_alive():
            todo = f"Start it by hand to see why: jupyter console --kernel {km.kernel_name}"
            raise EngineError(f"the kernel {km.kernel_name} died before it was ready", todo)
        if asyncio.get_running_loop().time() > deadline:
            raise EngineError(f"the kernel {km.kernel_name} has not answered within {timeout:g} s", "Try again, or give it a longer start_timeout")


async def _heard(kc: AsyncKernelClient, asked: str, *, wait: float) -> bool:
    """Whether the answer to a question came, and in time on the other channel the word that it is done: then both are connected."""
    try:
        while True:
            reply = await kc.get_shell_msg(timeout=1)
            if reply["parent_header"].get("msg_id") == asked:
                break
        while True:
            told = await kc.get_iopub_msg(timeout=wait)
            if told["parent_header"].get("msg_id") == asked and told["content"].get("execution_state") == "idle":
                return True
    except Empty:
        return False


async def end(km: AsyncKernelManager, kc: AsyncKernelClient | None) -> None:
    """Ask it to end; kill it, and all it started in its group, when it does not."""
    try:
        if km.has_kernel and kc is not None and await km.is_alive():
            kc.shutdown()
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(provisioner.ended(km.provisioner), LEAVE)
        if km.has_kernel:
            await km.shutdown_kernel(now=True)
    finally:
        if kc is not None:
            kc.stop_channels()
        await km.cleanup_resources()
