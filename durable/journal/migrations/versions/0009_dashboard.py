"""What the dashboard needs (the last use of a key, sessions, the audit log, an index of runs that stand still), and how
far the traces of runs were exported."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    op.add_column("api_keys", sa.Column("last_used_at", sa.BigInteger(), nullable=True))
    _add_sessions()
    _add_audit_log()
    _index_runs()
    _export_traces()


def _add_sessions() -> None:
    op.create_table(
        "sessions",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("hash", sa.String(), nullable=False),
        sa.Column("key", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("scope", sa.String(), nullable=False),
        sa.Column("subject", sa.String(), nullable=True),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("seen_at", sa.BigInteger(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        sa.Column("ended_at", sa.BigInteger(), nullable=True),
        sa.Column("address", sa.String(), nullable=True),
        sa.Column("agent", sa.String(), nullable=True),
        sa.PrimaryKeyConstraint("id"),
    )


def _add_audit_log() -> None:
    op.create_table(
        "audit_log",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("by", sa.String(), nullable=True),
        sa.Column("key", sa.String(), nullable=True),
        sa.Column("session", sa.String(), nullable=True),
        sa.Column("via", sa.String(), nullable=False),
        sa.Column("address", sa.String(), nullable=True),
        sa.Column("action", sa.String(), nullable=False),
        sa.Column("kind", sa.String(), nullable=True),
        sa.Column("target", sa.String(), nullable=True),
        sa.Column("outcome", sa.String(), nullable=False),
        sa.Column("status", sa.Integer(), nullable=True),
        sa.Column("reason", sa.String(), nullable=True),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("audit_log_by", "audit_log", ["by", "id"])
    op.create_index("audit_log_action", "audit_log", ["action", "id"])
    op.create_index("audit_log_target", "audit_log", ["target", "id"])


def _index_runs() -> None:
    """Add `finished_at` to the partial indexes that are counted, and an index of the runs that stand still."""
    for name in ("runs_ended", "runs_pipeline_ended", "runs_unfinished"):
        op.drop_index(name, "runs")
    ended, unfinished = sa.text("finished_at IS NOT NULL"), sa.text("finished_at IS NULL")
    halted = sa.text("finished_at IS NULL AND status <> 'running'")
    _index("runs_ended", ["status", "id", "finished_at"], ended)
    _index("runs_pipeline_ended", ["pipeline", "status", "id", "finished_at"], ended)
    _index("runs_unfinished", ["id", "finished_at"], unfinished)
    _index("runs_halted", ["status", "id", "finished_at"], halted)


def _index(name: str, columns: list[str], where: sa.TextClause) -> None:
    op.create_index(name, "runs", columns, sqlite_where=where, postgresql_where=where)


def _export_traces() -> None:
    op.create_table(
        "trace_exports",
        sa.Column("run", sa.String(), nullable=False),
        sa.Column("sent", sa.Integer(), nullable=False),
        sa.Column("ended", sa.Integer(), nullable=False),
        sa.Column("ended_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("run"),
        sqlite_with_rowid=False,
    )
    unsent = sa.text("ended > sent")
    op.create_index(
        "trace_exports_unsent",
        "trace_exports",
        ["ended_at", "run"],
        sqlite_where=unsent,
        postgresql_where=unsent,
    )
