"""Opening a store: the home is checked first, a newer store is refused, an older one migrated, a damaged one replaced by its last good copy.

The engine and its clients each hold one `Store`. Reading never waits for writing (WAL); writing begins immediately,
so two writers queue up instead of failing half way.
"""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import sqlite3
import time
import uuid
from collections.abc import Iterator
from datetime import datetime, timezone
from pathlib import Path

import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.engine import URL, Connection, Engine, make_url

from ..errors import HomeError, MissingTool, StoreCorrupt, StoreError, StoreFull, StoreTooNew
from ..io.copies import snapshot
from ..io.files import try_lock, write_atomic
from ..model.home import Home

VERSION = "0006"
"""The newest migration: a store with this version needs nothing."""

REMOTE = frozenset({"nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "afs", "ceph", "glusterfs", "lustre", "davfs", "drvfs", "gcsfuse", "beegfs"})
KEPT_BACKUPS = 3
BUSY_SECONDS = 30
NO_ROOM = 1 << 16
"""With less than this free, SQLite's "I/O error" means that its shared memory could not grow."""


class Store:
    """An open store of one home.

    Args:
        home: the home's paths.
        url: where the store is; None means the home's own SQLite file.
        follows: for clients: when another file took the embedded one's place (a good copy was restored), go on with that. An engine does not:
            it must not write what it remembers of the one into the other (`is_gone`).
    """

    def __init__(self, home: Home, url: str | None = None, *, follows: bool = False) -> None:
        self.home, self._follows = home, follows
        self.url = _address(url) if url else URL.create("sqlite", database=str(home.store))
        self.place = place_of(home)
        self.embedded = self.url.get_backend_name() == "sqlite"
        self._engine = _connectable(self.url)
        self._file = _number_of(home.store) if self.embedded else None
        self._writer = self._engine.execution_options(qcity_write=True)

    @contextlib.contextmanager
    def read(self) -> Iterator[Connection]:
        """A connection that sees one consistent state."""
        self._follow()
        with _plain_errors(self), self._engine.connect() as connection, connection.begin():
            yield connection

    @contextlib.contextmanager
    def write(self) -> Iterator[Connection]:
        """A transaction that has the right to write from its first statement; committed at the end, rolled back by an exception."""
        self._follow()
        with _plain_errors(self), self._writer.begin() as connection:
            yield connection

    def is_gone(self) -> bool:
        """Whether the embedded store's file is no longer the one that was opened: somebody put a good copy in its place, or removed it."""
        if not self.embedded:
            return False
        now = _number_of(self.home.store)
        self._file = self._file or now  # it did not exist yet when it was opened
        return now != self._file

    def look_afresh(self) -> None:
        """Read the embedded file as a newcomer does: our own connection keeps in memory what it has read, and would not notice garbage.

        Never by opening the file ourselves: closing it would drop the locks that SQLite holds on it in this process.

        Raises:
            StoreCorrupt: it is damaged.
        """
        if not self.embedded:
            return
        try:
            with contextlib.closing(sqlite3.connect(f"{self.home.store.as_uri()}?mode=rw", uri=True, timeout=0)) as fresh:
                fresh.execute("pragma schema_version").fetchone()
        except sqlite3.DatabaseError as error:
            if not isinstance(error, sqlite3.OperationalError) or "malformed" in str(error):
                raise StoreCorrupt(f"the store {self.home.store} is damaged ({error})", "its last good copy will be restored") from error

    def look_again(self) -> None:
        """Be a store of what is in the home now: another one's copy may have been put there. An older schema is migrated."""
        if not self.embedded:
            return
        self.close()
        self.place, self._file = place_of(self.home), _number_of(self.home.store)
        with _alone(self.home.root / "store.lock"):
            _migrate(self)

    def backup(self) -> Path | None:
        """A verified copy below the home's `backups/`, the newest few kept; None on PostgreSQL, which has its own ways."""
        if not self.embedded:
            return None
        self.home.backups.mkdir(exist_ok=True)
        stamp = datetime.now(timezone.utc).strftime("%Y%m%dT%H%M%S%f")
        final, part = self.home.backups / f"qcity-{stamp}.db", self.home.backups / f".part-{stamp}"
        try:
            snapshot(self.home.store, part)
            part.rename(final)
        finally:
            part.unlink(missing_ok=True)
        for old in sorted(self.home.backups.glob("qcity-*.db"))[:-KEPT_BACKUPS]:
            old.unlink()
        return final

    def close(self) -> None:
        """Give all connections back."""
        self._engine.dispose()

    def _follow(self) -> None:
        if self._follows and self.embedded and (now := _number_of(self.home.store)) not in (None, self._file):
            if self._file is not None:
                self._engine.dispose()  # SQLite sees that its file was moved, and leaves the new one's log alone
            self._file = now


def place_of(home: Home) -> str:
    """The home's own id, made once."""
    path = home.root / "place"
    try:
        return path.read_text().strip()
    except FileNotFoundError:
        write_atomic(home.root / f".place-{os.getpid()}", uuid.uuid4().hex)
        with contextlib.suppress(FileExistsError):  # of several at once, the first one counts
            os.link(home.root / f".place-{os.getpid()}", path)
        (home.root / f".place-{os.getpid()}").unlink()
        return path.read_text().strip()


def prepare_home(root: Path) -> Home:
    """The home at `root`, made if need be.

    Raises:
        HomeError: it is read-only, a file, or on a network or Drive mount; the sentence says the way out.
    """
    probe = root / f".probe-{os.getpid()}"
    try:
        root.mkdir(parents=True, exist_ok=True, mode=0o700)
        probe.write_bytes(b"" if (root / "place").exists() else bytes(4096))  # what is known can be read on a full disk; nothing can begin there
        probe.unlink()
    except FileExistsError:
        raise HomeError(f"the home {root} is a file, not a folder", "set QCITY_HOME to a folder") from None
    except OSError as error:
        with contextlib.suppress(OSError):
            probe.unlink(missing_ok=True)
        if error.errno == errno.ENOSPC:
            raise StoreFull(f"the disk below the home {root} is full", "Free some space, then try again") from None
        raise HomeError(f"the home {root} cannot be written ({error.strerror})", "set QCITY_HOME to a folder that you may write") from None
    return Home(root.resolve())


def refuse_remote(home: Home) -> None:
    """Refuse an embedded store where two machines, or a lazy cache, could write its file.

    Raises:
        HomeError: the home is on a network, FUSE or Drive mount (SQLite's write-ahead log needs one host's shared memory).
    """
    kind, where = mount_of(home.root)
    if kind in REMOTE or kind.startswith("fuse"):
        raise HomeError(
            f"the home {home.root} is on a {kind} mount ({where}), where a live store loses rows without a word",
            "set QCITY_HOME to a local folder; backups may go to the mount, or set QCITY_STORE to a PostgreSQL address",
        )


def prepare(home: Home, url: str | None = None, *, follows: bool = False) -> tuple[Store, str]:
    """A store ready for use (`follows` as in `Store`), and a sentence when it had to be restored (empty otherwise).

    Raises:
        StoreTooNew: it was made by a newer version.
        StoreCorrupt: it is damaged and there is no good copy.
        StoreError: it cannot be reached.
    """
    said = ""
    if url is None:
        refuse_remote(home)
    with _alone(home.root / "store.lock"):
        if url is None and (damage := _damage(home.store)):
            said = _restore(home, damage)
        store = Store(home, url, follows=follows)
        try:
            _migrate(store)
        except BaseException:
            store.close()
            raise
    return store, said


def _number_of(path: Path) -> tuple[int, int] | None:
    """Which file it is, whatever its name; None when there is none."""
    try:
        found = path.stat()
    except FileNotFoundError:
        return None
    return found.st_dev, found.st_ino


def _address(url: str) -> URL:
    """The address with our driver.

    Raises:
        StoreError: it is none, or not PostgreSQL's: a SQLite file elsewhere would miss the checks and copies that a home's own file gets.
    """
    looks = "it looks like postgresql+psycopg://user@host/name; without QCITY_STORE the home's own file is used"
    try:
        found = make_url(url)
    except (sa.exc.ArgumentError, ValueError):
        raise StoreError("QCITY_STORE is not a database address", looks) from None
    if found.get_backend_name() not in ("postgresql", "postgres"):
        raise StoreError(f'QCITY_STORE names the database "{found.get_backend_name()}"; it can only be PostgreSQL', looks)
    return found.set(drivername="postgresql+psycopg") if found.drivername in ("postgresql", "postgres") else found


def _connectable(url: URL) -> Engine:
    if url.get_backend_name() != "sqlite":
        try:
            return sa.create_engine(url, pool_pre_ping=True, pool_size=2)
        except ModuleNotFoundError as error:
            raise MissingTool(f"the store's driver is not installed ({error.name})", 'pip install "qcity-nb[postgres]"') from None
        except sa.exc.NoSuchModuleError:
            todo = "it looks like postgresql+psycopg://user@host/name"
            raise StoreError(f'QCITY_STORE names the driver "{url.drivername}", which nobody knows', todo) from None
    engine = sa.create_engine(url, connect_args={"timeout": BUSY_SECONDS, "check_same_thread": False})

    @event.listens_for(engine, "connect")
    def _set_up(connection: sqlite3.Connection, _record: object) -> None:
        connection.isolation_level = None  # SQLAlchemy's recipe: we say BEGIN ourselves
        for pragma in ("journal_mode=wal", "synchronous=normal", "foreign_keys=on", "cache_size=-1000", "journal_size_limit=4194304"):
            connection.execute(f"pragma {pragma}")

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        connection.exec_driver_sql("BEGIN IMMEDIATE" if connection.get_execution_options().get("qcity_write") else "BEGIN")

    return engine


@contextlib.contextmanager
def _plain_errors(store: Store) -> Iterator[None]:
    """A database's own errors become sentences; a full disk and a damaged file are told apart."""
    try:
        yield
    except sa.exc.DatabaseError as error:
        text = str(error.orig)
        if "full" in text or "No space left" in text or ("I/O error" in text and shutil.disk_usage(store.home.root).free < NO_ROOM):
            todo = "free some space: nothing that was recorded is lost"
            raise StoreFull(f"the disk below the store is full ({text})", todo, permanent=False) from error
        if "malformed" in text or "not a database" in text:
            todo = "qcity engine stop, then qcity up: the last good copy is restored"
            raise StoreCorrupt(f"the store {store.home.store} is damaged ({text})", todo) from error
        if isinstance(error, sa.exc.OperationalError):
            what = f"the store does not answer ({text.strip().splitlines()[0]})"
            away = "start the database, or correct QCITY_STORE; without it the home's own file is used"
            raise StoreError(what, "qcity doctor says more" if store.embedded else away, permanent=False) from error
        raise


@contextlib.contextmanager
def _alone(path: Path) -> Iterator[None]:
    deadline = time.monotonic() + BUSY_SECONDS
    while (handle := try_lock(path)) is None:
        if time.monotonic() > deadline:
            raise StoreError(f"another process has been preparing the store for {BUSY_SECONDS} s ({path} is held)", "try again", permanent=False)
        time.sleep(0.02)
    try:
        yield
    finally:
        os.close(handle)


def mount_of(path: Path) -> tuple[str, str]:
    """The kind of file system below `path` and where it is mounted; two empty texts where nobody can say."""
    try:
        lines = Path("/proc/self/mountinfo").read_text().splitlines()
    except OSError:
        return "", ""
    best = ("", "")
    for line in lines:
        left, _, right = line.partition(" - ")
        where = left.split()[4].encode().decode("unicode_escape").encode("latin-1").decode("utf-8", "replace")  # only blanks are escaped
        if path.is_relative_to(where) and len(where) >= len(best[1]):
            best = (right.split()[0], where)
    return best


def _damage(path: Path) -> str:
    """What is wrong with a SQLite file, in its own words; empty when nothing is, or when there was none yet."""
    copies = any(Home(path.parent).backups.glob("qcity-*.db"))
    if not path.exists():
        return "its file is gone" if copies else ""
    if path.stat().st_size == 0 and copies:
        return "its file is empty"
    try:
        with contextlib.closing(sqlite3.connect(path, timeout=BUSY_SECONDS)) as connection:
            connection.execute("pragma schema_version").fetchone()
            verdict = connection.execute("pragma quick_check(1)").fetchone()[0]
    except sqlite3.OperationalError as error:
        if "malformed" in str(error):
            return str(error)
        return ""  # locked, full, unreadable: not damage; opening will say what it is
    except sqlite3.DatabaseError as error:
        return str(error)
    return "" if verdict == "ok" else str(verdict)


def _restore(home: Home, damage: str) -> str:
    """Move the damaged store aside and put its newest good copy in its place; the sentence that says so."""
    aside = home.root / f"damaged-{datetime.now(timezone.utc):%Y%m%dT%H%M%S%f}"
    aside.mkdir()
    for suffix in ("", "-wal", "-shm"):
        with contextlib.suppress(FileNotFoundError):
            home.store.with_name(home.store.name + suffix).rename(aside / (home.store.name + suffix))
    for copy in sorted(home.backups.glob("qcity-*.db"), reverse=True):
        if not _damage(copy):
            write_atomic(home.store, copy.read_bytes(), sync=True)
            made = datetime.fromtimestamp(copy.stat().st_mtime, timezone.utc)
            where = f"it was moved to {aside}" if any(aside.iterdir()) else "nothing of it was left"
            return f"The store was damaged ({damage}); {where} and the copy of {made:%Y-%m-%d %H:%M:%S} UTC was restored."
    return f"The store was damaged ({damage}) and there was no good copy: it was moved to {aside} and a new one begun."


def _migrate(store: Store) -> None:
    with store.read() as connection:
        found = _version(connection)
    if found == VERSION:
        return
    from alembic import command
    from alembic.config import Config
    from alembic.script import ScriptDirectory

    config = Config()
    config.set_main_option("script_location", "qcity_nb.store:migrations")
    known = {script.revision for script in ScriptDirectory.from_config(config).walk_revisions()}
    if found is not None and found not in known:
        what = f"the store was made by a newer version (its schema is {found}, this one knows {VERSION})"
        raise StoreTooNew(what, "pip install --upgrade qcity-nb; nothing was changed")
    with store.write() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, VERSION)


def _version(connection: Connection) -> str | None:
    if not sa.inspect(connection).has_table("alembic_version"):
        return None
    return connection.execute(sa.text("select version_num from alembic_version")).scalar()
