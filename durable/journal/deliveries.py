"""Deliveries: the requests that webhooks received, with their outcomes.

Lists never read the requests themselves (`head`, `body`), which are bounded together: the oldest are dropped.
"""

from collections.abc import Sequence
from typing import Any, TypedDict, Unpack

from sqlalchemy import Connection, Select, bindparam, func, select, update

from durable.journal.dialect import SQL, Cursor, Params, Unit
from durable.journal.feed import Feed
from durable.journal.runs import is_source
from durable.journal.tables import KEPT, KEPT_REJECTED, deliveries, runs
from durable.units import Delivery, DeliveryOutcome

_LINE = [column for column in deliveries.c if column.name not in ("head", "body")]
"""The columns that lists show."""


class DeliveryFilter(TypedDict, total=False):
    """Selects deliveries to list: those with ids of at least `since` and less than `before` and `after`, at most
    `limit`.

    `is_repeated`: only deliveries that were replayed, or only those that were not."""

    trigger: str | None
    outcome: DeliveryOutcome | None
    event: str | None
    ids: Sequence[str] | None
    is_repeated: bool | None
    since: str | None
    before: str | None
    after: str | None
    limit: int


class DeliveryWrites:
    """Writes deliveries, for units."""

    def __init__(self, sql: SQL, feed: Feed) -> None:
        self._feed = feed
        self.add_sql = sql.compile(sql.insert(deliveries))
        self._drop_sql = sql.compile(
            update(deliveries).where(deliveries.c.id == bindparam("of")).values(head=b"", body=None, kept=0)
        )

    def prepare_add(self, delivery: Delivery) -> Unit[None]:
        row = encode_delivery(delivery)

        def unit(cursor: Cursor) -> None:
            cursor.execute(self.add_sql, row)
            self._feed.note("deliveries")

        return unit

    def drop_requests(self, cursor: Cursor, ids: Sequence[str]) -> None:
        """Remove the requests of deliveries, which remain in lists."""
        for id in ids:
            cursor.execute(self._drop_sql, {"of": id, "head": b"", "body": None, "kept": 0})


def encode_delivery(delivery: Delivery) -> Params:
    """Encode a delivery as a row."""
    return {
        "id": delivery.id,
        "trigger": delivery.trigger,
        "path": delivery.path,
        "method": delivery.method,
        "at": delivery.at,
        "outcome": delivery.outcome,
        "reason": delivery.reason,
        "head": delivery.head or b"",
        "body_hash": delivery.body_hash,
        "size": delivery.size,
        "event": delivery.event,
        "kept": delivery.kept,
        "body": delivery.body,
    }


def list_deliveries(connection: Connection, **wanted: Unpack[DeliveryFilter]) -> list[Delivery]:
    """Return deliveries, newest first, without their requests."""
    query = _filter_deliveries(select(*_LINE), wanted)
    query = query.order_by(deliveries.c.id.desc()).limit(wanted.get("limit", 50))
    return [Delivery(**row._mapping) for row in connection.execute(query)]


def select_delivery_ids(**wanted: Unpack[DeliveryFilter]) -> Select[tuple[str]]:
    """Return the query of the ids of these deliveries, without order and limit."""
    return _filter_deliveries(select(deliveries.c.id), wanted)


def _filter_deliveries(query: Select[Any], wanted: DeliveryFilter) -> Select[Any]:
    id, equal = deliveries.c.id, (deliveries.c.trigger, deliveries.c.outcome, deliveries.c.event)
    values: dict[str, Any] = dict(wanted)
    query = query.where(*(column == value for column in equal if (value := values.get(column.name))))
    if (ids := wanted.get("ids")) is not None:
        query = query.where(id.in_(ids))
    if (is_repeated := wanted.get("is_repeated")) is not None:
        query = query.where(is_source(id) if is_repeated else ~is_source(id))
    if (since := wanted.get("since")) is not None:
        query = query.where(id >= since)
    for bound in (wanted.get("before"), wanted.get("after")):
        if bound is not None:
            query = query.where(id < bound)
    return query


def find_delivery(connection: Connection, id: str) -> Delivery | None:
    """Return a delivery with its request."""
    row = connection.execute(select(deliveries).where(deliveries.c.id == id)).first()
    return Delivery(**row._mapping) if row else None


def find_delivery_of(connection: Connection, event: str) -> Delivery | None:
    """Return the delivery that brought an event, or whose replay did, with its request."""
    brought = select(deliveries).where(deliveries.c.event == event, deliveries.c.outcome != "duplicate")
    replayed = select(deliveries).join(runs, runs.c.source == deliveries.c.id).where(runs.c.event == event)
    for query in (brought, replayed):
        if row := connection.execute(query.order_by(deliveries.c.id).limit(1)).first():
            return Delivery(**row._mapping)
    return None


# -- the requests that are kept


def sum_kept(connection: Connection, *, is_rejected: bool) -> int:
    """Return the bytes of the requests that are kept: of rejected deliveries, or of all others."""
    query = select(func.coalesce(func.sum(deliveries.c.kept), 0)).where(KEPT_REJECTED if is_rejected else KEPT)
    return int(connection.execute(query).scalar_one())


def list_oldest_kept(connection: Connection, limit: int, *, is_rejected: bool) -> list[tuple[str, int]]:
    """Return the oldest deliveries whose requests are kept, each with its bytes."""
    query = select(deliveries.c.id, deliveries.c.kept).where(KEPT_REJECTED if is_rejected else KEPT)
    return [(row.id, row.kept) for row in connection.execute(query.order_by(deliveries.c.id).limit(limit))]
