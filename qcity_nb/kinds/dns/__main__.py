"""`python -m qcity_nb.kinds.dns`: one question about a pointer, asked on standard input and answered on standard output, both JSON.

A process of its own, because whoever asks may know no kinds.
"""

from __future__ import annotations

import sys
from datetime import datetime, timezone
from pathlib import Path

from ...decide.deadman import Watched
from ...decide.redact import redact
from ...errors import PlatformError
from ...io import signing
from ...model.dns import DnsAnswer, DnsAsk
from ...model.home import Home
from .. import answers
from .pointing import look, watch


def answer(ask: DnsAsk) -> DnsAnswer:
    """Do what is asked; whatever fails is a sentence."""
    now, failed = datetime.now(timezone.utc), f"{ask.pointer.name} could not be asked about"
    return answers.given(lambda: _do(ask, now), DnsAnswer, failed=failed, unforeseen=PlatformError)


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


if __name__ == "__main__":
    sys.exit(answers.main(DnsAsk, answer))
