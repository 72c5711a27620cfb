"""The journal's tables.

Rows are narrow. What changes at every append (a run's status, due time, sequence) is in no index: the two partial
indexes on it hold only runs that have not ended, or that nobody owns, and an append leaves both alone. Times are
wall-clock milliseconds; ids grow with time.
"""

from typing import Any, ClassVar

from sqlalchemy import BigInteger, Index, Integer, LargeBinary, MetaData, Table, text
from sqlmodel import Field, SQLModel

_UNFINISHED = text("finished_at IS NULL")
_UNOWNED = text("finished_at IS NULL AND node IS NULL")


class Row(SQLModel):
    """What the tables have in common: metadata of their own, apart from any other user of SQLModel."""

    metadata: ClassVar[MetaData] = MetaData()


class Run(Row, table=True):
    """The mutable part of a run, and the fence of its owner (`epoch`, `sequence`)."""

    __tablename__ = "runs"
    __table_args__: ClassVar[Any] = (
        Index("runs_pipeline", "pipeline", "id"),
        Index("runs_event", "event", "id"),
        Index("runs_unfinished", "id", sqlite_where=_UNFINISHED, postgresql_where=_UNFINISHED),
        Index("runs_unowned", "due_at", sqlite_where=_UNOWNED, postgresql_where=_UNOWNED),
        {"sqlite_with_rowid": False},
    )

    id: str = Field(primary_key=True)
    pipeline: str
    version: str
    event: str
    trigger: str | None = None
    status: str
    reason: str | None = None
    node: str | None = None
    epoch: int
    sequence: int
    recoveries: int
    created_at: int = Field(sa_type=BigInteger)
    claimed_at: int = Field(sa_type=BigInteger)
    due_at: int | None = Field(sa_type=BigInteger)
    finished_at: int | None = Field(sa_type=BigInteger)


class Entries(Row, table=True):
    """What one append wrote: its entries as a JSON array, `sequence` being the number of the first."""

    __tablename__ = "entries"

    run: str = Field(primary_key=True)
    sequence: int = Field(primary_key=True)
    entries: bytes = Field(sa_type=LargeBinary)


class Event(Row, table=True):
    __tablename__ = "events"

    id: str = Field(primary_key=True)
    source: str
    key: str
    type: str | None = None
    time: int = Field(sa_type=BigInteger)
    subject: str | None = None
    data: bytes = Field(sa_type=LargeBinary)


class Delivery(Row, table=True):
    __tablename__ = "deliveries"
    __table_args__: ClassVar[Any] = (Index("deliveries_trigger", "trigger", "id"),)

    id: str = Field(primary_key=True)
    trigger: str
    path: str
    method: str
    at: int = Field(sa_type=BigInteger)
    outcome: str
    reason: str | None = None
    headers: bytes = Field(sa_type=LargeBinary)
    body_hash: str | None = None
    size: int = Field(sa_type=BigInteger)
    event: str | None = None


class Claim(Row, table=True):
    """A taken dedupe key, with the answer that its duplicates get even after the runs themselves are gone."""

    __tablename__ = "claims"
    __table_args__: ClassVar[Any] = {"sqlite_with_rowid": False}

    scope: str = Field(primary_key=True)
    key: str = Field(primary_key=True)
    until: int = Field(sa_type=BigInteger)
    fingerprint: str | None = None
    event: str
    runs: bytes = Field(sa_type=LargeBinary)


class Payload(Row, table=True):
    """A large value, named by the SHA-256 of its bytes and shared by all who carry it."""

    __tablename__ = "payloads"

    ref: str = Field(primary_key=True)
    data: bytes = Field(sa_type=LargeBinary)


class Definition(Row, table=True):
    """A pipeline version, whole: a run keeps the definition that it began with."""

    __tablename__ = "definitions"

    version: str = Field(primary_key=True)
    pipeline: str
    data: bytes = Field(sa_type=LargeBinary)
    created_at: int = Field(sa_type=BigInteger)


class Message(Row, table=True):
    """What others want of a run; an id is never used twice."""

    __tablename__ = "inbox"
    __table_args__: ClassVar[Any] = (Index("inbox_run", "run"), {"sqlite_autoincrement": True})

    id: int | None = Field(default=None, primary_key=True, sa_type=BigInteger().with_variant(Integer, "sqlite"))
    run: str
    kind: str
    data: bytes = Field(sa_type=LargeBinary)
    at: int = Field(sa_type=BigInteger)


class Meta(Row, table=True):
    """Facts about the journal itself, by name."""

    __tablename__ = "meta"

    name: str = Field(primary_key=True)
    value: str


def table(model: type[Row]) -> Table:
    """The Core table behind a model."""
    return Row.metadata.tables[str(model.__tablename__)]


runs = table(Run)
entries = table(Entries)
events = table(Event)
deliveries = table(Delivery)
claims = table(Claim)
payloads = table(Payload)
definitions = table(Definition)
inbox = table(Message)
meta = table(Meta)
