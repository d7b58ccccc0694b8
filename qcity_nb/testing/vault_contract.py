"""The contract suite of `kinds.vaults.Vault` and of what is done with one: subclass it, give it a vault that holds nothing, and pytest runs it."""

from __future__ import annotations

import sqlite3
from abc import abstractmethod
from contextlib import closing
from pathlib import Path

import pytest

from ..decide.vaults import copies
from ..errors import QCityError, Refused
from ..io import vaultnotes
from ..kinds.vaults import open_vault
from ..kinds.vaults.acts import do
from ..model.home import Home
from ..model.vault import Copy, Listing, VaultAsk, VaultConfig
from ..store.database import VERSION, Store, prepare, prepare_home


class VaultContract:
    """What every kind of vault promises. Homes are real, with real stores."""

    @abstractmethod
    def config(self) -> VaultConfig:
        """A vault called `it` that may be written; the same at each call."""

    @abstractmethod
    def equip(self, home: Home) -> None:
        """Give a home the credentials that it needs for it."""

    @abstractmethod
    def away(self) -> None:
        """Make it impossible to reach."""

    @abstractmethod
    def spoil(self, name: str) -> None:
        """Cut a file off in the middle."""

    def home(self, folder: Path, word: str = "") -> Home:
        """A home with a store in which that word stands."""
        store, _ = prepare(prepare_home(folder))
        self.equip(store.home)
        with closing(store):
            if word:
                self.write(store, word)
        return store.home

    @staticmethod
    def write(store: Store, word: str) -> None:
        """Put a word into a store that is open elsewhere, too."""
        with store.write() as connection:
            connection.exec_driver_sql("create table if not exists words (word text)")
            connection.exec_driver_sql(f"insert into words values ('{word}')")  # noqa: S608 - a word of the suite's own

    @staticmethod
    def words(home: Home) -> list[str]:
        """The words in a home's store."""
        with closing(sqlite3.connect(home.store)) as found:
            return [row[0] for row in found.execute("select word from words")]

    def put(self, home: Home, *, generation: int = 1, force: bool = False) -> Copy:
        """Save a home."""
        ask = VaultAsk(verb="save", config=self.config(), home=str(home.root), generation=generation, schema=VERSION, force=force)
        return do(ask).copies[0]

    def restore(self, home: Home, which: str = "", *, schema: str = VERSION, force: bool = False) -> Copy:
        """Restore into a home."""
        ask = VaultAsk(verb="restore", config=self.config(), home=str(home.root), generation=1, schema=schema, which=which, force=force)
        return do(ask).copies[0]

    def there(self, home: Home) -> list[Copy]:
        """The copies that are there."""
        return copies(open_vault(self.config(), home=home).names().names)

    def test_an_empty_vault_lists_nothing_and_restores_nothing(self, tmp_path: Path) -> None:
        """And says so."""
        home = self.home(tmp_path / "a")
        assert self.there(home) == []
        with pytest.raises(QCityError, match="holds no copy yet"):
            self.restore(home)

    def test_a_copy_goes_from_one_home_to_another(self, tmp_path: Path) -> None:
        """With the identity of its place, so that its rows are the other one's; while somebody writes; what was there is kept aside."""
        one, other = self.home(tmp_path / "a", "first"), self.home(tmp_path / "b", "of b")
        with closing(Store(one)) as store:
            self.write(store, "second")
            copy = self.put(one, generation=3)
            assert copy.number == "3.1"
        assert self.restore(other) == copy
        assert self.words(other) == ["first", "second"]
        assert (other.root / "place").read_text() == (one.root / "place").read_text()
        aside = next(other.root.glob("before-restore-*"))
        assert self.words(Home(aside)) == ["of b"]

    def test_no_secret_goes_along(self, tmp_path: Path) -> None:
        """Neither a token nor a key."""
        one, other = self.home(tmp_path / "a", "x"), self.home(tmp_path / "b")
        (one.root / "secrets").mkdir(exist_ok=True)
        (one.root / "secrets" / "github").write_text("ghp_standin")
        one.pointer_key.write_text("key")
        (one.root / "places.json").write_text("{}")
        self.put(one)
        self.restore(other)
        assert (other.root / "places.json").exists()
        assert not (other.root / "secrets" / "github").exists()
        assert not other.pointer_key.exists()

    def test_numbers_rise_and_only_the_newest_stay(self, tmp_path: Path) -> None:
        """A new generation of the engine begins to count anew."""
        home = self.home(tmp_path / "a", "x")
        numbers = [self.put(home, generation=generation).number for generation in (1, 1, 1, 2, 2)]
        assert numbers == ["1.1", "1.2", "1.3", "2.1", "2.2"]
        assert [copy.number for copy in self.there(home)] == numbers[-self.config().keep :]

    def test_a_home_that_was_left_behind_puts_nothing_over_the_newer_one(self, tmp_path: Path) -> None:
        """Whatever its generation has become meanwhile; it is told which is newer, and remembers it."""
        one, other = self.home(tmp_path / "a", "first"), self.home(tmp_path / "b")
        self.put(one)
        self.restore(other)
        newest = self.put(other, generation=2)
        with pytest.raises(QCityError, match=rf"newer copy, {newest.number} .*another machine has gone on"):
            self.put(one, generation=7)
        assert self.there(one)[-1] == newest
        assert vaultnotes.state(one, "it").superseded
        assert self.put(one, generation=7, force=True) > newest

    def test_a_vault_of_somebody_else_is_left_alone(self, tmp_path: Path) -> None:
        """A fresh home does not begin over what is there."""
        self.put(self.home(tmp_path / "a", "x"))
        with pytest.raises(Refused, match="not of this home"):
            self.put(self.home(tmp_path / "b"))

    def test_an_older_copy_is_refused_unless_it_is_asked_for(self, tmp_path: Path) -> None:
        """And what is newer is named."""
        home = self.home(tmp_path / "a", "first")
        old = self.put(home)
        with closing(Store(home)) as store:
            self.write(store, "second")
        new = self.put(home)
        with pytest.raises(Refused, match=rf"copy {old.number} is older than what is here, which is {new.number}"):
            self.restore(home, old.number)
        assert self.words(home) == ["first", "second"]
        self.restore(home, old.number, force=True)
        assert self.words(home) == ["first"]
        assert self.put(home) > new

    def test_a_damaged_copy_is_refused_and_the_one_before_it_named(self, tmp_path: Path) -> None:
        """Nothing of the home is touched, and the other one can be restored."""
        one, other = self.home(tmp_path / "a", "first"), self.home(tmp_path / "b", "of b")
        old, new = self.put(one), self.put(one)
        self.spoil(new.name)
        with pytest.raises(Refused, match="damaged or cut off") as caught:
            self.restore(other)
        assert f"qcity vault restore it {old.number}" in caught.value.todo
        assert self.words(other) == ["of b"]
        self.restore(other, old.number)
        assert self.words(other) == ["first"]

    def test_a_copy_of_a_newer_version_is_refused(self, tmp_path: Path) -> None:
        """Before anything is touched."""
        one, other = self.home(tmp_path / "a", "x"), self.home(tmp_path / "b", "of b")
        self.put(one)
        with pytest.raises(QCityError, match="made by a newer version"):
            self.restore(other, schema="0000")
        assert self.words(other) == ["of b"]

    def test_nothing_is_restored_under_an_engine(self, tmp_path: Path) -> None:
        """It would write what it remembers into the other store."""
        from ..io.files import try_lock

        home = self.home(tmp_path / "a", "x")
        self.put(home)
        handle = try_lock(home.lock)
        assert handle is not None
        with pytest.raises(QCityError, match="an engine runs"), open(handle):
            self.restore(home)

    def test_of_two_that_saw_the_same_one_is_told(self, tmp_path: Path) -> None:
        """At once where the vault can tell, else the next time; a copy of neither is lost."""
        home = self.home(tmp_path / "a", "x")
        vault, racing = open_vault(self.config(), home=home), open_vault(self.config(), home=home)
        seen, also = vault.names(), racing.names()
        first = "qcity-00000001-00000001-20260101T000000Z-aaaaaaaa.vault"
        second = "qcity-00000001-00000001-20260101T000000Z-bbbbbbbb.vault"
        assert vault.put(first, b"1", drop=(), seen=seen)
        taken = racing.put(second, b"2", drop=(), seen=also)
        assert {copy.name for copy in self.there(home)} == ({first, second} if taken else {first})
        assert isinstance(also, Listing)
        with pytest.raises(Refused, match="not of this home"):
            self.put(home)

    def test_a_vault_that_is_away_is_said_and_remembered(self, tmp_path: Path) -> None:
        """In one sentence with what to do; the last good one is not forgotten."""
        home = self.home(tmp_path / "a", "x")
        self.put(home)
        saved = vaultnotes.state(home, "it").saved
        self.away()
        with pytest.raises(QCityError) as caught:
            self.put(home)
        state = vaultnotes.state(home, "it")
        assert (state.saved, state.error) == (saved, caught.value.what)
        assert caught.value.todo
        assert "\n" not in caught.value.what
