"""Applies missing migrations with Alembic.

Only `migrate` loads this module, and only if needed: Alembic costs 8 MB and 240 ms, which most starts can save.
"""

from pathlib import Path

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection

MIGRATIONS = Path(__file__).parent / "migrations"


def upgrade(connection: Connection, version: str) -> None:
    """Upgrade the tables to `version`, in the open transaction of `connection`."""
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    config.attributes["connection"] = connection
    command.upgrade(config, version)
