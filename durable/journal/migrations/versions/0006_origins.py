"""The first event that led to a run, and the run's number among the runs that descend from that event."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    op.add_column("runs", sa.Column("origin", sa.String()))
    op.add_column("runs", sa.Column("nth", sa.Integer()))
    descended = sa.text("origin IS NOT NULL")
    op.create_index("runs_origin", "runs", ["origin", "nth"], sqlite_where=descended, postgresql_where=descended)
