"""The exchange: a private dataset of the user's own, in which a job finds the notebook of one attempt and leaves its result.

Each attempt has a branch of its own, which goes away with it: attempts are never in each other's way, and no history keeps their files. What is in
a file is compressed and written as text, for the hub takes only text, and at most 10 MB of it, without its storage for large files.
Sources: `huggingface_hub` 2.4, `hf_api.py` (create_repo, create_branch, delete_branch) and `_commit_api.py` (the payload of a commit).
"""

from __future__ import annotations

import base64
import contextlib
import json
import re
import time
import zlib
from collections.abc import Mapping

from ...decide.huggingface import Refs, Repo
from ...decide.wording import size
from ...errors import PlatformError, QCityError, Refused
from ..forges.http import Caller

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*/[A-Za-z0-9][A-Za-z0-9._-]*")
BUNDLE, WHEEL, RESULT = "bundle", "wheel", "result"
LARGEST = 9_000_000
UNPACKED = 1 << 28
PAUSES = (0.5, 1.0, 2.0)
"""Seconds between two tries to make the dataset."""


class Exchange:
    """The branch of one attempt.

    Args:
        caller: of the hub, with a token that may write there.
        dataset: owner/name.
        branch: of the attempt.
    """

    def __init__(self, caller: Caller, dataset: str, branch: str) -> None:
        self._caller, self.dataset, self.branch = caller, dataset, branch
        self._api = f"/api/datasets/{dataset}"

    def open(self) -> None:
        """Make the branch, and the dataset if there is none.

        Raises:
            Refused: everybody can read the dataset.
            PlatformError: the hub does not do it.
        """
        if not self._repo().private:
            todo = "Make it private on the hub, or name another one (option exchange)"
            raise Refused(f"everybody can read the dataset {self.dataset}, which notebooks would go through", todo)
        self._made(f"{self._api}/branch/{self.branch}", {})

    def put(self, files: Mapping[str, str]) -> None:
        """Write files, in one commit.

        Raises:
            Refused: one is too large.
            PlatformError: the hub does not do it.
        """
        for name, text in files.items():
            if len(text) > LARGEST:
                what = f"the {name} has {size(len(text))}, and files of {size(LARGEST)} go through the dataset {self.dataset}"
                raise Refused(what, "Have the notebook show less, or keep what it makes somewhere else")
        lines: list[dict[str, object]] = [{"key": "header", "value": {"summary": f"{self.branch}: {', '.join(files)}", "description": ""}}]
        for name, text in files.items():
            content = base64.b64encode(text.encode()).decode()
            lines.append({"key": "file", "value": {"path": name, "encoding": "base64", "content": content}})
        body = b"".join(json.dumps(line).encode() + b"\n" for line in lines)
        self._caller.send("POST", f"{self._api}/commit/{self.branch}", type(None), body)

    def get(self, name: str) -> str | None:
        """A file's text; None when there is none. Raises `PlatformError`."""
        try:
            return self._caller.text(f"/datasets/{self.dataset}/resolve/{self.branch}/{name}")
        except PlatformError as error:
            if error.kind != "not_found":
                raise
            return None

    def remove(self) -> None:
        """Remove the branch and all that is in it, if that can be done."""
        with contextlib.suppress(QCityError):
            self._caller.send("DELETE", f"{self._api}/branch/{self.branch}", type(None))

    def branches(self) -> list[str]:
        """The branches there are. Raises `PlatformError`."""
        return [one.name for one in self._caller.get(f"{self._api}/refs", Refs).branches]

    def _repo(self) -> Repo:
        """The dataset; it is made if there is none. The hub makes one repository of a user at a time, and refuses others with a conflict."""
        owner, _, name = self.dataset.partition("/")
        body: dict[str, object] = {"name": name, "organization": owner, "type": "dataset", "visibility": "private"}
        for pause in PAUSES:
            try:
                return self._caller.get(self._api, Repo)
            except PlatformError as error:
                if error.kind != "not_found":
                    raise
            if self._made("/api/repos/create", body):
                break
            time.sleep(pause)
        return self._caller.get(self._api, Repo)

    def _made(self, path: str, body: dict[str, object]) -> bool:
        """Make something; False when there is one already, or another is just being made."""
        try:
            self._caller.send("POST", path, type(None), body)
        except PlatformError as error:
            if error.kind != "conflict":
                raise
            return False
        return True


def packed(text: str) -> str:
    """A text, smaller."""
    return base64.b64encode(zlib.compress(text.encode())).decode()


def unpacked(text: str) -> str:
    """The text that was packed.

    Raises:
        ValueError: it is none, or larger than any of ours.
    """
    made = zlib.decompressobj()
    try:
        found = made.decompress(base64.b64decode(text), UNPACKED)
    except zlib.error as error:
        raise ValueError(str(error)) from None
    if not made.eof:
        raise ValueError("it is cut, or too large")
    return found.decode()
