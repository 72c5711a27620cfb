"""Waits for events, and slots of a pipeline's concurrency."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    _slots()
    _listeners()
    typed = sa.text("type IS NOT NULL")
    op.create_index("events_type", "events", ["type", "time"], sqlite_where=typed, postgresql_where=typed)


def _slots() -> None:
    op.create_table(
        "slots",
        sa.Column("run", sa.String(), nullable=False),
        sa.Column("key", sa.String(), nullable=False),
        sa.Column("most", sa.Integer(), nullable=False),
        sa.Column("is_held", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("run"),
        sqlite_with_rowid=False,
    )
    op.create_index("slots_key", "slots", ["key", "is_held", "run"])


def _listeners() -> None:
    op.create_table(
        "listeners",
        sa.Column("run", sa.String(), nullable=False),
        sa.Column("path", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("type", sa.String(), nullable=False),
        sa.Column("subject", sa.String()),
        sa.PrimaryKeyConstraint("run", "path", "name"),
        sqlite_with_rowid=False,
    )
    op.create_index("listeners_type", "listeners", ["type", "subject"])
    op.create_table(
        "heard",
        sa.Column("run", sa.String(), nullable=False),
        sa.Column("event", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("run", "event"),
        sqlite_with_rowid=False,
    )
