"""A vault on a branch of any git remote, DagsHub's among them. Each change is one commit without a parent, pushed over the one that was seen.

So the branch holds the newest copies and no history, and of two homes that push at the same time one is refused by the server.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Sequence

from ...errors import BadInput, PlatformError
from ...io import secrets
from ...model.home import Home
from ...model.vault import Listing, VaultConfig
from ..branch import Branch, known
from . import known_options

BRANCH = "qcity-vault"
DAGSHUB = "https://dagshub.com"
REPOSITORY = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*/[A-Za-z0-9][A-Za-z0-9._-]*")


class Git:
    """See `Vault`."""

    def __init__(self, branch: Branch) -> None:
        self._branch = branch
        self._head = ""

    def names(self) -> Listing:
        """See `Vault`."""
        self._head = self._branch.fetch()
        return Listing(names=tuple(self._branch.files(self._head)), version=self._head)

    def get(self, name: str) -> bytes:
        """See `Vault`."""
        if (data := self._branch.file(self._head or self._branch.fetch(), name)) is None:
            raise PlatformError(f"{name} is not on the branch of {self._branch.shown}", "Restore another one", kind="not_found")
        return data

    def put(self, name: str, data: bytes, *, drop: Sequence[str], seen: Listing) -> bool:
        """See `Vault`."""
        kept = {old: id_ for old, id_ in self._branch.files(seen.version).items() if old not in drop}
        return self._branch.push(self._branch.commit({name: data}, words=f"Copy {name}", kept=kept), over=seen.version)


class KIND:
    """The kind `git`: the target is a remote as git takes it; option: `branch` (`qcity-vault`)."""

    @staticmethod
    def open(config: VaultConfig, *, home: Home) -> Git:
        """The vault at `target`; reaches nothing yet."""
        known_options(config, ("branch",))
        branch = config.options.get("branch", BRANCH)
        known(config.target, branch, what="vault")
        return _at(config.target, branch, home)


class DAGSHUB_KIND:  # noqa: N801 - the name of an entry of the table
    """The kind `dagshub`: the target is OWNER/NAME; options: `branch`, `user` (OWNER), `url` (a server). The token is the credential `dagshub`."""

    @staticmethod
    def open(config: VaultConfig, *, home: Home) -> Git:
        """The vault at `target`. The token goes into git's environment, never into an address or a command line."""
        known_options(config, ("branch", "user", "url"))
        branch, server = config.options.get("branch", BRANCH), config.options.get("url", DAGSHUB).rstrip("/")
        if not REPOSITORY.fullmatch(config.target):
            raise BadInput(f'"{config.target}" is no repository at DagsHub', "Give OWNER/NAME")
        if not server.startswith(("https://", "http://127.0.0.1:")):
            raise BadInput(f"the server {server} is no https address", "A token is never sent over a plain connection")
        user = config.options.get("user") or config.target.partition("/")[0]
        word = base64.b64encode(f"{user}:{secrets.load(home, 'dagshub')}".encode()).decode()
        env = {"GIT_CONFIG_COUNT": "1", "GIT_CONFIG_KEY_0": f"http.{server}/.extraHeader", "GIT_CONFIG_VALUE_0": f"Authorization: Basic {word}"}
        known(f"{server}/{config.target}.git", branch, what="vault")
        return _at(f"{server}/{config.target}.git", branch, home, env)


def _at(url: str, branch: str, home: Home, env: dict[str, str] | None = None) -> Git:
    scratch = home.root / "vaults" / f"{hashlib.sha256(f'{url} {branch}'.encode()).hexdigest()[:12]}.git"
    return Git(Branch(url, branch, scratch, what="the copy", env=env))
