"""The statements of the journal are written once for every database."""

from sqlalchemy.dialects import postgresql

from durable.journal.dialect import SQL
from durable.journal.feed import Feed
from durable.journal.writes import Writes


def test_every_statement_compiles_for_postgresql() -> None:
    dialect = postgresql.dialect(paramstyle="named")  # type: ignore[no-untyped-call]
    sql = SQL(dialect, postgresql.insert)  # type: ignore[arg-type]  # it has the same ON CONFLICT as SQLite's

    writes = Writes(sql, "node-1", Feed("node-1"))

    assert writes.runs.add_sql.startswith("INSERT INTO runs ")
    assert writes.limits._count_held_sql.endswith("slots.is_held IS true"), "where SQLite says IS 1"
