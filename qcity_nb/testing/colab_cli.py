"""Google's `colab` command as a stand-in on PATH: it prints what google-colab-cli 0.7 prints, and its machines are folders of this one.

Run as a program it is the command; `install` puts it onto a PATH. A session's `/content` is a folder; its cells run one after the other, as a
kernel's do, and whatever they started ends with `stop`, as it does when a machine is taken away.
"""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

MARK = "QCITY_FAKE_COLAB_VM"


def install(folder: Path, *, balance: float = 100.0, env: Mapping[str, str] | None = None) -> Path:
    """Put the command into `folder/bin`, which belongs onto PATH; its state is beside it.

    A file `refuse` there makes it give no machine, a file `signed-out` makes everything fail.

    Args:
        balance: the account's compute units.
        env: what the machines' cells have in their environment.
    """
    (folder / "bin").mkdir(parents=True)
    program = folder / "bin" / "colab"
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m qcity_nb.testing.colab_cli --state {folder} "$@"\n')
    program.chmod(0o755)
    (folder / "account.json").write_text(json.dumps({"balance": balance, "env": dict(env or {})}))
    return program.parent


def end_all(folder: Path) -> None:
    """Take every machine away."""
    for path in folder.glob("vm-*"):
        _end(path)


def main() -> int:
    """The command; its exit code."""
    parser = argparse.ArgumentParser(prog="colab")
    parser.add_argument("--state", type=Path, required=True)
    verbs = parser.add_subparsers(dest="verb", required=True)
    for verb in ("usage", "sessions", "new", "status", "stop", "exec", "upload"):
        one = verbs.add_parser(verb)
        one.add_argument("-s", "--session", default="")
        one.add_argument("-f", "--file")
        one.add_argument("--gpu")
        one.add_argument("--timeout", type=float, default=30.0)
        if verb == "upload":
            one.add_argument("local_path")
            one.add_argument("remote_path")
    asked = parser.parse_args()
    account = json.loads((asked.state / "account.json").read_text())
    return Command(asked, account).run()


class Command:
    """One call of the command."""

    def __init__(self, asked: argparse.Namespace, account: dict[str, object]) -> None:
        self.asked, self.account, self.name = asked, account, str(asked.session)
        self.vm: Path = asked.state / f"vm-{self.name}"

    def run(self) -> int:
        """Do what the verb says."""
        if (self.asked.state / "signed-out").exists():
            print("google.auth.exceptions.RefreshError: Reauthentication is needed.", file=sys.stderr)
            return 1
        if self.asked.verb == "usage":
            print(f"Current balance: {float(str(self.account['balance'])):.2f} compute units\nUsage rate: 0.07/hr\nActive assignments: 0")
            return 0
        if self.asked.verb == "new":
            return self._new()
        if not self.vm.is_dir():
            print(f"[colab] Session '{self.name}' not found.")
            return 0 if self.asked.verb in ("status", "stop") else 1
        return int({"status": self._status, "stop": self._stop, "exec": self._exec, "upload": self._upload}[self.asked.verb]())

    def _new(self) -> int:
        print(f"[colab] Creating session '{self.name}'...")
        if (self.asked.state / "refuse").exists():
            print("[colab] Allocation refused (precondition failed). This can mean too many active sessions.", file=sys.stderr)
            return 1
        (self.vm / "content").mkdir(parents=True)
        print("[colab] Session READY.")
        return 0

    def _status(self) -> int:
        busy = self.vm / "running"
        status = f"BUSY ({busy.read_text()})" if busy.exists() else "IDLE"
        print(f"[{self.name}] gpu-t4-s-kkb | Hardware: CPU | Shape: Standard | Variant: DEFAULT | Status: {status}")
        return 0

    def _stop(self) -> int:
        print(f"[colab] Stopping session '{self.name}'...")
        _end(self.vm)  # whoever waits for a cell of it goes on waiting, as with the real command
        print("[colab] Session terminated.")
        return 0

    def _upload(self) -> int:
        shutil.copyfile(self.asked.local_path, self.vm / self.asked.remote_path)
        print(f"[colab] Uploaded '{self.asked.local_path}' to '{self.asked.remote_path}'")
        return 0

    def _exec(self) -> int:
        code = Path(self.asked.file).read_text() if self.asked.file else sys.stdin.read()
        env = {"HOME": str(self.vm), "PATH": os.defpath, **dict(self.account["env"]), MARK: str(self.vm)}  # type: ignore[call-overload]
        with self._kernel():
            command = [sys.executable, "-c", code.replace("/content", str(self.vm / "content"))]
            with contextlib.suppress(subprocess.TimeoutExpired):
                subprocess.run(command, env=env, stdin=subprocess.DEVNULL, timeout=self.asked.timeout, check=False, cwd=self.vm / "content")
        if not self.vm.is_dir():
            signal.alarm(120)  # for a test that forgets it
            signal.pause()
        return 0

    @contextlib.contextmanager
    def _kernel(self) -> Iterator[None]:
        """One cell at a time; the others wait."""
        with (self.vm / "kernel").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            (self.vm / "running").write_text(f"exec({self.asked.file or 'stdin'})")
            try:
                yield
            finally:
                (self.vm / "running").unlink(missing_ok=True)


def _end(vm: Path) -> None:
    """Kill whatever carries the machine's mark, until nothing does."""
    import psutil

    while True:
        found = []
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error):
                if process.environ().get(MARK) == str(vm):
                    found.append(process)
        for process in found:
            with contextlib.suppress(psutil.Error):
                process.kill()
        psutil.wait_procs(found, timeout=10)
        if not found:
            break
    shutil.rmtree(vm, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
