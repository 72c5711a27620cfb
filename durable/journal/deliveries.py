"""Deliveries: the requests that webhooks received, with their outcomes."""

from typing import TypedDict, Unpack

from sqlalchemy import Connection, Row, select

from durable.journal.dialect import SQL, Cursor, Params, Unit
from durable.journal.payloads import DECODING_ERRORS, Payloads, PayloadWrites, decode_value, encode_value
from durable.journal.tables import deliveries
from durable.units import Delivery, DeliveryOutcome
from durable.values import NULL


class DeliveryFilter(TypedDict, total=False):
    """Selects deliveries to list: those before the id `after`, at most `limit`."""

    trigger: str | None
    outcome: DeliveryOutcome | None
    after: str | None
    limit: int


class DeliveryWrites:
    """Writes deliveries, for units."""

    def __init__(self, sql: SQL, payloads: PayloadWrites) -> None:
        self.add_sql = sql.compile(sql.insert(deliveries))
        self._payloads = payloads

    def prepare_add(self, delivery: Delivery) -> Unit[None]:
        large: Payloads = {}
        row = encode_delivery(delivery, large)

        def unit(cursor: Cursor) -> None:
            self._payloads.add(cursor, delivery.id, large)
            cursor.execute(self.add_sql, row)

        return unit


def encode_delivery(delivery: Delivery, large: Payloads) -> Params:
    """Encode a delivery as a row."""
    return {
        "id": delivery.id,
        "trigger": delivery.trigger,
        "path": delivery.path,
        "method": delivery.method,
        "at": delivery.at,
        "outcome": delivery.outcome,
        "reason": delivery.reason,
        "headers": encode_value(delivery.headers, large),
        "body_hash": delivery.body_hash,
        "size": delivery.size,
        "event": delivery.event,
    }


def list_deliveries(connection: Connection, **wanted: Unpack[DeliveryFilter]) -> list[Delivery]:
    """Return deliveries, newest first."""
    query = select(deliveries)
    if (trigger := wanted.get("trigger")) is not None:
        query = query.where(deliveries.c.trigger == trigger)
    if (outcome := wanted.get("outcome")) is not None:
        query = query.where(deliveries.c.outcome == outcome)
    if (after := wanted.get("after")) is not None:
        query = query.where(deliveries.c.id < after)
    query = query.order_by(deliveries.c.id.desc()).limit(wanted.get("limit", 50))
    return [_decode_row(row) for row in connection.execute(query)]


def _decode_row(row: Row[tuple[object, ...]]) -> Delivery:
    try:
        headers = decode_value(row.headers)
    except DECODING_ERRORS:
        headers = NULL  # damaged headers must not hide the rest of the list
    return Delivery(**{**row._mapping, "headers": headers})
