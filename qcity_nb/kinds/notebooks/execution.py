"""One notebook, run: its kernel started, its cells executed one after the other, the end told as it was.

papermill's own engine says "completed" of cells that never ran; this one says failed, timed out, cancelled or kernel died, and why.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import time
from collections.abc import Coroutine, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import nbformat
from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError
from nbformat import NotebookNode
from papermill.clientwrap import PapermillNotebookClient
from papermill.log import logger

from ...decide.notebook import needs
from ...decide.wording import did_you_mean
from ...errors import BadInput, EngineError
from . import kernels
from .control import Control, Kept, masked, scrub
from .outputs import LIMIT, Outputs
from .record import CANCELLED, DEAD, DONE, FAILED, TIMED_OUT, Record

OPTIONS = ("execution_timeout", "run_timeout", "start_timeout", "autosave_cell_every", "max_output", "log_output", "progress_bar", "cwd")
GRACE = 5.0
"""Seconds that a cell gets after an interrupt before its kernel is killed."""
LAST_OUTPUT = 300
"""Seconds that we may take to read what a cell has printed when it is over: nbclient's 4 lose a large output on a busy machine."""


class RunEnded(EngineError):
    """A run did not come to its end: it timed out, was cancelled, or lost its kernel. The notebook on disk says so too."""

    def __init__(self, status: str, reason: str, todo: str) -> None:
        super().__init__(reason, todo, permanent=status != DEAD)
        self.status = status


def execute(
    nb: NotebookNode,
    kernel_name: str,
    output_path: str | None = None,
    *,
    progress_bar: bool | dict[str, Any] = True,
    log_output: bool = False,
    stdout_file: Any = None,
    stderr_file: Any = None,
    start_timeout: float = 60,
    execution_timeout: float | None = None,
    run_timeout: float | None = None,
    autosave_cell_every: float = 1,
    max_output: int = LIMIT,
    cwd: str | Path | None = None,
    timeout: float | None = None,
    input_path: str | None = None,  # noqa: ARG001 - papermill tells every engine
    control: Control | None = None,
    **unknown: Any,
) -> NotebookNode:
    """Run a notebook from its first cell to its last, or to the one that fails.

    Args:
        nb: changed in place; also what is returned.
        kernel_name: a kernel that is installed.
        output_path: where it is saved while it runs and at its end.
        start_timeout: seconds for the kernel to answer.
        execution_timeout: seconds for one cell; None means as long as it takes. `timeout` is its other name.
        run_timeout: seconds for all of it.
        autosave_cell_every: 0 keeps it from being saved while a cell runs.
        max_output: bytes of output that a cell may have; what is left out is said in the cell.
        cwd: the kernel's folder.
        control: of whoever follows the run.

    Raises:
        BadInput: an option that there is not.
        RunEnded: a timeout, a cancellation, the death of the kernel.
        OSError: the notebook could not be saved.
    """
    _refuse(unknown)
    record = Record(nb, output_path, progress_bar=progress_bar, log_output=log_output, autosave_cell_every=autosave_cell_every)
    record.notebook_start()
    if control is not None and control.first:
        nb.cells[: control.first] = control.earlier
    times = {"timeout": execution_timeout or timeout, "startup_timeout": start_timeout, "iopub_timeout": LAST_OUTPUT}
    logs = {"log": logger, "log_output": log_output, "stdout_file": stdout_file, "stderr_file": stderr_file}
    client = Client(record, kernel_name=kernel_name, store_widget_state=False, **times, **logs)
    client.max_output = max_output
    client.control = control or client.control
    try:
        _finished(client.run(run_timeout, None if cwd is None else str(cwd)))
    except BaseException:
        record.notebook_complete()
        raise
    record.notebook_complete(save=False)
    return nb


def _refuse(unknown: Mapping[str, object]) -> None:
    """An option that is mistyped is no option that is left out."""
    for name in sorted(unknown):
        raise BadInput(f'the engine qcity has no option "{name}"', did_you_mean(name, OPTIONS, what="option"))


class Client(PapermillNotebookClient):
    """Executes the cells. `nb_man` is their `Record`."""

    max_output = LIMIT
    control = Control()
    km: Any
    kc: Any

    async def run(self, run_timeout: float | None, cwd: str | None) -> None:
        """All of it, within a time. Raises `RunEnded`."""
        self.reset_execution_trackers()
        self.at, self._left, self._failed = 0, False, False
        self._outputs = Outputs(self.max_output)
        self.on_cell_executed = self._executed
        self.nb_man.flush = self._flush
        cells: asyncio.Task[None] | None = None
        loop, asked = asyncio.get_running_loop(), asyncio.Event()
        with contextlib.ExitStack() as stack:
            self.km = self._manager(stack)
            try:
                begin = loop.time()
                await self._start(cwd)
                cells = asyncio.ensure_future(self._cells())
                left = None if run_timeout is None else max(0.0, run_timeout - (loop.time() - begin))
                with _signals(asked):
                    stop = asyncio.ensure_future(asked.wait())
                    self.control.ready(lambda: loop.call_soon_threadsafe(asked.set))
                    await asyncio.wait({cells, stop}, timeout=left, return_when=asyncio.FIRST_COMPLETED)
                    stop.cancel()
                if not cells.done():
                    await self._interrupt(cells)
                    raise self._stopped(run_timeout, cancelled=asked.is_set())
                await cells
            except (CellTimeoutError, DeadKernelError) as error:
                raise self._told(error) from None
            finally:
                self.control.over()
                if cells is not None and not cells.done():
                    cells.cancel()
                if self._failed and self.control.keeps and self.kc is not None:
                    self.kc.stop_channels()
                    self.control.kept(Kept(self.km, stack.pop_all()))
                else:
                    await kernels.end(self.km, self.kc)
                self.kc = None

    def _manager(self, stack: contextlib.ExitStack) -> Any:
        """The kernel that was kept, or one to be started. Its files go when the stack is closed."""
        kept = self.control.kernel
        if kept is None:
            return stack.enter_context(kernels.manager(self.kernel_name, self.control.shut))
        stack.push(kept.close.pop_all())
        return kept.km

    async def _start(self, cwd: str | None) -> None:
        """A kernel that answers."""
        assert self.km is not None
        if self.control.kernel is None:
            code = [cell.source for cell in self.nb.cells if cell.cell_type == "code"]
            await kernels.start(self.km, cwd, needs(code), self.control.env)
        self.kc = await kernels.connect(self.km, self.startup_timeout)
        self.kc.allow_stdin = False

    async def _cells(self) -> None:
        for number, cell in enumerate(self.nb.cells):
            if number < self.control.first:
                continue  # it was done before, in this kernel
            self.at, begin = number, time.monotonic()
            self._outputs = Outputs(self.max_output)
            self.nb_man.cell_start(cell, self.at)
            if cell.cell_type == "code":
                self.control.began(self.at)
            try:
                await self.async_execute_cell(cell, self.at)
            except CellExecutionError as error:
                if _exited_well(cell):
                    self.nb_man.end(DONE, reason="it ended itself with sys.exit", cell=self.at)
                    return
                self._failed = True
                self.nb_man.cell_exception(cell, cell_index=self.at, exception=error)
                self.nb_man.end(FAILED, reason=self._clean(f"cell {self.at + 1}: {error.ename}: {error.evalue}")[:500], cell=self.at)
                return
            except BaseException as error:
                self.nb_man.cell_exception(cell, cell_index=self.at, exception=error)
                raise
            finally:
                self._close(cell)
                self.nb_man.cell_complete(cell, cell_index=self.at)
                if cell.cell_type == "code":
                    done = cell.metadata.papermill["status"] == self.nb_man.COMPLETED
                    self.control.ended(self.at, seconds=time.monotonic() - begin, failed=not done)
            if self._left:
                self.nb_man.end(DONE, reason="it ended itself with exit", cell=self.at)
                return
        self.nb_man.end(DONE)

    def _executed(self, *, execute_reply: dict[str, Any], **_: Any) -> None:
        """`exit()` and `quit()` leave no exception: IPython asks its frontend to end the kernel."""
        self._left = any(one.get("source") == "ask_exit" for one in execute_reply["content"].get("payload") or ())

    def _flush(self) -> None:
        """What came in of the running cell, as it may be read."""
        self._outputs.flush()
        scrub(self.nb.cells[self.at].get("outputs", ()) if self.nb.cells else (), self.control.secrets)

    def _clean(self, text: str) -> str:
        return str(masked(text, self.control.secrets))

    def output(self, outs: list[NotebookNode], msg: dict[str, Any], display_id: str, cell_index: int) -> NotebookNode | None:
        """Take an output in, as long as there is room."""
        content, kind = msg["content"], msg["msg_type"]
        text = content.get("text", "")
        size = len(text) if kind == "stream" else sum(len(str(one)) for one in (content.get("data") or {}).values())
        kept = size if kind == "error" else self._outputs.takes(size)
        if kept < size:
            if kind != "stream" or not kept:  # of a picture a part is none
                return None
            text = content["text"] = text[:kept]
        if kind == "stream":
            self.control.said(text)
        hooked = self.output_hook_stack[msg["parent_header"].get("msg_id")]
        if kind == "stream" and not hooked and not self.clear_before_next_output and self._outputs.stream(outs, content["name"], text):
            return NotebookNode(output_type="stream", name=content["name"], text=text)
        found = super().output(outs, msg, display_id, cell_index)
        if kind == "stream" and found is not None:
            self._outputs.opened(found)
        return found

    def _close(self, cell: NotebookNode) -> None:
        words = self._outputs.close()
        scrub(cell.get("outputs", ()), self.control.secrets)
        if words:
            cell.outputs.append(nbformat.v4.new_output("stream", name="stderr", text=words))

    async def _interrupt(self, cells: asyncio.Task[None]) -> None:
        """Let the cell end by itself, with its traceback."""
        with contextlib.suppress(RuntimeError, OSError):
            await self.km.interrupt_kernel()
        await asyncio.wait({cells}, timeout=GRACE)
        if not cells.done():
            cells.cancel()
            await asyncio.wait({cells})
        if not cells.cancelled():
            cells.exception()  # known already: the record has it

    def _told(self, error: BaseException) -> RunEnded:
        where = f"cell {self.at + 1} of {len(self.nb.cells)}"
        if isinstance(error, CellTimeoutError) and "IOPub" in str(error):
            return self._ended(TIMED_OUT, f"the end of what {where} printed has not come within {LAST_OUTPUT} s", "Print less, or into a file")
        if isinstance(error, CellTimeoutError):
            return self._ended(TIMED_OUT, f"{where} took longer than its {self.timeout:g} s", "Give it more time with execution_timeout")
        return self._ended(DEAD, f"the kernel died in {where}", "It may have run out of memory, or called os._exit")

    def _stopped(self, run_timeout: float | None, *, cancelled: bool) -> RunEnded:
        if cancelled:
            return self._ended(CANCELLED, f"the run was cancelled in cell {self.at + 1} of {len(self.nb.cells)}", "Run it again")
        return self._ended(TIMED_OUT, f"the run took longer than its {run_timeout:g} s", "Give it more time with run_timeout")

    def _ended(self, status: str, reason: str, todo: str) -> RunEnded:
        self.nb_man.end(status, reason=reason, cell=self.at)
        return RunEnded(status, reason, todo)


def _finished(work: Coroutine[Any, Any, None]) -> None:
    """Run it to its end in a loop of its own: here, or in a thread where this one has a loop that runs already (a notebook's cell)."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        asyncio.run(work)
        return
    with ThreadPoolExecutor(1) as thread:
        thread.submit(asyncio.run, work).result()


def _exited_well(cell: NotebookNode) -> bool:
    """Whether a cell's exception is no failure: `sys.exit(0)` ends a notebook early, and well. papermill has the same rule."""
    ended = [out for out in cell.get("outputs", ()) if out.output_type == "error"]
    return any(out.ename == "SystemExit" and out.evalue in ("", "0") for out in ended)


@contextlib.contextmanager
def _signals(asked: asyncio.Event) -> Iterator[None]:
    """SIGINT and SIGTERM ask the run to stop, where this is the main thread's loop."""
    loop, mine = asyncio.get_running_loop(), []
    for number in (signal.SIGINT, signal.SIGTERM):
        with contextlib.suppress(RuntimeError, ValueError, NotImplementedError):
            loop.add_signal_handler(number, asked.set)
            mine.append(number)
    try:
        yield
    finally:
        for number in mine:
            loop.remove_signal_handler(number)
