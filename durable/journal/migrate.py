"""Upgrades the journal's tables to the version that this program uses, in one transaction.

An empty database gets the current tables, which are equal to the result of all migrations; older tables are upgraded
with Alembic.
"""

from sqlalchemy import Column, Connection, Engine, MetaData, String, Table, insert, inspect, select

from durable.journal.errors import DataFolderUnusable
from durable.journal.tables import TableRow
from durable.lazy import load_module

HEAD = "0009"
"""The newest of `migrations/versions`."""

_version_table = Table("alembic_version", MetaData(), Column("version_num", String(32), primary_key=True))
"""The version table of Alembic."""


def migrate(engine: Engine) -> bool:
    """Apply the missing migrations to tables that are not newer; returns whether there were any. The transactions of
    `engine` take the write lock."""
    with engine.connect() as connection:
        version = read_version(connection)
    if version == HEAD:
        return False
    with engine.begin() as connection:
        if version is None:
            _create(connection)
        else:
            load_module("durable.journal.upgrade").upgrade(connection, HEAD)
    return True


def ensure_not_newer(connection: Connection) -> None:
    """Raise `DataFolderUnusable` if a newer program upgraded the tables."""
    version = read_version(connection)
    if version is not None and version > HEAD:
        raise DataFolderUnusable(_explain_version(version))


def ensure_current(connection: Connection) -> None:
    """Raise `DataFolderUnusable` unless the tables have this program's version; for readers, which cannot upgrade
    them."""
    version = read_version(connection)
    if version != HEAD:
        raise DataFolderUnusable(_explain_version(version))


def read_version(connection: Connection) -> str | None:
    """Return the version of the last applied migration; None for an empty database."""
    if not inspect(connection).has_table(_version_table.name):
        return None
    version: str | None = connection.scalar(select(_version_table.c.version_num))
    return version


def _explain_version(version: str | None) -> str:
    if version is not None and version > HEAD:
        return f"the journal was written by a newer Waypost (tables {version}, this one knows {HEAD}): update Waypost"
    return f"the journal's tables are of version {version}, not {HEAD}: start the service once, it brings them up"


def _create(connection: Connection) -> None:
    for metadata in (TableRow.metadata, _version_table.metadata):
        metadata.create_all(connection, checkfirst=False)
    connection.execute(insert(_version_table).values(version_num=HEAD))
