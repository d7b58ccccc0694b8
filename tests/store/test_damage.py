"""A damaged store is moved aside and its last good copy put in place; nothing is thrown away and everything is said."""

from __future__ import annotations

import contextlib
import os
import shutil
from datetime import datetime, timezone

import pytest

from qcity_nb.errors import StoreCorrupt
from qcity_nb.store import commands
from qcity_nb.store.database import KEPT_BACKUPS, Store, prepare

NOW = datetime(2026, 1, 5, tzinfo=timezone.utc)


@pytest.fixture
def filled(home):
    """A store with rows, closed, and a good copy of the first fifty of them."""
    store, _ = prepare(home)
    put(store, range(50))
    store.backup()
    put(store, range(50, 60))
    store.close()
    return home


def put(store: Store, numbers) -> None:
    with store.write() as connection:
        for number in numbers:
            commands.ask(connection, store.place, "job.rerun", f"row {number}", {"filling": "x" * 500}, at=NOW)


def rows(store: Store) -> list[str]:
    with store.read() as connection:
        return [command.subject for command in commands.latest(connection, store.place)]


def overwrite(path, offset: int, raw: bytes) -> None:
    with path.open("r+b") as file:
        file.seek(offset)
        file.write(raw)


def no_header(path) -> None:
    overwrite(path, 0, b"not a database at all, not even one of the older kind" * 4)


def broken_pages(path) -> None:
    for page in range(1, path.stat().st_size // 4096):
        overwrite(path, page * 4096, os.urandom(4096))


def cut_in_half(path) -> None:
    os.truncate(path, path.stat().st_size // 2 // 4096 * 4096)


def emptied(path) -> None:
    os.truncate(path, 0)


@pytest.mark.parametrize("damage", [no_header, broken_pages, cut_in_half, emptied])
def test_the_last_good_copy_is_restored(filled, damage):
    damage(filled.store)
    store, said = prepare(filled)
    with contextlib.closing(store):
        assert rows(store) == [f"row {number}" for number in range(50)]
    assert "was damaged" in said
    assert "was restored" in said


def test_the_damaged_one_is_kept(filled):
    no_header(filled.store)
    raw = filled.store.read_bytes()
    store, said = prepare(filled)
    store.close()
    aside = list(filled.root.glob("damaged-*/qcity.db"))
    assert [path.read_bytes() for path in aside] == [raw]
    assert str(aside[0].parent) in said


def test_without_a_copy_a_new_one_is_begun_and_said(filled):
    shutil.rmtree(filled.backups)
    no_header(filled.store)
    store, said = prepare(filled)
    with contextlib.closing(store):
        assert rows(store) == []
    assert "no good copy" in said


def test_a_damaged_copy_is_passed_over(filled):
    store = Store(filled)
    put(store, range(60, 70))
    newest = store.backup()
    store.close()
    no_header(newest)
    no_header(filled.store)
    store, _said = prepare(filled)
    with contextlib.closing(store):
        assert len(rows(store)) == 50


def test_two_damages_in_one_second_are_two_folders(filled):
    for _ in range(2):
        no_header(filled.store)
        prepare(filled)[0].close()
    assert len(list(filled.root.glob("damaged-*/qcity.db"))) == 2


def test_damage_that_shows_later_is_a_sentence_too(filled):
    """A store that was opened before its pages went bad."""
    store = Store(filled)
    broken_pages(filled.store)
    with contextlib.closing(store), pytest.raises(StoreCorrupt, match="damaged"):
        rows(store)


def test_a_good_store_is_left_alone(filled):
    store, said = prepare(filled)
    with contextlib.closing(store):
        assert len(rows(store)) == 60
    assert said == ""


def test_only_the_newest_copies_are_kept(filled):
    with contextlib.closing(Store(filled)) as store:
        made = [store.backup() for _ in range(KEPT_BACKUPS + 2)]
    assert sorted(filled.backups.iterdir()) == made[-KEPT_BACKUPS:]


def test_a_copy_is_verified(filled):
    """A backup of a damaged store is refused: it must not push out the good ones."""
    broken_pages(filled.store)
    with contextlib.closing(Store(filled)) as store, pytest.raises(Exception, match=r"damaged|malformed"):
        store.backup()
    assert len(list(filled.backups.glob("qcity-*.db"))) == 1
