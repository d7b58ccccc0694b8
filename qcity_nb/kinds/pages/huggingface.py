"""A fallback page in a static Space at Hugging Face: one commit that names its parent for all files of a change, none for what is the same.

The Space has to be there: a person makes it, as static HTML. Source: `huggingface_hub` 2.x, `_commit_api.py` (the payload), `hf_api.py`.
"""

from __future__ import annotations

import base64
import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from ...errors import BadInput, NotFound, PlatformError
from ...io import secrets
from ...model.home import Home
from ...model.tunnel import Page
from ..forges.http import Caller
from . import check_options

HUB, TOKEN, TRIES = "https://huggingface.co", "huggingface", 3
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*/[A-Za-z0-9][A-Za-z0-9._-]*")


@dataclass(frozen=True, kw_only=True)
class Revision:
    """Where a Space's branch stands."""

    sha: str
    sdk: str = ""


@dataclass(frozen=True, kw_only=True)
class Done:
    """What a commit is answered with."""

    success: bool = True


class HuggingFace:
    """The kind `huggingface`, as `ports.PageKind`. The target is OWNER/NAME of a Space; options: `token` (a credential's name), `url` (of a hub)."""

    def check(self, page: Page) -> None:
        """See `ports.PageKind`."""
        check_options(page, ("token", "url"))
        if not NAME.fullmatch(page.target):
            raise BadInput(f'"{page.target}" is no Space', "Give OWNER/NAME of a static Space")
        hub = urlsplit(_hub(page))
        if hub.scheme != "https" and hub.hostname != "127.0.0.1":
            raise BadInput(f"the hub {hub.hostname} is no https address", "A token is never sent over a plain connection")

    def publish(self, page: Page, files: Mapping[str, bytes], *, home: Home) -> str:
        """See `ports.PageKind`."""
        self.check(page)
        name = page.options.get("token", TOKEN)
        if not secrets.has(home, name):
            raise NotFound(f"there is no token {name} here", f"qcity dns secret {name} asks for it; it has to be one that may write the Space")
        token = secrets.load(home, name)
        caller = Caller(_hub(page), {"Authorization": f"Bearer {token}"}, who="Hugging Face")
        for _ in range(TRIES):
            head = caller.get(f"/api/spaces/{page.target}/revision/main", Revision)
            if head.sdk not in ("", "static"):
                raise BadInput(f"the Space {page.target} is of the kind {head.sdk}, not static", "Make one of static HTML")
            changed = {name: data for name, data in files.items() if _file(caller, page.target, head.sha, name) != data}
            if not changed:
                return f"the page is in the Space {page.target}, unchanged"
            if _commit(caller, page.target, head.sha, changed):
                return f"the page is in the Space {page.target}"
        raise PlatformError(f"the Space {page.target} changes each time the page is put there", "It is tried again", kind="conflict")


def _hub(page: Page) -> str:
    return (page.options.get("url") or os.environ.get("HF_ENDPOINT") or HUB).rstrip("/")


def _file(caller: Caller, space: str, sha: str, name: str) -> bytes | None:
    try:
        return caller.text(f"/spaces/{space}/resolve/{sha}/{name}").encode()
    except PlatformError as error:
        if error.kind == "not_found":
            return None
        raise


def _commit(caller: Caller, space: str, parent: str, files: Mapping[str, bytes]) -> bool:
    """Whether it was taken; False when the Space has another head by now (409, 412)."""
    header = {"summary": "The fallback page follows the address", "description": "", "parentCommit": parent}
    parts = [("header", header)]
    parts += [("file", {"path": name, "encoding": "base64", "content": base64.b64encode(data).decode()}) for name, data in files.items()]
    body = "\n".join(json.dumps({"key": key, "value": value}) for key, value in parts).encode() + b"\n"
    try:
        return caller.send("POST", f"/api/spaces/{space}/commit/main", Done, body).success
    except PlatformError as error:
        if error.kind == "conflict" or "(412" in error.what or "answered 412" in error.what:
            return False
        raise


KIND = HuggingFace()
