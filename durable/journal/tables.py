"""The tables of the journal, one class each.

Rows are narrow. Columns that change with every append (a run's status, due time, sequence) are not indexed. The partial
indexes contain runs that have ended, have not ended, stand still, or have no owner; an append of a run that goes on
changes none of them. Those that are counted also have `finished_at`, without which SQLite reads each row. Times are
wall-clock milliseconds; ids increase with time.
"""

from typing import Any, ClassVar

from sqlalchemy import BigInteger, Index, Integer, LargeBinary, MetaData, Table, text
from sqlmodel import Field, SQLModel

_UNFINISHED = text("finished_at IS NULL")
_ENDED = text("finished_at IS NOT NULL")
_HALTED = text("finished_at IS NULL AND status <> 'running'")
_UNOWNED = text("finished_at IS NULL AND node IS NULL")
_DESCENDED = text("origin IS NOT NULL")
_REPEATING = text("source IS NOT NULL")
_FAILED = text("error_key IS NOT NULL")
_TYPED = text("type IS NOT NULL")
_BROUGHT = text("event IS NOT NULL")
_UNSENT = text("ended > sent")
KEPT = text("kept > 0 AND outcome <> 'rejected'")
KEPT_REJECTED = text("kept > 0 AND outcome = 'rejected'")
"""Deliveries whose requests are kept, in the words of the partial indexes that sum them."""


class TableRow(SQLModel):
    """The base of the tables. It has its own metadata, separate from other users of SQLModel."""

    metadata: ClassVar[MetaData] = MetaData()


class RunRow(TableRow, table=True):
    """The mutable data of a run, and its owner's fence (`epoch`, `sequence`). `origin`, `nth`: set for a run started by
    another run, the `nth` that descends from the event `origin`. `source`: the run or delivery that it repeats.
    `cause`: a `durable.units.Cause` as JSON. `error_key`: set while the run is failed, or paused by a failure."""

    __tablename__ = "runs"
    __table_args__: ClassVar[Any] = (
        Index("runs_pipeline", "pipeline", "id"),
        Index("runs_event", "event", "id"),
        Index("runs_trigger", "trigger", "id"),
        Index("runs_ended", "status", "id", "finished_at", sqlite_where=_ENDED, postgresql_where=_ENDED),
        Index(
            "runs_pipeline_ended",
            "pipeline",
            "status",
            "id",
            "finished_at",
            sqlite_where=_ENDED,
            postgresql_where=_ENDED,
        ),
        Index("runs_unfinished", "id", "finished_at", sqlite_where=_UNFINISHED, postgresql_where=_UNFINISHED),
        Index("runs_halted", "status", "id", "finished_at", sqlite_where=_HALTED, postgresql_where=_HALTED),
        Index("runs_unowned", "pipeline", "due_at", sqlite_where=_UNOWNED, postgresql_where=_UNOWNED),
        Index("runs_origin", "origin", "nth", sqlite_where=_DESCENDED, postgresql_where=_DESCENDED),
        Index("runs_source", "source", "id", sqlite_where=_REPEATING, postgresql_where=_REPEATING),
        Index("runs_version", "version", "id"),
        Index("runs_error", "error_key", "id", sqlite_where=_FAILED, postgresql_where=_FAILED),
        Index("runs_pipeline_error", "pipeline", "error_key", "id", sqlite_where=_FAILED, postgresql_where=_FAILED),
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
    origin: str | None = None
    nth: int | None = None
    source: str | None = None
    cause: str | None = None
    error_key: str | None = None


class TagRow(TableRow, table=True):
    """A tag given to a run when it was started."""

    __tablename__ = "run_tags"
    __table_args__: ClassVar[Any] = (Index("run_tags_run", "run"), {"sqlite_with_rowid": False})

    tag: str = Field(primary_key=True)
    run: str = Field(primary_key=True)


class EntriesRow(TableRow, table=True):
    """The entries of one append as a JSON array. `sequence` is the number of the first entry."""

    __tablename__ = "entries"

    run: str = Field(primary_key=True)
    sequence: int = Field(primary_key=True)
    entries: bytes = Field(sa_type=LargeBinary)


class EventRow(TableRow, table=True):
    """An event that was received."""

    __tablename__ = "events"
    __table_args__: ClassVar[Any] = (
        Index("events_type", "type", "time", sqlite_where=_TYPED, postgresql_where=_TYPED),
    )

    id: str = Field(primary_key=True)
    source: str
    key: str
    type: str | None = None
    time: int = Field(sa_type=BigInteger)
    subject: str | None = None
    data: bytes = Field(sa_type=LargeBinary)


class DeliveryRow(TableRow, table=True):
    """A request to a webhook, with its outcome. `head`: its path, query and headers; `body`: its bytes, NULL if they
    are not kept; `kept`: the size of both."""

    __tablename__ = "deliveries"
    __table_args__: ClassVar[Any] = (
        Index("deliveries_trigger", "trigger", "id"),
        Index("deliveries_outcome", "outcome", "id"),
        Index("deliveries_event", "event", "id", sqlite_where=_BROUGHT, postgresql_where=_BROUGHT),
        Index("deliveries_kept", "id", "kept", "outcome", sqlite_where=KEPT, postgresql_where=KEPT),
        Index(
            "deliveries_kept_rejected",
            "id",
            "kept",
            "outcome",
            sqlite_where=KEPT_REJECTED,
            postgresql_where=KEPT_REJECTED,
        ),
    )

    id: str = Field(primary_key=True)
    trigger: str
    path: str
    method: str
    at: int = Field(sa_type=BigInteger)
    outcome: str
    reason: str | None = None
    head: bytes = Field(sa_type=LargeBinary)
    body_hash: str | None = None
    size: int = Field(sa_type=BigInteger)
    event: str | None = None
    kept: int = Field(sa_type=BigInteger, sa_column_kwargs={"server_default": text("0")})
    body: bytes | None = Field(sa_type=LargeBinary)


class DedupeKeyRow(TableRow, table=True):
    """A dedupe key that was taken, with the result for duplicates. It is kept when the runs are deleted."""

    __tablename__ = "claims"
    __table_args__: ClassVar[Any] = {"sqlite_with_rowid": False}

    scope: str = Field(primary_key=True)
    key: str = Field(primary_key=True)
    until: int = Field(sa_type=BigInteger)
    fingerprint: str | None = None
    event: str
    runs: bytes = Field(sa_type=LargeBinary)


class ScheduleRow(TableRow, table=True):
    """The progress of a schedule, written together with the run that a fire starts."""

    __tablename__ = "schedules"
    __table_args__: ClassVar[Any] = {"sqlite_with_rowid": False}

    id: str = Field(primary_key=True)
    times: str
    handled: int = Field(sa_type=BigInteger)
    waiting: bytes = Field(sa_type=LargeBinary)
    fire: int | None = Field(sa_type=BigInteger)
    outcome: str | None = None
    reason: str | None = None
    run: str | None = None
    skipped: int
    missed: int
    missed_at: int | None = Field(sa_type=BigInteger)


class PayloadRow(TableRow, table=True):
    """A large value, named by the SHA-256 of its bytes and shared by all rows that refer to it."""

    __tablename__ = "payloads"

    ref: str = Field(primary_key=True)
    data: bytes = Field(sa_type=LargeBinary)


class PayloadOwnerRow(TableRow, table=True):
    """A row that refers to a payload: the id of a run, for its entries and its messages, or of an event. A
    payload without owners is removed."""

    __tablename__ = "payload_owners"
    __table_args__: ClassVar[Any] = (Index("payload_owners_owner", "owner"), {"sqlite_with_rowid": False})

    ref: str = Field(primary_key=True)
    owner: str = Field(primary_key=True)


class DefinitionRow(TableRow, table=True):
    """A version of a pipeline, stored completely: a run keeps the definition that it started with."""

    __tablename__ = "definitions"
    __table_args__: ClassVar[Any] = (Index("definitions_pipeline", "pipeline", "created_at", "version"),)

    version: str = Field(primary_key=True)
    pipeline: str
    data: bytes = Field(sa_type=LargeBinary)
    created_at: int = Field(sa_type=BigInteger)


class MessageRow(TableRow, table=True):
    """A message to a run. Ids are never reused."""

    __tablename__ = "inbox"
    __table_args__: ClassVar[Any] = (Index("inbox_run", "run"), {"sqlite_autoincrement": True})

    id: int | None = Field(default=None, primary_key=True, sa_type=BigInteger().with_variant(Integer, "sqlite"))
    run: str
    kind: str
    data: bytes = Field(sa_type=LargeBinary)
    at: int = Field(sa_type=BigInteger)


class SlotRow(TableRow, table=True):
    """An unfinished run that holds a slot of its pipeline's concurrency, or is queued for one. At most `most` runs with
    the same key hold a slot."""

    __tablename__ = "slots"
    __table_args__: ClassVar[Any] = (Index("slots_key", "key", "is_held", "run"), {"sqlite_with_rowid": False})

    run: str = Field(primary_key=True)
    key: str
    most: int
    is_held: bool


class SubscriptionRow(TableRow, table=True):
    """A step that waits for an event of this type, and with this subject if one is given."""

    __tablename__ = "listeners"
    __table_args__: ClassVar[Any] = (Index("listeners_type", "type", "subject"), {"sqlite_with_rowid": False})

    run: str = Field(primary_key=True)
    path: str = Field(primary_key=True)
    name: str = Field(primary_key=True)
    type: str
    subject: str | None = None


class MatchedEventRow(TableRow, table=True):
    """An event that matched a wait of an unfinished run. It matches no other wait of that run."""

    __tablename__ = "heard"
    __table_args__: ClassVar[Any] = (Index("heard_event", "event"), {"sqlite_with_rowid": False})

    run: str = Field(primary_key=True)
    event: str = Field(primary_key=True)


class ApiKeyRow(TableRow, table=True):
    """An API key; `hash` is the SHA-256, in hex, of the key that clients send."""

    __tablename__ = "api_keys"

    id: str = Field(primary_key=True)
    name: str
    scope: str
    hash: str
    created_at: int = Field(sa_type=BigInteger)
    revoked_at: int | None = Field(sa_type=BigInteger)
    last_used_at: int | None = Field(sa_type=BigInteger)


class SealedValueRow(TableRow, table=True):
    """An encrypted value: a secret that a person set, or the tokens of a connection. `data` is the ciphertext, which is
    bound to the kind, the name and the generation; `key` is the id of the store key."""

    __tablename__ = "sealed_values"
    __table_args__: ClassVar[Any] = ({"sqlite_with_rowid": False},)

    kind: str = Field(primary_key=True)
    name: str = Field(primary_key=True)
    generation: int = Field(sa_type=BigInteger)
    key: str
    nonce: bytes = Field(sa_type=LargeBinary)
    data: bytes = Field(sa_type=LargeBinary)
    updated_at: int = Field(sa_type=BigInteger)
    updated_by: str


class UnknownPathRow(TableRow, table=True):
    """Requests to a path that no webhook serves."""

    __tablename__ = "unknown_paths"
    __table_args__: ClassVar[Any] = ({"sqlite_with_rowid": False},)

    method: str = Field(primary_key=True)
    path: str = Field(primary_key=True)
    count: int
    first_at: int = Field(sa_type=BigInteger)
    last_at: int = Field(sa_type=BigInteger)


class BulkRow(TableRow, table=True):
    """A bulk: an action on every run or delivery that a filter selects. `filter` is a `BulkFilter` as JSON; `cursor` is
    the last item that was selected. `total` is the number of items when it was created, exact if `is_exact`."""

    __tablename__ = "bulks"

    id: str = Field(primary_key=True)
    action: str
    filter: bytes = Field(sa_type=LargeBinary)
    by: str
    reason: str | None = None
    rate: int
    status: str
    total: int
    is_exact: bool
    done: int
    refused: int
    cursor: str | None = None
    created_at: int = Field(sa_type=BigInteger)
    finished_at: int | None = Field(sa_type=BigInteger)
    stopped_by: str | None = None


class BulkItemRow(TableRow, table=True):
    """A run or a delivery that a bulk has selected. `run` is the run that the action concerned, or started."""

    __tablename__ = "bulk_items"
    __table_args__: ClassVar[Any] = (
        Index("bulk_items_outcome", "bulk", "outcome", "item"),
        {"sqlite_with_rowid": False},
    )

    bulk: str = Field(primary_key=True)
    item: str = Field(primary_key=True)
    outcome: str
    run: str | None = None
    reason: str | None = None


class SessionRow(TableRow, table=True):
    """A person who is signed in to the dashboard; `hash` is the SHA-256, in hex, of the token in their cookie. `key` is
    the id of the API key with which they signed in, and `subject` their name at an identity provider."""

    __tablename__ = "sessions"

    id: str = Field(primary_key=True)
    hash: str
    key: str
    name: str
    scope: str
    subject: str | None = None
    created_at: int = Field(sa_type=BigInteger)
    seen_at: int = Field(sa_type=BigInteger)
    expires_at: int = Field(sa_type=BigInteger)
    ended_at: int | None = Field(sa_type=BigInteger)
    address: str | None = None
    agent: str | None = None


class AuditRow(TableRow, table=True):
    """An action of a person or a program: who did what to what, from where, by which way, and the result."""

    __tablename__ = "audit_log"
    __table_args__: ClassVar[Any] = (
        Index("audit_log_by", "by", "id"),
        Index("audit_log_action", "action", "id"),
        Index("audit_log_target", "target", "id"),
    )

    id: str = Field(primary_key=True)
    at: int = Field(sa_type=BigInteger)
    by: str | None = None
    key: str | None = None
    session: str | None = None
    via: str
    address: str | None = None
    action: str
    kind: str | None = None
    target: str | None = None
    outcome: str
    status: int | None = None
    reason: str | None = None


class TraceExportRow(TableRow, table=True):
    """How far the spans of a run were exported: those that end with entry number `sent` or before. `ended`: the number
    of the entry with which the run has ended, at `ended_at`; 0 while it has not."""

    __tablename__ = "trace_exports"
    __table_args__: ClassVar[Any] = (
        Index("trace_exports_unsent", "ended_at", "run", sqlite_where=_UNSENT, postgresql_where=_UNSENT),
        {"sqlite_with_rowid": False},
    )

    run: str = Field(primary_key=True)
    sent: int
    ended: int
    ended_at: int = Field(sa_type=BigInteger)


class MetaRow(TableRow, table=True):
    """Metadata of the journal, by name."""

    __tablename__ = "meta"

    name: str = Field(primary_key=True)
    value: str


def table(model: type[TableRow]) -> Table:
    """The Core table behind a model."""
    return TableRow.metadata.tables[str(model.__tablename__)]


runs = table(RunRow)
tags = table(TagRow)
entries = table(EntriesRow)
events = table(EventRow)
deliveries = table(DeliveryRow)
dedupe_keys = table(DedupeKeyRow)
schedules = table(ScheduleRow)
payloads = table(PayloadRow)
payload_owners = table(PayloadOwnerRow)
definitions = table(DefinitionRow)
inbox = table(MessageRow)
slots = table(SlotRow)
subscriptions = table(SubscriptionRow)
matched_events = table(MatchedEventRow)
api_keys = table(ApiKeyRow)
sealed_values = table(SealedValueRow)
unknown_paths = table(UnknownPathRow)
bulks = table(BulkRow)
bulk_items = table(BulkItemRow)
sessions = table(SessionRow)
audit_log = table(AuditRow)
trace_exports = table(TraceExportRow)
meta = table(MetaRow)
