"""A lease as a file of a dataset repository at Hugging Face, on a branch of its own: a commit that names its parent is the compare-and-swap.

Every record is a commit that stays, and the hub limits how many an hour takes: choose a term of some minutes. The token is read from a file of mode
0600 below the home and is sent to the hub alone.
Sources: `huggingface_hub` 1.x, `hf_api.py` (create_branch, create_commit) and `_commit_api.py` (the payload).
"""

from __future__ import annotations

import base64
import json
import os
import re
import time
from urllib.parse import urlsplit

import requests
from requests.auth import AuthBase

from ...errors import BadInput, LeaseError
from ...io import secrets
from ...model.fleet import Holding, Stored
from ...model.home import Home
from . import from_text, to_text

HUB = "https://huggingface.co"
TOKEN = "huggingface"  # noqa: S105 - what the token is called
FILE = "lease.json"
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*/[A-Za-z0-9][A-Za-z0-9._-]*")
MOVED = (409, 412)
"""The branch has another head than the parent that a commit names."""


class _Bearer(AuthBase):
    """Our token and no other: with it, nothing is looked up in a .netrc; on its way to another host it is left behind by `requests`."""

    def __init__(self, token: str) -> None:
        self._token = token

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers["Authorization"] = f"Bearer {self._token}"
        return request


class HubLease:
    """One claim's branch of one dataset.

    Args:
        hub: the hub's address.
        dataset: owner/name.
        claim: names the branch.
        token: may write the dataset.
        timeout: seconds that one call may take.
    """

    def __init__(self, hub: str, dataset: str, claim: str, *, token: str, timeout: float) -> None:
        self._hub, self._dataset, self._branch, self._timeout = hub.rstrip("/"), dataset, f"qcity-lease-{claim}", timeout
        self._session = requests.Session()
        self._session.auth = _Bearer(token)
        self._known: Stored | None = None

    def read(self) -> Stored | None:
        """The record at the branch's head. A head that did not move is not read again."""
        end = time.monotonic() + self._timeout
        head = self._head(end)
        if head is None or (self._known is not None and self._known.version == head):
            return None if head is None else self._known
        found = self._file(head, end)
        self._known = None if found is None else Stored(record=found, version=head)
        return self._known

    def swap(self, expected: str | None, record: Holding) -> str | None:
        """Commit on top of the expected head; see `ports.LeaseStore`."""
        end = time.monotonic() + self._timeout
        parent = expected or self._begin(end)
        if parent is None:
            return None
        header = {"summary": f"epoch {record.epoch}, renewed {record.renewed}", "description": "", "parentCommit": parent}
        file = {"path": FILE, "encoding": "base64", "content": base64.b64encode(to_text(record)).decode()}
        lines = [json.dumps({"key": key, "value": value}) for key, value in (("header", header), ("file", file))]
        reply = self._call("POST", f"/api/datasets/{self._dataset}/commit/{self._branch}", end, lines=lines)
        if reply.status_code in MOVED or _is_missing(reply, "RevisionNotFound"):
            return None
        version = str(self._json(reply).get("commitOid") or "")
        if not version:
            raise self._strange(reply)
        self._known = Stored(record=record, version=version)
        return version

    def close(self) -> None:
        """Let go of the connection."""
        self._session.close()

    def _head(self, end: float) -> str | None:
        reply = self._call("GET", f"/api/datasets/{self._dataset}/revision/{self._branch}", end)
        if _is_missing(reply, "RevisionNotFound"):
            return None
        sha = str(self._json(reply).get("sha") or "")
        if not sha:
            raise self._strange(reply)
        return sha

    def _file(self, sha: str, end: float) -> Holding | None:
        reply = self._call("GET", f"/datasets/{self._dataset}/resolve/{sha}/{FILE}", end)
        if _is_missing(reply, "EntryNotFound"):
            return None
        if reply.status_code != 200:
            raise self._refused(reply)
        return from_text(reply.content, f"{FILE} of the branch {self._branch} of {self._dataset}")

    def _begin(self, end: float) -> str | None:
        """A head without a record, on a branch that is made if need be; None when there is a record already."""
        head = self._head(end)
        if head is None:
            reply = self._call("POST", f"/api/datasets/{self._dataset}/branch/{self._branch}", end, lines=["{}"])
            if reply.status_code not in (200, 201, 409):  # 409: somebody else made it at the same moment
                raise self._refused(reply)
            head = self._head(end)
        return head if head is not None and self._file(head, end) is None else None

    def _call(self, method: str, path: str, end: float, *, lines: list[str] | None = None) -> requests.Response:
        kind = "application/json" if lines is not None and len(lines) == 1 else "application/x-ndjson"
        body = None if lines is None else ("\n".join(lines) + "\n").encode()
        limit = max(0.05, end - time.monotonic())
        headers = {"Content-Type": kind} if body else {}
        try:
            reply = self._session.request(method, self._hub + path, data=body, headers=headers, timeout=(limit, limit))
        except requests.RequestException as error:
            what = f"the leases in the dataset {self._dataset} cannot be reached ({type(error).__name__})"
            raise LeaseError(what, "It is asked again", permanent=False) from None
        if reply.status_code in (401, 403):
            raise self._refused(reply)
        return reply

    def _json(self, reply: requests.Response) -> dict[str, object]:
        if reply.status_code != 200:
            raise self._refused(reply)
        try:
            found = reply.json()
        except ValueError:
            raise self._strange(reply) from None
        if not isinstance(found, dict):
            raise self._strange(reply)
        return found

    def _refused(self, reply: requests.Response) -> LeaseError:
        code = reply.status_code
        why = {401: "it does not know the token", 403: "the token may not write it", 404: "there is none, or the token may not see it"}
        why[429] = "it was asked too often: choose a longer term"
        what = f"Hugging Face answered {code} about the dataset {self._dataset} ({why.get(code, 'no reason is known')})"
        return LeaseError(what, "Look at it on the hub; HF_TOKEN has to be one that may write it", permanent=False)

    def _strange(self, reply: requests.Response) -> LeaseError:
        what = f"what Hugging Face answered about the dataset {self._dataset} makes no sense ({len(reply.content)} bytes)"
        return LeaseError(what, "It is asked again", permanent=False)


class KIND:
    """Leases in a dataset: `huggingface:OWNER/NAME`, or `huggingface:https://HUB/datasets/OWNER/NAME` for a hub of your own."""

    @staticmethod
    def open(address: str, claim: str, *, home: Home, timeout: float) -> HubLease:
        """The lease of a claim in the dataset at `address`.

        Raises:
            BadInput: it is no dataset's.
            NotFound: there is no token here.
        """
        parts = urlsplit(address if "://" in address else f"{os.environ.get('HF_ENDPOINT') or HUB}/{address}")
        dataset = parts.path.strip("/").removeprefix("datasets/")
        local = parts.scheme == "http" and parts.hostname in ("127.0.0.1", "localhost", "::1")
        if not NAME.fullmatch(dataset) or parts.username or parts.password:
            raise BadInput("leases at Hugging Face need a dataset", 'Write lease = "huggingface:OWNER/NAME"; make it first, as a private one')
        if parts.scheme != "https" and not local:
            raise BadInput(f"the hub {parts.hostname} is no https address", "A token is never sent over a plain connection")
        return HubLease(f"{parts.scheme}://{parts.netloc}", dataset, claim, token=secrets.load(home, TOKEN), timeout=timeout)


def _is_missing(reply: requests.Response, what: str) -> bool:
    return reply.status_code == 404 and reply.headers.get("X-Error-Code") == what
