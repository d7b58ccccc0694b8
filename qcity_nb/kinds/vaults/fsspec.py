"""A vault in whatever fsspec reaches by URL: S3 and what speaks like it, Google's and Azure's storage, SFTP, WebDAV.

Object stores put a file whole or not at all; elsewhere a copy is put beside its name and moved. None of them compares and swaps: of two homes that
put one in the same moment both stay, and the older is refused the next time.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from typing import Any

from ...decide.wording import line
from ...errors import BadInput, MissingTool, PlatformError
from ...model.home import Home
from ...model.vault import Listing, VaultConfig
from . import known_options

WHOLE = frozenset({"s3", "s3a", "gs", "gcs", "abfs", "az", "oss", "memory"})
"""Protocols whose files appear whole."""


class Fsspec:
    """See `Vault`."""

    def __init__(self, files: Any, folder: str, shown: str) -> None:
        self._files, self._folder, self._shown = files, folder.rstrip("/"), shown
        protocol = files.protocol if isinstance(files.protocol, (tuple, list)) else (files.protocol,)
        self._whole = bool(WHOLE & set(protocol))

    def names(self) -> Listing:
        """See `Vault`."""
        with self._plainly("read"):
            self._files.invalidate_cache()
            try:
                return Listing(names=tuple(str(path).rpartition("/")[2] for path in self._files.ls(self._folder, detail=False)))
            except FileNotFoundError:
                return Listing(names=())

    def get(self, name: str) -> bytes:
        """See `Vault`."""
        with self._plainly("read"):
            return bytes(self._files.cat_file(f"{self._folder}/{name}"))

    def put(self, name: str, data: bytes, *, drop: Sequence[str], seen: Listing) -> bool:
        """See `Vault`."""
        final, part = f"{self._folder}/{name}", f"{self._folder}/.{name}.part"
        with self._plainly("written"):
            self._files.makedirs(self._folder, exist_ok=True)
            self._files.pipe_file(final if self._whole else part, data)
            if not self._whole:
                self._files.mv(part, final)
        for old in drop:
            with contextlib.suppress(Exception):  # each driver has errors of its own; what cannot be removed now is removed the next time
                self._files.rm_file(f"{self._folder}/{old}")
        return True

    @contextlib.contextmanager
    def _plainly(self, done: str) -> Any:
        try:
            yield
        except Exception as error:  # noqa: BLE001 - each driver has errors of its own; whatever it is, it is said and tried again
            why = line(f"{type(error).__name__}: {error}", limit=160)
            todo = "Check the address and the driver's own settings and credentials"
            raise PlatformError(f"the vault {self._shown} cannot be {done} ({why})", todo, kind="unreachable") from None


class KIND:
    """The kind `fsspec`: the target is a URL, as s3://bucket/qcity; option: `endpoint_url`. Credentials are where the driver looks for them."""

    @staticmethod
    def open(config: VaultConfig, *, home: Home) -> Fsspec:  # noqa: ARG004 - its drivers have credentials of their own
        """The vault at `target`; reaches nothing yet."""
        known_options(config, ("endpoint_url",))
        if "://" not in config.target or "@" in config.target.partition("://")[2].partition("/")[0]:
            raise BadInput(f'"{config.target}" is no address of a vault', "Give one as s3://bucket/qcity; credentials are not part of it")
        try:
            import fsspec
        except ImportError:
            raise MissingTool("vaults by URL need the package fsspec", 'pip install "qcity-nb[vault]"') from None
        settings = {"client_kwargs": dict(config.options)} if config.options else {}
        try:
            files, folder = fsspec.core.url_to_fs(config.target, **settings)
        except ImportError as error:
            raise MissingTool(f"the driver for {config.target} is not installed ({line(str(error))})", "Install it with pip") from None
        except ValueError as error:
            raise BadInput(f'"{config.target}" is no address that fsspec knows ({line(str(error))})', "Give one as s3://bucket/qcity") from None
        return Fsspec(files, folder, config.target)
