"""Tags of runs, API keys, and the indexes for lists."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    _tags()
    _keys()
    _indexes()


def _tags() -> None:
    op.create_table(
        "run_tags",
        sa.Column("tag", sa.String(), nullable=False),
        sa.Column("run", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("tag", "run"),
        sqlite_with_rowid=False,
    )
    op.create_index("run_tags_run", "run_tags", ["run"])


def _keys() -> None:
    op.create_table(
        "api_keys",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("scope", sa.String(), nullable=False),
        sa.Column("hash", sa.String(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("revoked_at", sa.BigInteger()),
        sa.PrimaryKeyConstraint("id"),
    )


def _indexes() -> None:
    ended = sa.text("finished_at IS NOT NULL")
    op.create_index("runs_trigger", "runs", ["trigger", "id"])
    op.create_index("runs_ended", "runs", ["status", "id"], sqlite_where=ended, postgresql_where=ended)
    op.create_index(
        "runs_pipeline_ended", "runs", ["pipeline", "status", "id"], sqlite_where=ended, postgresql_where=ended
    )
    op.create_index("deliveries_outcome", "deliveries", ["outcome", "id"])
