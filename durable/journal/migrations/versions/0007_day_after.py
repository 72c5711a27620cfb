"""What the day after a failure needs: which run repeats which, the runs of a version, and the requests of
deliveries."""

import re

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    _repeat_runs()
    _count_unknown_paths()
    _list_versions()
    _own_payloads()
    _keep_causes()
    _keep_requests()
    op.create_index("heard_event", "heard", ["event"])
    _add_bulks()


def _repeat_runs() -> None:
    repeating = sa.text("source IS NOT NULL")
    op.add_column("runs", sa.Column("source", sa.String()))
    op.create_index("runs_source", "runs", ["source", "id"], sqlite_where=repeating, postgresql_where=repeating)
    op.create_index("runs_version", "runs", ["version", "id"])


def _keep_requests() -> None:
    op.execute("ALTER TABLE deliveries RENAME COLUMN headers TO head")
    op.add_column("deliveries", sa.Column("kept", sa.BigInteger(), server_default=sa.text("0"), nullable=False))
    op.add_column("deliveries", sa.Column("body", sa.LargeBinary()))
    brought = sa.text("event IS NOT NULL")
    op.create_index("deliveries_event", "deliveries", ["event", "id"], sqlite_where=brought, postgresql_where=brought)
    for name, condition in (
        ("deliveries_kept", "kept > 0 AND outcome <> 'rejected'"),
        ("deliveries_kept_rejected", "kept > 0 AND outcome = 'rejected'"),
    ):
        kept = sa.text(condition)
        op.create_index(name, "deliveries", ["id", "kept", "outcome"], sqlite_where=kept, postgresql_where=kept)


_REF = re.compile(rb'"ref":"([0-9a-f]{64})"')

_REFERRING = (
    ("entries", "run", "entries"),
    ("inbox", "run", "data"),
    ("events", "id", "data"),
)
"""Table, column of the owner and column with references."""


def _own_payloads() -> None:
    """Record what refers to each payload. Text that looks like a reference counts as one if there is such a payload."""
    op.create_table(
        "payload_owners",
        sa.Column("ref", sa.String(), nullable=False),
        sa.Column("owner", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("ref", "owner"),
        sqlite_with_rowid=False,
    )
    op.create_index("payload_owners_owner", "payload_owners", ["owner"])
    connection = op.get_bind()
    known = {ref.encode() for (ref,) in connection.execute(sa.text("SELECT ref FROM payloads"))}
    if not known:
        return
    owned: set[tuple[str, str]] = set()
    for table, owner, column in _REFERRING:
        rows = sa.text(f'SELECT {owner}, {column} FROM {table} WHERE instr({column}, CAST(\'"ref":"\' AS BLOB)) > 0')
        for name, data in connection.execute(rows):
            owned.update((ref.decode(), name) for ref in known.intersection(_REF.findall(data)))
    new = sa.text("INSERT INTO payload_owners (ref, owner) VALUES (:ref, :owner)")
    if owned:
        connection.execute(new, [{"ref": ref, "owner": name} for ref, name in sorted(owned)])
    connection.execute(sa.text("DELETE FROM payloads WHERE ref NOT IN (SELECT ref FROM payload_owners)"))


def _count_unknown_paths() -> None:
    op.create_table(
        "unknown_paths",
        sa.Column("method", sa.String(), nullable=False),
        sa.Column("path", sa.String(), nullable=False),
        sa.Column("count", sa.Integer(), nullable=False),
        sa.Column("first_at", sa.BigInteger(), nullable=False),
        sa.Column("last_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("method", "path"),
        sqlite_with_rowid=False,
    )


def _keep_causes() -> None:
    failed = sa.text("error_key IS NOT NULL")
    op.add_column("runs", sa.Column("cause", sa.String()))
    op.add_column("runs", sa.Column("error_key", sa.String()))
    for name, columns in (
        ("runs_error", ["error_key", "id"]),
        ("runs_pipeline_error", ["pipeline", "error_key", "id"]),
    ):
        op.create_index(name, "runs", columns, sqlite_where=failed, postgresql_where=failed)


def _list_versions() -> None:
    op.create_index("definitions_pipeline", "definitions", ["pipeline", "created_at", "version"])


def _add_bulks() -> None:
    op.create_table(
        "bulks",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("action", sa.String(), nullable=False),
        sa.Column("filter", sa.LargeBinary(), nullable=False),
        sa.Column("by", sa.String(), nullable=False),
        sa.Column("reason", sa.String()),
        sa.Column("rate", sa.Integer(), nullable=False),
        sa.Column("status", sa.String(), nullable=False),
        sa.Column("total", sa.Integer(), nullable=False),
        sa.Column("is_exact", sa.Boolean(), nullable=False),
        sa.Column("done", sa.Integer(), nullable=False),
        sa.Column("refused", sa.Integer(), nullable=False),
        sa.Column("cursor", sa.String()),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("finished_at", sa.BigInteger()),
        sa.Column("stopped_by", sa.String()),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_table(
        "bulk_items",
        sa.Column("bulk", sa.String(), nullable=False),
        sa.Column("item", sa.String(), nullable=False),
        sa.Column("outcome", sa.String(), nullable=False),
        sa.Column("run", sa.String()),
        sa.Column("reason", sa.String()),
        sa.PrimaryKeyConstraint("bulk", "item"),
        sqlite_with_rowid=False,
    )
    op.create_index("bulk_items_outcome", "bulk_items", ["bulk", "outcome", "item"])
