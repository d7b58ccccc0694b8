"""A real Jupyter kernel starts the engine and a runner; both survive what people do to kernels."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from jupyter_client.manager import KernelManager

from qcity_nb.io.files import is_locked
from qcity_nb.store.database import prepare, prepare_home
from qcity_nb.testing.real_engine import RealEngine, alive, until

pytestmark = [pytest.mark.real, pytest.mark.filterwarnings("ignore")]

CELL = """
import asyncio, qcity_nb
assert asyncio.get_running_loop() is not None  # a cell runs while a loop does
city = qcity_nb.open({home!r})
city.runners.start("command", name="agent", command=["sleep", "1000"])
"""


@pytest.fixture
def kernel(tmp_path: Path) -> Iterator[KernelManager]:
    manager = KernelManager(kernel_name="python3")
    manager.start_kernel(cwd=str(tmp_path))
    yield manager
    if manager.is_alive():
        manager.shutdown_kernel(now=True)
    manager.cleanup_resources()


def run(manager: KernelManager, code: str, *, wait: bool = True) -> None:
    client = manager.client()
    client.start_channels()
    try:
        client.wait_for_ready(timeout=60)
        if not wait:
            client.execute(code)
            until(lambda: client.get_iopub_msg(timeout=20)["msg_type"] == "execute_input")
            return
        reply = client.execute_interactive(code, timeout=60, output_hook=lambda _message: None)
        assert reply["content"]["status"] == "ok", reply["content"]
    finally:
        client.stop_channels()


def test_engine_and_runner_survive_interrupt_restart_and_shutdown_of_the_kernel(kernel: KernelManager, tmp_path: Path) -> None:
    home = tmp_path / "home"
    cell = CELL.format(home=str(home))
    run(kernel, cell)
    store, _ = prepare(prepare_home(home))
    engine = RealEngine(store)
    try:
        row, generation = engine.phase("agent", "running"), engine.generation()

        def same() -> bool:
            return alive(row.pid or 0) and is_locked(store.home.lock) and engine.generation() == generation and engine.row("agent").pid == row.pid

        run(kernel, "import time\nwhile True: time.sleep(0.1)", wait=False)
        kernel.interrupt_kernel()
        run(kernel, cell)  # and running the cell again changes nothing
        assert same()
        kernel.restart_kernel(now=False)
        run(kernel, cell)
        assert same()
        kernel.restart_kernel(now=True)
        run(kernel, cell)
        assert same()
        kernel.shutdown_kernel(now=False)
        assert same()
    finally:
        engine.end()
        store.close()
    assert not alive(row.pid or 0)
