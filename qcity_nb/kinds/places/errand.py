"""What a Hugging Face job does for one attempt at a run: it fetches the notebook, has `kinds.notebooks.far` execute it, and leaves the result.

Its log says which cell it is at and nothing of what cells print. Without a result it ends with another code than 0, and the run was lost.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time

from ...decide.redact import redact
from ...decide.remote import SAYS
from ...errors import PlatformError, QCityError, Refused
from ..forges.http import Caller
from .exchange import BUNDLE, RESULT, Exchange, packed, unpacked

SCRIPT = """set -e; umask 077; cd "$(mktemp -d)"
python - <<'END'
import base64, os, pathlib, urllib.parse, urllib.request
class Home(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, asked, *more):
        new = super().redirect_request(asked, *more)
        if new is not None and urllib.parse.urlsplit(new.full_url)[:2] != urllib.parse.urlsplit(asked.full_url)[:2]:
            new.remove_header("Authorization")
        return new
of = os.environ
url = f"{of['QCITY_HUB']}/datasets/{of['QCITY_EXCHANGE']}/resolve/{of['QCITY_BRANCH']}/wheel"
asked = urllib.request.Request(url, headers={"Authorization": "Bearer " + of["QCITY_TOKEN"]})
with urllib.request.build_opener(Home).open(asked, timeout=60) as reply:
    pathlib.Path(of["QCITY_WHEEL"]).write_bytes(base64.b64decode(reply.read()))
END
python -m pip install -q --no-input "./$QCITY_WHEEL[run]"
exec python -m qcity_nb.kinds.places.errand
"""
"""Begins it, in a container that has nothing of ours yet: fetches the package that asks, and installs it with what notebooks need."""
FAR = "qcity_nb.kinds.notebooks.far"
TAIL = 2000
PAUSES = (1.0, 5.0, 20.0, 60.0, 120.0)
"""Seconds between two tries to leave the result."""


def main() -> int:
    """Do it, as the job's environment says."""
    token, private = os.environ.pop("QCITY_TOKEN"), json.loads(os.environ.pop("QCITY_PRIVATE"))
    caller = Caller(os.environ["QCITY_HUB"], {"Authorization": f"Bearer {token}"}, who="Hugging Face")
    exchange = Exchange(caller, os.environ["QCITY_EXCHANGE"], os.environ["QCITY_BRANCH"])
    private["secrets"] = sorted([*private.get("secrets", ()), token], key=len, reverse=True)
    try:
        bundle = exchange.get(BUNDLE)
        if bundle is None:
            _say("the notebook is not there any more: nobody wants its result")
            return 1
        result = _executed({**json.loads(unpacked(bundle)), **private})
        if result is None:
            return 1
        _leave(exchange, result)
    except QCityError as error:
        _say(redact(error.what, private["secrets"]))
        return 1
    return 0


def _executed(bundle: dict[str, object]) -> dict[str, object] | None:
    """The result; None when what executed it died."""
    secrets = tuple(map(str, bundle["secrets"]))  # type: ignore[call-overload]  # a list, as it was just put there
    result: dict[str, object] | None = None
    pieces: list[str] = []
    with tempfile.TemporaryFile() as told:
        far = subprocess.Popen([sys.executable, "-m", FAR], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=told, text=True)
        assert far.stdin is not None
        assert far.stdout is not None
        with contextlib.suppress(BrokenPipeError), far.stdin as given:  # it ended without reading: its last words say why
            given.write(json.dumps(bundle) + "\n")
        with far.stdout as lines:
            for line in lines:
                word = line.removeprefix(SAYS)
                kind = json.loads(word) if word != line else {}
                if kind.get("type") == "result":
                    result = {**kind, "artifacts": "".join(pieces)}
                elif kind.get("type") == "piece":
                    pieces.append(kind["data"])
                elif kind.get("type") in ("began", "ended"):
                    _say(f"cell {kind['number'] + 1} {kind['type']}")
        if (code := far.wait()) and result is None:
            size = told.seek(0, os.SEEK_END)
            told.seek(max(0, size - TAIL))
            _say(redact(told.read().decode("utf-8", "replace"), secrets))
            _say(f"what executed it ended with {signal.Signals(-code).name if code < 0 else code}")
    return result


def _leave(exchange: Exchange, result: dict[str, object]) -> None:
    """Leave the result, or why it cannot be left. It may have taken hours, so a hub that is out of reach is asked again."""
    for pause in PAUSES:
        try:
            exchange.put({RESULT: packed(json.dumps(result))})
        except Refused as error:
            if result.get("artifacts"):
                result = {**result, "artifacts": "", "left": f"its artifacts stayed where it ran: {error.what}"}
            else:
                result = {"type": "result", "status": "failed", "reason": error.what, "todo": error.todo}
        except PlatformError as error:
            if error.permanent:
                raise
            _say(error.what)
            time.sleep(pause)
        else:
            return
    exchange.put({RESULT: packed(json.dumps(result))})


def _say(text: str) -> None:
    """A line for the job's log."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
