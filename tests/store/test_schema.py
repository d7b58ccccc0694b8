"""The schema: migrations make exactly the tables that the code knows, on both databases, and a newer store is left alone."""

from __future__ import annotations

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory

from qcity_nb.errors import MissingTool, StoreError, StoreTooNew
from qcity_nb.store.database import VERSION, Store, prepare
from qcity_nb.store.schema import meta


def test_the_migrations_make_the_schema(store):
    with store.read() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True, "compare_server_default": False})
        assert compare_metadata(context, meta) == []


def test_version_is_the_newest_migration():
    config = Config()
    config.set_main_option("script_location", "qcity_nb.store:migrations")
    assert ScriptDirectory.from_config(config).get_current_head() == VERSION


def test_a_store_that_is_current_is_opened_without_alembic(store, store_url, monkeypatch):
    import alembic.command

    # patched because the point is that it is not called
    monkeypatch.setattr(alembic.command, "upgrade", lambda *_: pytest.fail("migrated again"))
    again, said = prepare(store.home, store_url)
    again.close()
    assert said == ""


def test_a_newer_store_is_refused_and_not_altered(store, store_url):
    with store.write() as connection:
        connection.execute(sa.text("update alembic_version set version_num = '9999'"))
    before = _everything(store)
    with pytest.raises(StoreTooNew, match=r"newer version.*9999.*pip install --upgrade"):
        prepare(store.home, store_url)
    assert _everything(store) == before


def test_an_address_that_is_none_is_said(home):
    with pytest.raises(StoreError, match="not a database address"):
        Store(home, "postgresql+psycopg:\\nonsense")


def test_an_unknown_driver_is_said(home):
    with pytest.raises((MissingTool, StoreError)):
        Store(home, "postgresql+nosuchdriver://host/name")


def test_a_server_that_does_not_answer_is_a_sentence(home):
    with pytest.raises(StoreError, match="does not answer") as caught:
        prepare(home, "postgresql+psycopg://qcity@127.0.0.1:1/none?connect_timeout=2")
    assert not caught.value.permanent


def _everything(store: Store) -> list[object]:
    with store.read() as connection:
        inspector = sa.inspect(connection)
        tables = sorted(inspector.get_table_names())
        columns = {name: [str(column) for column in inspector.get_columns(name)] for name in tables}
        return [(name, columns[name], connection.execute(sa.text(f"select * from {name}")).all()) for name in tables]


def test_a_store_of_the_first_version_is_brought_up_to_date_with_its_rows(store, store_url):
    with store.write() as connection:  # as 0001 left it
        connection.execute(sa.text("alter table services drop column agent"))
        for table in ("checks", "leases", "fleets", "schedules", "runs", "tunnels", "issued", "followers", "platforms"):
            connection.execute(sa.text(f"drop table {table}"))
        connection.execute(sa.text("update alembic_version set version_num = '0001'"))
        connection.execute(
            sa.text(
                "insert into flips (at, place, about, subject, old, new, reason, generation)"
                " values (1, :place, 'runner', 'a', 'stopped', 'running', '', 1)"
            ),
            {"place": store.place},
        )
    again, said = prepare(store.home, store_url)
    with again.read() as connection:
        assert compare_metadata(MigrationContext.configure(connection), meta) == []
        assert connection.execute(sa.text("select subject from flips")).scalars().all() == ["a"]
    again.close()
    assert said == ""
