"""`python -m qcity_nb.kinds.dns`: one question about a pointer, asked on standard input and answered on standard output, both JSON.

A process of its own, because whoever asks may know no kinds.
"""

from __future__ import annotations

import sys
import traceback
from datetime import datetime, timezone
from pathlib import Path

import msgspec

from ...decide.deadman import Watched
from ...decide.redact import redact
from ...decide.wording import line
from ...errors import QCityError
from ...io import signing
from ...model.dns import DnsAnswer, DnsAsk
from ...model.home import Home
from .pointing import look, watch


def answer(ask: DnsAsk, *, now: datetime) -> DnsAnswer:
    """Do what is asked; whatever fails is a sentence."""
    try:
        return _do(ask, now)
    except QCityError as error:
        return DnsAnswer(error=type(error).__name__, what=redact(error.what), todo=redact(error.todo))
    except Exception as error:  # noqa: BLE001 - the process's one catch-all: what nobody foresaw is told, and recorded on standard error
        traceback.print_exc()
        text = line(redact(f"{type(error).__name__}: {error}"))
        what = f"{ask.pointer.name} could not be asked about ({text})"
        return DnsAnswer(error="PlatformError", what=what, todo="This is a mistake in qcity: report it")


def _do(ask: DnsAsk, now: datetime) -> DnsAnswer:
    home = Home(Path(ask.home))
    key = ask.key or signing.public_key(home)
    text, changed = "", 0
    if ask.record:
        watched = Watched(name=ask.record, kind=ask.kind, fallback=ask.fallback)
        done = watch(ask.pointer, watched, key=key, service=ask.service, home=home, now=now)
        text, changed = redact(done.text), done.changed
    reading, post, _ = look(ask.pointer, key=key, service=ask.service, home=home, now=now)
    if post is None:
        return DnsAnswer(text=text, reading=reading.value, changed=changed)
    return DnsAnswer(
        text=text,
        reading=reading.value,
        service=post.service,
        url=post.url,
        generation=post.generation,
        since=post.since,
        until=post.until,
        changed=changed,
    )


def main() -> int:
    """One question, one answer."""
    ask = msgspec.json.decode(sys.stdin.buffer.read(), type=DnsAsk)
    sys.stdout.buffer.write(msgspec.json.encode(answer(ask, now=datetime.now(timezone.utc))))
    return 0


if __name__ == "__main__":
    sys.exit(main())
