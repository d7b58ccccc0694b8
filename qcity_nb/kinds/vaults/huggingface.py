"""A vault in a dataset at Hugging Face, on a branch of its own: each change is a commit that names its parent, which is the compare-and-swap.

The hub takes text without its storage for large files, so copies are base64 and at most some megabytes; and it limits commits, so one comes every ten
minutes. What was dropped stays in the dataset's history, sealed.
"""

from __future__ import annotations

import base64
import binascii
import json
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

from ...decide.wording import size
from ...errors import BadInput, NotFound, PlatformError, Refused
from ...io import secrets
from ...model.home import Home
from ...model.vault import Listing, VaultConfig
from ..forges.http import Caller
from . import known_options

HUB, TOKEN, BRANCH = "https://huggingface.co", "huggingface", "qcity-vault"
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*/[A-Za-z0-9][A-Za-z0-9._-]*")
LARGEST = 6_500_000
"""Bytes of a copy: as base64 it stays below what the hub takes as text."""


@dataclass(frozen=True, kw_only=True)
class File:
    """A file of a revision."""

    rfilename: str


@dataclass(frozen=True, kw_only=True)
class Revision:
    """Where a branch stands."""

    sha: str
    siblings: tuple[File, ...] = ()


class HuggingFace:
    """See `Vault`."""

    def __init__(self, caller: Caller, dataset: str) -> None:
        self._caller, self._dataset, self._api = caller, dataset, f"/api/datasets/{dataset}"

    def names(self) -> Listing:
        """See `Vault`; the branch is made if there is none."""
        try:
            found = self._caller.get(f"{self._api}/revision/{BRANCH}", Revision)
        except PlatformError as error:
            if error.kind != "not_found":
                raise
            self._caller.send("POST", f"{self._api}/branch/{BRANCH}", type(None), {})
            found = self._caller.get(f"{self._api}/revision/{BRANCH}", Revision)
        return Listing(names=tuple(file.rfilename for file in found.siblings), version=found.sha)

    def get(self, name: str) -> bytes:
        """See `Vault`."""
        text = self._caller.text(f"/datasets/{self._dataset}/resolve/{BRANCH}/{name}")
        try:
            return base64.b64decode(text, validate=True)
        except binascii.Error:
            raise Refused(f"the copy {name} is damaged or cut off", "Restore the one before it") from None

    def put(self, name: str, data: bytes, *, drop: Sequence[str], seen: Listing) -> bool:
        """See `Vault`."""
        if len(data) > LARGEST:
            what = f"the copy has {size(len(data))}, and {size(LARGEST)} go into the dataset {self._dataset}"
            raise Refused(what, "Use a folder, a git remote or fsspec for it")
        header = {"summary": f"Copy {name}", "description": "", "parentCommit": seen.version}
        content = base64.b64encode(base64.b64encode(data)).decode()  # once for the file, which is text, and once for the payload
        lines: list[dict[str, object]] = [{"key": "header", "value": header}]
        lines += [{"key": "deletedFile", "value": {"path": old}} for old in drop]
        lines.append({"key": "file", "value": {"path": name, "encoding": "base64", "content": content}})
        body = b"".join(json.dumps(line).encode() + b"\n" for line in lines)
        try:
            self._caller.send("POST", f"{self._api}/commit/{BRANCH}", type(None), body)
        except PlatformError as error:
            if error.kind == "conflict" or "412" in error.what:  # another head by now (409, 412)
                return False
            raise
        return True


class KIND:
    """The kind `huggingface`: the target is OWNER/NAME of a private dataset; options: `token` (a credential's name), `url` (of a hub)."""

    @staticmethod
    def open(config: VaultConfig, *, home: Home) -> HuggingFace:
        """The vault at `target`; reaches nothing yet."""
        known_options(config, ("token", "url"))
        if not NAME.fullmatch(config.target):
            raise BadInput(f'"{config.target}" is no dataset', "Give OWNER/NAME of a private one; make it first")
        url = (config.options.get("url") or os.environ.get("HF_ENDPOINT") or HUB).rstrip("/")
        if urlsplit(url).scheme != "https" and urlsplit(url).hostname != "127.0.0.1":
            raise BadInput(f"the hub {urlsplit(url).hostname} is no https address", "A token is never sent over a plain connection")
        name = config.options.get("token", TOKEN)
        if not secrets.has(home, name):
            raise NotFound(f"there is no token {name} here", "Put one that may write the dataset into HF_TOKEN, or into Colab's secrets")
        return HuggingFace(Caller(url, {"Authorization": f"Bearer {secrets.load(home, name)}"}, who="Hugging Face"), config.target)
