"""Brings the journal's tables to the version that this program knows.

The whole way is one transaction. An empty database is given the tables as they are now, which the migrations make too;
Alembic brings up older ones, and is imported only for that.
"""

from pathlib import Path

from sqlalchemy import Column, Connection, Engine, MetaData, String, Table, insert, inspect, select

from durable.journal.errors import DataFolderUnusable
from durable.journal.tables import TableRow

HEAD = "0006"
"""The newest of `migrations/versions`."""

MIGRATIONS = Path(__file__).parent / "migrations"

_version_table = Table("alembic_version", MetaData(), Column("version_num", String(32), primary_key=True))
"""Alembic's own."""


def migrate(engine: Engine) -> bool:
    """Apply what is missing; answers whether anything was. `engine` begins transactions with the write lock."""
    with engine.connect() as connection:
        version = stored_version(connection)
    if version == HEAD:
        return False
    if version is not None and version > HEAD:
        raise DataFolderUnusable(_other_version(version))
    with engine.begin() as connection:
        if version is None:
            _create(connection)
        else:
            upgrade(connection)
    return True


def ensure_current(connection: Connection) -> None:
    """Raise `DataFolderUnusable` unless the tables are of this program's version; for readers, which change nothing."""
    version = stored_version(connection)
    if version != HEAD:
        raise DataFolderUnusable(_other_version(version))


def stored_version(connection: Connection) -> str | None:
    """The version that was applied last; None of an empty database."""
    if not inspect(connection).has_table(_version_table.name):
        return None
    version: str | None = connection.scalar(select(_version_table.c.version_num))
    return version


def _other_version(version: str | None) -> str:
    if version is not None and version > HEAD:
        return f"the journal was written by a newer Waypost (tables {version}, this one knows {HEAD}): update Waypost"
    return f"the journal's tables are of version {version}, not {HEAD}: start the service once, it brings them up"


def _create(connection: Connection) -> None:
    for metadata in (TableRow.metadata, _version_table.metadata):
        metadata.create_all(connection, checkfirst=False)
    connection.execute(insert(_version_table).values(version_num=HEAD))


def upgrade(connection: Connection) -> None:
    """Apply the migrations that are missing, with Alembic."""
    from alembic import command  # noqa: PLC0415 - 8 MB and 240 ms that most starts do not need
    from alembic.config import Config  # noqa: PLC0415

    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    config.attributes["connection"] = connection
    command.upgrade(config, HEAD)
