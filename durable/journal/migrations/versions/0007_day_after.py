"""What the day after a failure needs: which run repeats which, and the runs of a version."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    _repeat_runs()


def _repeat_runs() -> None:
    repeating = sa.text("source IS NOT NULL")
    op.add_column("runs", sa.Column("source", sa.String()))
    op.create_index("runs_source", "runs", ["source", "id"], sqlite_where=repeating, postgresql_where=repeating)
    op.create_index("runs_version", "runs", ["version", "id"])
