"""An index of due runs by pipeline, so that the backlog of one pipeline does not delay others."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    unowned = sa.text("finished_at IS NULL AND node IS NULL")
    op.drop_index("runs_unowned", "runs")
    op.create_index("runs_unowned", "runs", ["pipeline", "due_at"], sqlite_where=unowned, postgresql_where=unowned)
