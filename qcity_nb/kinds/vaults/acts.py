"""What is done with a vault: put a copy, list those there are, restore one. It remembers below the home which copies are its own."""

from __future__ import annotations

import base64
import contextlib
import os
import secrets as chance
import shutil
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path

from ...decide import vaults as rules
from ...decide.wording import size
from ...errors import NotFound, PlatformError, QCityError, Refused, StoreTooNew
from ...io import copies, secrets, vaultnotes
from ...io.files import try_lock
from ...model.home import Home
from ...model.vault import Copy, VaultAnswer, VaultAsk, VaultConfig, VaultState
from . import LEAVES, Vault, open_vault

TRIES = 3
BUSY_SECONDS = 60.0


def do(ask: VaultAsk) -> VaultAnswer:
    """Do what is asked.

    Raises:
        QCityError: it cannot be done; what is asked for is as it was.
    """
    home = Home(Path(ask.home))
    vault = open_vault(ask.config, home=home)
    if ask.verb == "copies":
        return VaultAnswer(copies=tuple(rules.copies(vault.names().names)))
    with _alone(home, ask.config):
        return _restore(ask, home, vault) if ask.verb == "restore" else _save(ask, home, vault)


def _save(ask: VaultAsk, home: Home, vault: Vault) -> VaultAnswer:
    """Put a copy, and write down what came of it."""
    state, at = vaultnotes.state(home, ask.config.name), datetime.now(timezone.utc).replace(microsecond=0)
    try:
        copy, count, state = _put(ask, home, vault, state, at)
    except QCityError as error:
        known = vaultnotes.state(home, ask.config.name)
        failed = replace(known, tried=at, error=error.what, todo=error.todo, failing=known.failing or at, superseded=isinstance(error, Superseded))
        vaultnotes.note(home, ask.config.name, failed)
        raise
    done = replace(state, saved=at, size=count, tried=at, error="", todo="", failing=None, superseded=False)
    vaultnotes.note(home, ask.config.name, done)
    return VaultAnswer(copies=(copy,))


class Superseded(Refused):
    """Another home has gone on from a copy of this one, or was in the vault first."""


def _put(ask: VaultAsk, home: Home, vault: Vault, state: VaultState, at: datetime) -> tuple[Copy, int, VaultState]:
    config = ask.config
    about = copies.About(place=_place(home), schema=ask.schema)
    data = b""
    for _ in range(TRIES):
        seen = vault.names()
        known = rules.copies(seen.names)
        newest = rules.ahead(known, state)
        if newest is not None and not ask.force:
            raise _superseded(config, newest, state)
        if not data:
            with _room(home, config) as room:
                data = copies.pack(home, about, room, passphrase=passphrase_of(home, config))
        if len(data) > config.limit:
            what = f"the copy has {size(len(data))}, and the vault {config.name} takes {size(config.limit)}"
            raise Refused(what, "Remove what is old from the store, or use another vault")
        copy = rules.following(known, generation=ask.generation, at=at, mark=chance.token_hex(4))
        state = replace(state, mine=(*state.mine, copy.name)[-rules.REMEMBERED :])
        vaultnotes.note(home, config.name, state)  # before it is put: one whose answer is lost is ours all the same
        if vault.put(copy.name, data, drop=rules.surplus(known, config.keep), seen=seen):
            return copy, len(data), state
    raise PlatformError(f"the vault {config.name} changes each time a copy is put there", "It is tried again", kind="conflict")


def _superseded(config: VaultConfig, newest: Copy, state: VaultState) -> Superseded:
    of = f"the vault {config.name} holds a newer copy, {newest.number} of {newest.at:%Y-%m-%d %H:%M:%S} UTC, which is not of this home"
    if not state.mine:
        return Superseded(f"{of}: nothing was put over it", "qcity resume takes it over here; or name another folder or branch for this home")
    todo = "End this home with qcity engine stop --runners, or take the work back here: the same, then qcity resume"
    return Superseded(f"{of}: another machine has gone on, and nothing was put over it", todo)


def _restore(ask: VaultAsk, home: Home, vault: Vault) -> VaultAnswer:
    """Put a copy in the place of the home's store."""
    config, state = ask.config, vaultnotes.state(home, ask.config.name)
    known = rules.copies(vault.names().names)
    if not known:
        raise NotFound(f"the vault {config.name} holds no copy yet", "qcity vault save puts one there")
    meant = [copy for copy in known if ask.which in ("", copy.number, copy.name)]
    if not meant:
        raise NotFound(f"the vault {config.name} holds no copy {ask.which}", f"There are: {', '.join(copy.number for copy in known)}")
    copy = meant[-1]
    own = [one for one in known if one.name in state.mine]
    if own and copy < own[-1] and not ask.force:
        what = f"the copy {copy.number} is older than what is here, which is {own[-1].number} or newer"
        raise Refused(f"{what}: nothing was restored", f"qcity vault restore {config.name} {copy.number} --force goes back to it all the same")
    with _room(home, config) as room:
        about = _unpacked(vault, config, home, copy, known, room)
        if about.schema > ask.schema:
            what = f"the copy {copy.number} was made by a newer version (its schema is {about.schema}, this one knows {ask.schema})"
            raise StoreTooNew(what, "pip install --upgrade qcity-nb; nothing was changed")
        aside = copies.install(home, room, about, fresh=ask.generation == 0)
    newest = known[-1].name  # a person went back to an older one on purpose: what comes next goes over all that is there
    vaultnotes.note(home, config.name, VaultState(mine=tuple({copy.name: 0, newest: 0} if ask.force else (copy.name,)), saved=copy.at))
    return VaultAnswer(copies=(copy,), aside=str(aside or ""))


def _unpacked(vault: Vault, config: VaultConfig, home: Home, copy: Copy, known: list[Copy], room: Path) -> copies.About:
    try:
        return copies.unpack(vault.get(copy.name), room, name=copy.number, passphrase=passphrase_of(home, config, must=False))
    except Refused as error:
        before = [one for one in known if one < copy]
        if "damaged" not in error.what or not before:
            raise
        other = before[-1]
        todo = f"The one before it is {other.number} of {other.at:%Y-%m-%d %H:%M:%S} UTC: qcity vault restore {config.name} {other.number}"
        raise Refused(error.what, todo) from None


def passphrase_of(home: Home, config: VaultConfig, *, must: bool = True) -> str:
    """What a vault's copies are sealed with; empty when they are not.

    Raises:
        NotFound: they have to be, and there is none.
    """
    name = f"vault-{config.name}"
    if secrets.has(home, name):
        return base64.urlsafe_b64decode(secrets.load(home, name)).decode()
    if must and (config.sealed or config.kind in LEAVES):
        what = f"there is no passphrase for the vault {config.name}, whose copies are sealed"
        raise NotFound(what, "Set QCITY_VAULT_PASSPHRASE in the environment or in Colab's secrets, and add it again")
    return ""


def _place(home: Home) -> str:
    return (home.root / "place").read_text().strip()


@contextlib.contextmanager
def _room(home: Home, config: VaultConfig) -> Iterator[Path]:
    """A folder to work in; what one that was killed left there goes."""
    room = home.vaults / f"{config.name}.part"
    shutil.rmtree(room, ignore_errors=True)
    room.mkdir(mode=0o700)
    try:
        yield room
    finally:
        shutil.rmtree(room, ignore_errors=True)


@contextlib.contextmanager
def _alone(home: Home, config: VaultConfig) -> Iterator[None]:
    home.vaults.mkdir(mode=0o700, exist_ok=True)
    end = time.monotonic() + BUSY_SECONDS
    while (handle := try_lock(home.vaults / f"{config.name}.lock")) is None:
        if time.monotonic() > end:
            what = f"another process has been busy with the vault {config.name} for {BUSY_SECONDS:.0f} s"
            raise Refused(what, "Try again in a moment", permanent=False)
        time.sleep(0.05)
    try:
        yield
    finally:
        os.close(handle)
