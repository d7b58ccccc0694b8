"""Vaults: copies of this home's store that are kept off the machine, as a person adds, looks at, saves and restores them.

What was asked for is kept in `vaults.json` below the home; the engine puts a copy there while something changed, and when it ends. Every act is a
process of its own (`python -m qcity_nb.kinds.vaults`), asked on its standard input.
"""

from __future__ import annotations

import base64
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path

from ..decide.health import Condition, Level
from ..decide.redact import redact
from ..decide.vaults import NAME, condition
from ..decide.wording import count, did_you_mean, duration, line, since, size
from ..errors import BadInput, HomeError, NotFound, QCityError, Refused
from ..io import secrets, vaultnotes
from ..io.files import is_locked
from ..model.vault import EVERY, Copy, VaultAnswer, VaultAsk, VaultConfig, VaultNotes, VaultState
from ..store import lease
from ..store.database import VERSION, Store
from . import questions
from .link import Link, now
from .tables import Html, Shown, mark, table

SECONDS = 600.0
PASSPHRASE = ("QCITY_VAULT_PASSPHRASE",)
TOKENS = {
    "huggingface": ("QCITY_HF_TOKEN", "HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"),
    "dagshub": ("DAGSHUB_TOKEN", "DAGSHUB_USER_TOKEN"),
}
"""Kinds that need a token, and where people keep it."""
LEAVES = ("git", "dagshub", "huggingface", "fsspec")
"""Kinds whose copies are always sealed."""
SELDOM = {"huggingface": timedelta(minutes=10)}
"""Kinds that take a copy less often than others, unless somebody says how often."""


@dataclass(frozen=True, kw_only=True)
class Vault:
    """A vault and what this home knows of it."""

    config: VaultConfig
    state: VaultState


class Vaults(Shown):
    """The vaults of this home."""

    def __init__(self, link: Link) -> None:
        self._link = link

    def add(
        self,
        name: str,
        kind: str,
        target: str | Path,
        *,
        sealed: bool = False,
        key_file: str | Path | None = None,
        keep: int = 5,
        every: str | float | timedelta | None = None,
        **options: str,
    ) -> Copy:
        """Keep copies of this home's store there from now on; the first one is put now. One of that name is replaced.

        Args:
            kind: `folder` (a mounted Drive, another disk), `git`, `dagshub`, `huggingface` or `fsspec` (S3 and others, by URL).
            target: an absolute folder, a remote, OWNER/NAME, a URL.
            sealed: encrypt the copies in a folder, too; what leaves the machine always is. The passphrase is QCITY_VAULT_PASSPHRASE, from Colab's
                secrets, the environment, the keyring, or asked for.
            key_file: a file of mode 0600 whose content is the passphrase.
            keep: so many copies, the newest.
            every: how often while something changed, as `1 min`.
            options: the kind's own, never a secret.

        Raises:
            Refused: the vault holds copies of another home, or the store needs no vault.
            QCityError: no copy could be put; then the vault is not added.
        """
        config = configured(name, kind, target, sealed=sealed or key_file is not None, keep=keep, every=every, options=options)
        known = self._notes()
        self.provide(config, key_file)
        self.note(config)
        try:
            return self.save(name)
        except QCityError:
            if name not in known.added:
                self._keep(known)
            raise

    def note(self, config: VaultConfig) -> None:
        """Keep copies there from now on, without putting one now."""
        if not self._link.store.embedded:
            raise Refused("the store is on PostgreSQL, which outlives this machine", "It needs no vault; back it up with PostgreSQL's own ways")
        notes = self._notes()
        self._keep(replace(notes, added={**notes.added, config.name: config}))

    def remove(self, name: str) -> None:
        """Put no more copies there. Those that are there stay. Raises `NotFound`."""
        known, home = self[name].config, self._link.store.home
        self._keep(VaultNotes(added={key: value for key, value in self._notes().added.items() if key != known.name}))
        (home.vaults / f"{name}.json").unlink(missing_ok=True)
        secrets.forget(home, f"vault-{name}")

    def save(self, name: str, *, force: bool = False) -> Copy:
        """Put a copy there now.

        Args:
            force: also over a newer one of another home.

        Raises:
            Refused: another home has gone on from a copy of this one.
        """
        return self._ask("save", self[name].config, force=force).copies[0]

    def copies(self, name: str) -> list[Copy]:
        """The copies that are there, oldest first."""
        return list(self._ask("copies", self[name].config).copies)

    def restore(self, name: str, copy: str = "", *, force: bool = False) -> VaultAnswer:
        """Put a copy in the place of this home's store, which is kept aside. Nothing may run here.

        Args:
            copy: its number, as `3.17`; the newest when left out.
            force: also one that is older than what is here.

        Raises:
            Refused: it is older than what is here, damaged, or sealed with another passphrase.
            HomeError: an engine runs here.
        """
        config = self[name].config
        answer = self._ask("restore", config, which=copy, force=force)
        self._link.store.look_again()
        came = self._notes().added  # they may not know it, or know it by another name: one vault, one name
        others = {key: one for key, one in came.items() if (one.kind, one.target) != (config.kind, config.target)}
        self._keep(VaultNotes(added={**others, config.name: config}))
        return answer

    def ahead(self, name: str) -> Copy | None:
        """The newest copy there if this home does not come from it; None when there is nothing newer."""
        known, state = self.copies(name), self[name].state
        return known[-1] if known and known[-1].name not in state.mine else None

    @property
    def saved(self) -> datetime | None:
        """When the newest copy was put anywhere; None when there is none."""
        return max((one.state.saved for one in self if one.state.saved), default=None)

    def condition(self) -> Condition | None:
        """How they are, in one sentence; None when there is none."""
        return condition_of(self._link.store, now(), alive=is_locked(self._link.store.home.lock))

    def provide(self, config: VaultConfig, key_file: str | Path | None = None) -> None:
        """Take over the token and the passphrase that a vault needs from where people keep them.

        Raises:
            NotFound: its copies are sealed, and there is no passphrase.
        """
        home = self._link.store.home
        value, source = secrets.find(TOKENS[config.kind]) if config.kind in TOKENS else ("", "")
        token = config.options.get("token", config.kind)
        if value and (not secrets.has(home, token) or secrets.load(home, token) != value):
            secrets.keep(home, token, value)
            self._link.say(f"The token for {config.name} (fingerprint {secrets.fingerprint(value)}) was taken from {source}.")
        if not config.sealed and config.kind not in LEAVES:
            return
        name = f"vault-{config.name}"
        phrase, source = (_key(Path(key_file)), str(key_file)) if key_file is not None else secrets.find(PASSPHRASE, what="passphrase of the vault")
        if not phrase and not secrets.has(home, name):
            phrase, source = secrets.find((), ask=True, what=f"passphrase of the vault {config.name}")
        if phrase:
            secrets.keep(home, name, base64.urlsafe_b64encode(phrase.encode()).decode())
            self._link.say(f"The passphrase of the vault {config.name} (fingerprint {secrets.fingerprint(phrase)}) was taken from {source}.")
        elif not secrets.has(home, name):
            todo = "Put one into Colab's secrets or the environment as QCITY_VAULT_PASSPHRASE, or name a key_file; whoever restores needs it"
            raise NotFound(f"the copies in the vault {config.name} are sealed, and there is no passphrase", todo)

    def __getitem__(self, name: str) -> Vault:
        """One of them. Raises `NotFound`."""
        known = self._notes().added
        if name not in known:
            raise NotFound(f'there is no vault "{name}"', did_you_mean(name, known, what="vault", none="qcity vault add NAME KIND TARGET adds one"))
        return Vault(config=known[name], state=vaultnotes.state(self._link.store.home, name))

    def __iter__(self) -> Iterator[Vault]:
        return iter([Vault(config=config, state=vaultnotes.state(self._link.store.home, name)) for name, config in self._notes().added.items()])

    def __len__(self) -> int:
        return len(self._notes().added)

    def rows(self) -> list[tuple[str, str, Level, str, str]]:
        """Name, kind, how it is, when saved, how large."""
        at, alive, found = now(), is_locked(self._link.store.home.lock), []
        for one in self:
            how = condition({one.config.name: (one.config, one.state)}, at, alive=alive)
            assert how is not None
            many = size(one.state.size) if one.state.size else ""
            found.append((one.config.name, f"{one.config.kind} {one.config.target}", how.level, how.text, many))
        return found

    def __repr__(self) -> str:
        return "\n".join([f"{count(len(self), 'vault')}.", *(f"{name}: {where}. {text}" for name, where, _, text, _ in self.rows())])

    def _html(self) -> str:
        rows = [(name, where, Html(mark(level, level.value)), text, many) for name, where, level, text, many in self.rows()]
        empty = 'No vault: city.vaults.add("drive", "folder", "/content/drive/MyDrive/qcity")'
        return table("", ("vault", "where", "", "", "size"), rows, empty=empty)

    def _ask(self, verb: str, config: VaultConfig, *, which: str = "", force: bool = False) -> VaultAnswer:
        store = self._link.store
        if not store.embedded:
            raise Refused("the store is on PostgreSQL, which outlives this machine", "It needs no vault; back it up with PostgreSQL's own ways")
        generation = 0
        if verb != "copies" and store.home.store.exists():
            with self._link.read() as connection:
                last = lease.current(connection, self._link.place)
            generation = last.generation if last is not None else 0
        ask = VaultAsk(
            verb=verb, config=config, home=str(store.home.root), generation=generation, schema=VERSION, which=which, force=force
        )
        return questions.put(
            "vaults",
            ask,
            VaultAnswer,
            seconds=SECONDS,
            late=HomeError(f"the vault {config.name} has not answered for {SECONDS:.0f} s", "Try again: a copy is there whole or not at all"),
            failed=lambda said: HomeError(f"the vault {config.name} could not be asked ({said})", "qcity doctor says what is missing"),
            other=HomeError,
        )

    def _notes(self) -> VaultNotes:
        return vaultnotes.added(self._link.store.home)

    def _keep(self, notes: VaultNotes) -> None:
        vaultnotes.keep(self._link.store.home, notes)


def configured(
    name: str,
    kind: str,
    target: str | Path,
    *,
    sealed: bool = False,
    keep: int = 5,
    every: str | float | timedelta | None = None,
    options: Mapping[str, str] | None = None,
) -> VaultConfig:
    """A vault as a person means it.

    Raises:
        BadInput: it cannot be meant, or holds a secret.
    """
    if not NAME.fullmatch(name):
        raise BadInput(f'a vault cannot be called "{name}"', "Use letters, digits, dots, dashes and underscores, 40 at most")
    if keep < 1:
        raise BadInput(f"a vault cannot keep {keep} copies", "Keep one at least")
    for key, value in {"target": str(target), **(options or {})}.items():
        if redact(f"{key}={value}") != f"{key}={value}" or redact(value) != value:
            raise BadInput(f"the {key} of the vault {name} holds a secret", "Keep it as a credential or in the environment; nothing was stored")
    try:
        span = every if isinstance(every, timedelta) else duration(every) if every is not None else SELDOM.get(kind, EVERY)
    except ValueError:
        raise BadInput(f'"{every}" is no time', "Write 60, 90s or 10 min") from None
    where = str(Path(target).expanduser()) if kind == "folder" else str(target)
    return VaultConfig(name=name, kind=kind, target=where, options=dict(options or {}), sealed=sealed, keep=keep, every=span)


def condition_of(store: Store, at: datetime, *, alive: bool) -> Condition | None:
    """How a home's vaults are, in one sentence; None when there is none."""
    if not store.embedded:
        return None
    try:
        added = vaultnotes.added(store.home).added
    except HomeError as error:
        return Condition(level=Level.WARN, text=error.what, todo=error.todo)
    return condition({name: (config, vaultnotes.state(store.home, name)) for name, config in added.items()}, at, alive=alive)


def told(copy: Copy, at: datetime) -> str:
    """A copy, for people."""
    return f"copy {copy.number} of {copy.at:%Y-%m-%d %H:%M:%S} UTC ({since(copy.at, at)})"


def _key(path: Path) -> str:
    try:
        if stat.S_IMODE(path.stat().st_mode) & 0o077:
            raise BadInput(f"the key file {path} can be read by others", f"chmod 600 {path}, then try again")
        text = path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput(f"the key file {path} cannot be read ({line(str(error))})", "Give a text file of yours of mode 0600") from None
    if not text:
        raise BadInput(f"the key file {path} is empty", "Put a passphrase into it")
    return text
