"""What Google's `colab` command is given and what it prints (google-colab-cli 0.7): cells as text, answers read. Pure.

The holding cell executes visibly for a bounded time and says once a minute how its engine is; it ends when there is nothing left to hold.
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass

from . import remote
from .remote import SAYS, Site

_BALANCE = re.compile(r"Current balance:\s*(-?[\d.,]+)")
_CELL = """import json, subprocess
done = subprocess.run(["/bin/sh", "-c", {script!r}], stdin=subprocess.DEVNULL, capture_output=True, text=True)
print({says!r}, json.dumps([done.returncode, done.stdout, done.stderr]))
"""
_TALK = """# QCity executes a notebook in this cell, visibly. Interrupt it to end it.
import json, subprocess
start = subprocess.Popen
running = start(["/bin/sh", "-c", {script!r}], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
for told in running.stdout:
    print(told, end="", flush=True)
print({says!r}, json.dumps([running.wait(), "", ""]), flush=True)
"""
_HOLD = """# QCity keeps an engine running in this cell, visibly, until {until} at the latest. Interrupt it to end it.
import json, subprocess, time
end = time.time() + {seconds!r}
while time.time() < end:
    done = subprocess.run(["/bin/sh", "-c", {status!r}], capture_output=True, text=True)
    print({says!r}, json.dumps([done.returncode, done.stdout, {until!r}]), flush=True)
    if '"alive": true' not in done.stdout:
        break
    time.sleep(max(0.0, min(60.0, end - time.time())))
subprocess.run(["/bin/sh", "-c", {stop!r}])
"""


@dataclass(frozen=True, kw_only=True)
class Told:
    """What a cell of ours said last. `more`: its errors, or until when it holds."""

    code: int
    out: str
    more: str


def cell(script: str, *, data: str = "", talks: bool = False) -> str:
    """A cell that runs a script, with a file as its standard input, which goes away then.

    Args:
        talks: whether what it prints is shown at once, line by line.
    """
    given = f"exec <{shlex.quote(data)}; rm -f {shlex.quote(data)}\n" if data else ""
    return (_TALK if talks else _CELL).format(script=given + script, says=SAYS)


def holding(site: Site, seconds: float, until: str) -> str:
    """The cell that holds an engine for so long."""
    return _HOLD.format(until=until, seconds=seconds, says=SAYS, status=remote.status(site), stop=remote.stop(site))


def told(lines: Sequence[str]) -> Told | None:
    """The last thing that a cell of ours printed; None when there is none."""
    for text in reversed(lines):
        if text.startswith(SAYS):
            try:
                code, out, more = json.loads(text[len(SAYS) :])
                return Told(code=int(code), out=str(out), more=str(more))
            except (ValueError, TypeError):
                continue
    return None


def balance(text: str) -> float | None:
    """The compute units of `colab usage`; None when it does not say."""
    found = _BALANCE.search(text)
    try:
        return float(found[1].replace(",", "")) if found else None
    except ValueError:
        return None
