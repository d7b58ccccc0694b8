"""Google's `colab` command as programs are run: one call, one script in a cell, and the process that keeps the holding cell's output."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import tempfile
import threading
import time
from pathlib import Path

import psutil

from ...decide import colab
from ...decide.colab import Told
from ...decide.remote import Said
from ...decide.wording import line
from ...errors import MissingTool, PlaceError
from ...io.files import tail, write_atomic
from .hosted import LOOK_SECONDS, SEND_SECONDS, Heard

LOOK, KEPT = 0.2, 20
"""Seconds between two looks at whether a cell is still wanted; lines that are kept to say how it ended."""


class Cli:
    """Google's command, for one session; a `hosted.Shell`.

    Args:
        seconds: how long a cell that talks may take.
    """

    def __init__(self, name: str, session: str, *, seconds: float = 3600.0) -> None:
        self.name, self.session, self.seconds = name, session, seconds

    def call(self, *words: str, data: str | None = None, seconds: float = LOOK_SECONDS) -> Said:
        """One command of it. Raises `MissingTool`, `PlaceError`."""
        program = self._program()
        try:
            done = subprocess.run([program, *words], input=data or "", capture_output=True, text=True, timeout=seconds, check=False)
        except subprocess.TimeoutExpired:
            what = f"colab {words[0]} has not answered within {seconds:.0f} s (place {self.name})"
            raise PlaceError(what, "It may wait for somebody to sign in: run colab sessions in a terminal") from None
        return Said(code=done.returncode, out=done.stdout, err=done.stderr)

    def run(self, script: str, data: bytes = b"", *, seconds: float = LOOK_SECONDS) -> Said:
        """Run a script in the session, as a cell; its standard input is uploaded as a file first."""
        code = colab.cell(script, data=self._uploaded(data, seconds) if data else "")
        words = ("exec", "-s", self.session, "--timeout", str(int(seconds)))
        said = self._well(self.call(*words, data=code, seconds=seconds + LOOK_SECONDS), "run a cell")
        told = colab.told(said.out.splitlines())
        if told is None:
            raise PlaceError(f"the Colab {self.name} did not say how its cell ended: {said.last}", "Try again; what was done there is kept")
        return Said(code=told.code, out=told.out, err=told.more)

    def talk(self, script: str, data: bytes, heard: Heard, over: threading.Event) -> Said:
        """Run a script in the session as a cell that shows what it prints; nothing can be said to it, so it is over when its session is ended."""
        code = colab.cell(script, data=self._uploaded(data, SEND_SECONDS), talks=True)
        command = [self._program(), "exec", "-s", self.session, "--timeout", str(int(self.seconds))]
        with tempfile.TemporaryFile() as given:
            given.write(code.encode())
            given.seek(0)
            process = subprocess.Popen(command, stdin=given, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        lines: list[str] = []
        reading = threading.Thread(target=self._read, args=(process, lines, heard), daemon=True)
        reading.start()
        while reading.is_alive() and not over.is_set():
            reading.join(LOOK)
        if reading.is_alive():
            process.kill()  # it would go on waiting for a machine that was taken away
            process.wait()
            raise PlaceError(f"the cell in the Colab {self.name} is not wanted any more", "Its machine is given back")
        process.wait()
        told = colab.told(lines)
        if told is None:
            last = Said(code=1, out="\n".join(lines)).last
            raise PlaceError(f"the Colab {self.name} did not say how its cell ended: {last}", "Try again")
        return Said(code=told.code, out=told.out, err=told.more)

    def _read(self, process: subprocess.Popen[bytes], lines: list[str], heard: Heard) -> None:
        assert process.stdout is not None
        with process.stdout as stream:
            for raw in stream:
                text = raw.decode("utf-8", "replace")
                heard(text)
                lines.append(line(text))
                del lines[:-KEPT]

    def _uploaded(self, data: bytes, seconds: float) -> str:
        """Where in the session a file with this is now."""
        with tempfile.NamedTemporaryFile(prefix="qcity-") as file:
            file.write(data)
            file.flush()
            there = f"/content/{Path(file.name).name}"
            self._well(self.call("upload", "-s", self.session, file.name, there.lstrip("/"), seconds=seconds), "upload a file")
            return there

    def _program(self) -> str:
        program = shutil.which("colab")
        if program is None:
            todo = "pip install google-colab-cli (Python 3.12 or newer), then colab sessions signs in"
            raise MissingTool("Google's colab command is not installed", todo)
        return program

    def _well(self, said: Said, what: str) -> Said:
        if said.code:
            raise PlaceError(f"the Colab {self.name} could not {what}: {said.last}", "colab sessions shows what runs; try again")
        return said


class Holder:
    """The cell that holds an engine, executed from a process that outlives this one. Its output is a log, in which we read how things are."""

    def __init__(self, cli: Cli, folder: Path) -> None:
        self._cli, self._folder = cli, folder
        self._cell, self._log, self._who = (folder / f"{cli.name}.{ending}" for ending in ("py", "log", "holder"))

    def told(self) -> Told | None:
        """What the cell said last."""
        return colab.told(tail(self._log))

    def begin(self, code: str, seconds: float) -> None:
        """Execute the cell, and wait until it says something.

        Raises:
            PlaceError: it does not begin.
        """
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_atomic(self._cell, code)
        command = ["colab", "exec", "-s", self._cli.session, "--timeout", str(int(seconds) + 600), "-f", str(self._cell)]
        with open(self._log, "wb", opener=lambda path, flags: os.open(path, flags, 0o600)) as log:
            process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)
        write_atomic(self._who, f"{process.pid} {psutil.Process(process.pid).create_time()}")
        end = time.monotonic() + LOOK_SECONDS
        while self.told() is None:
            if process.poll() is not None or time.monotonic() > end:
                words = line(" ".join(tail(self._log, lines=2))) or "it says nothing"
                what = f"the cell that holds the Colab {self._cli.name} did not begin: {words}"
                raise PlaceError(what, "Try again; the machine is given back")
            time.sleep(0.1)
        process.returncode = 0  # not ours to wait for

    def end(self) -> None:
        """End the process: the command goes on waiting for a machine that was taken away."""
        with contextlib.suppress(OSError, ValueError, psutil.Error):
            pid, born = self._who.read_text().split()
            process = psutil.Process(int(pid))
            if process.create_time() == float(born):
                process.terminate()
        self._who.unlink(missing_ok=True)
