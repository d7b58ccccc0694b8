"""The proof that an address is ours: a nonce, asked through the public address, comes back as only our own door answers it."""

from __future__ import annotations

import re
import secrets
import socket
import time
from collections.abc import Callable, Mapping

from ...errors import TunnelError
from ...model.tunnel import Fault
from .door import PREFIX

MOST = 64 << 10
_CODE = re.compile(r"ERR_NGROK_\d+")
_OFFLINE = socket.gaierror
_UNREACHABLE = ("network is unreachable", "no route to host", "cannot be resolved")


def ask(url: str, answer: Callable[[str], str], *, headers: Mapping[str, str], patience: float) -> float:
    """Ask a nonce through an address; how long it took, in seconds. Blocks for at most about `patience` seconds for each step.

    Raises:
        TunnelError: it did not come back, with what was seen instead.
    """
    nonce, begun = secrets.token_hex(16), time.monotonic()
    status, body, code = _get(f"{url}{PREFIX}{nonce}", {"Accept": "text/plain", **headers}, patience=patience, follow=False)
    if body.strip() == answer(nonce).encode():
        return time.monotonic() - begun
    raise _else(status, code, body)


def look(url: str, *, patience: float) -> tuple[int, bytes]:
    """What an address shows a visitor: the status and the first of it.

    Raises:
        TunnelError: nothing answers there.
    """
    status, body, _ = _get(url, {}, patience=patience, follow=True)
    return status, body


def _get(url: str, headers: Mapping[str, str], *, patience: float, follow: bool) -> tuple[int, bytes, str]:
    import requests

    sent = {"User-Agent": "qcity", "Cache-Control": "no-store", **headers}
    try:
        with requests.get(url, headers=sent, timeout=patience, allow_redirects=follow, stream=True) as reply:
            return reply.status_code, reply.raw.read(MOST, decode_content=True), reply.headers.get("ngrok-error-code", "")
    except requests.Timeout:
        raise TunnelError(f"nothing came back within {patience:.1f} s", fault=Fault.SILENT) from None
    except requests.exceptions.SSLError as error:
        raise TunnelError(f"its certificate does not fit ({_why(error)})", fault=Fault.WRONG_APP) from None
    except (requests.RequestException, OSError) as error:
        why = _why(error)
        offline = any(word in why.lower() for word in _UNREACHABLE)
        raise TunnelError(why, fault=Fault.NETWORK if offline else Fault.SILENT) from None


def _else(status: int, code: str, body: bytes) -> TunnelError:
    """What answered, if not our door."""
    text = body.decode("utf-8", "replace")
    code = code or (found[0] if (found := _CODE.search(text)) else "")
    if status in (429, 503):
        return TunnelError(f"the provider answers for it: {status} {code}".strip(), fault=Fault.LIMITED if status == 429 else Fault.SILENT)
    if code:
        return TunnelError(f"the provider answers for it: {code}", fault=Fault.SILENT)
    if 300 <= status < 400:
        return TunnelError(f"it sends visitors elsewhere ({status})", fault=Fault.WRONG_APP)
    return TunnelError(f"something else answers there ({status})", fault=Fault.WRONG_APP)


def _why(error: BaseException) -> str:
    """The innermost reason, in the operating system's words where it has some."""
    seen: list[BaseException] = []
    queue: list[object] = [error]
    while queue:
        one = queue.pop(0)
        if not isinstance(one, BaseException) or one in seen:
            continue
        seen.append(one)
        queue += [one.__cause__, one.__context__, getattr(one, "reason", None), *one.args]
    for one in seen:
        if isinstance(one, OSError) and one.errno and one.strerror and not isinstance(one, _OFFLINE):
            return one.strerror.lower()
    if any(isinstance(one, _OFFLINE) or "NameResolution" in type(one).__name__ for one in seen):
        return "its name cannot be resolved"
    return "the connection was closed" if "RemoteDisconnected" in repr(seen) or "Connection aborted" in repr(seen) else str(error)[:120]
