"""Applies the migrations that are missing, with Alembic.

Only `migrate` loads this module, and only when it must: Alembic costs 8 MB and 240 ms, which most starts do not need.
"""

from pathlib import Path

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection

MIGRATIONS = Path(__file__).parent / "migrations"


def upgrade(connection: Connection, version: str) -> None:
    """Bring the tables up to `version`, in the transaction that `connection` has begun."""
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    config.attributes["connection"] = connection
    command.upgrade(config, version)
