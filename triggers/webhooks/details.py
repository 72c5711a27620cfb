"""One delivery as a document and as bytes, for people. Secrets and links are redacted here, and nowhere before."""

from collections.abc import Iterable
from contextlib import suppress
from typing import TypeVar

import msgspec

from durable.ids import first_id
from durable.journal.deliveries import find_delivery
from durable.journal.reads import Reads
from durable.journal.runs import list_repeats
from durable.journal.scan import Scan
from durable.links import hide_links
from durable.redactor import Redactor, run_slices
from durable.units import Delivery, DeliveryOutcome, Run
from durable.values import JSON
from triggers.documents.deliveries import (
    DeliveriesDocument,
    DeliveryDetailsDocument,
    DeliveryDocument,
    DeliveryHeaderDocument,
    DeliveryRunDocument,
)
from triggers.http.body import BadRequest, parse_body
from triggers.not_found import DeliveryNotFound, RequestNotKept
from triggers.webhooks.kept_delivery import explain_absence, read_head
from triggers.webhooks.kept_request import RequestHead

SHOWN_BYTES = 64 * 1024
"""The size of a body from which a document does not include it."""

RUNS_SHOWN = 20
"""The runs of a delivery that a document lists, and its replays."""

HASH_SHOWN = 16
"""The digits of a credential's hash that are shown."""


_FREE = ("path", "query", "reason", "headers", "body")
"""What senders write. Only this is searched for secrets: a short one may well be a part of a time, or a size."""

AnyDelivery = TypeVar("AnyDelivery", bound=DeliveryDocument)


class DeliveryQuery(msgspec.Struct, frozen=True):
    """Selects deliveries to list: those that arrived at `since` (ms) or later, and before `until`."""

    trigger: str | None = None
    outcome: DeliveryOutcome | None = None
    event: str | None = None
    since: int | None = None
    until: int | None = None
    after: str | None = None
    limit: int = 50


async def list_lines(reads: Reads, query: DeliveryQuery, redactor: Redactor, *, may_answer: bool) -> DeliveriesDocument:
    """List deliveries, the newest first. Without `may_answer`, they have no links to waits."""
    found = await reads.list_deliveries(
        trigger=query.trigger,
        outcome=query.outcome,
        event=query.event,
        since=first_id("dlv", query.since) if query.since is not None else None,
        before=first_id("dlv", query.until) if query.until is not None else None,
        after=query.after,
        limit=query.limit,
    )

    def describe(scan: Scan) -> list[DeliveryDocument]:
        return [redact_delivery(DeliveryDocument.of(each), redactor, scan, may_answer=may_answer) for each in found]

    after = found[-1].id if len(found) == query.limit else None
    return DeliveriesDocument(await reads.scan(describe), after)


async def describe_delivery(reads: Reads, id: str, redactor: Redactor, *, may_answer: bool) -> DeliveryDetailsDocument:
    """Describe a delivery; raises `DeliveryNotFound`. Without `may_answer`, it has no links to waits."""
    delivery = await _find(reads, id)
    started = await reads.list_runs(event=delivery.event, is_first=True, limit=RUNS_SHOWN) if delivery.event else []
    replays = await reads.read(list_repeats, id, RUNS_SHOWN)

    def describe(scan: Scan) -> DeliveryDetailsDocument:
        document = _describe(delivery, started, replays)
        return redact_delivery(document, redactor, scan, may_answer=may_answer)

    return await reads.scan(describe)


async def load_body(reads: Reads, id: str, redactor: Redactor) -> tuple[bytes, bool]:
    """The body of a delivery, byte for byte unless it holds a secret, and whether one was replaced. Raises
    `DeliveryNotFound` and `RequestNotKept`."""
    delivery = await _find(reads, id)
    body = delivery.body
    if body is None:
        raise RequestNotKept(explain_absence(delivery))

    def redact(scan: Scan) -> bytes:
        # Latin-1 has a letter for each byte, and the redactor knows secrets in UTF-8 that is read as Latin-1.
        text = run_slices(redactor.redact_text_in_slices(body.decode("latin-1")), scan.rest)
        return text.encode("latin-1")

    shown = await reads.scan(redact) if redactor.knows_any else body
    return shown, shown != body


def redact_delivery(document: AnyDelivery, redactor: Redactor, scan: Scan, *, may_answer: bool) -> AnyDelivery:
    """A delivery without the values of secrets, and without links to waits for those who may not answer."""
    scan.rest()
    fields: dict[str, JSON] = msgspec.to_builtins(document)
    given: JSON = {name: fields[name] for name in _FREE if name in fields}
    redacted = run_slices(redactor.redact_in_slices(given), scan.rest)
    changed = _as_mapping(redacted if may_answer else hide_links(redacted))
    # Only these are converted: the others may hold what a damaged row has.
    types = {field.name: field.type for field in msgspec.structs.fields(document)}
    return msgspec.structs.replace(
        document, **{name: msgspec.convert(value, types[name]) for name, value in changed.items()}
    )


def _as_mapping(value: JSON) -> dict[str, JSON]:
    assert isinstance(value, dict)
    return value


async def _find(reads: Reads, id: str) -> Delivery:
    delivery = await reads.read(find_delivery, id)
    if delivery is None:
        raise DeliveryNotFound(id)
    return delivery


def _describe(delivery: Delivery, runs: Iterable[Run], replays: Iterable[Run]) -> DeliveryDetailsDocument:
    head = read_head(delivery)
    is_kept = head is not None and delivery.body is not None
    line = DeliveryDocument.of(delivery)
    if head:
        line = msgspec.structs.replace(line, path=head.path)
    return DeliveryDetailsDocument(
        **msgspec.structs.asdict(line),
        query=head.query if head else "",
        headers=[_describe_header(each.name, each.value, each.hash) for each in head.headers] if head else [],
        body=_read_body(delivery, head),
        body_hash=delivery.body_hash,
        kept=is_kept,
        absence=None if is_kept else explain_absence(delivery),
        runs=_describe_runs(runs),
        replays=_describe_runs(replays),
    )


def _describe_header(name: str, value: str | None, hash: str | None) -> DeliveryHeaderDocument:
    return DeliveryHeaderDocument(name, value, hash[:HASH_SHOWN] if hash else None)


def _describe_runs(runs: Iterable[Run]) -> list[DeliveryRunDocument]:
    return [DeliveryRunDocument(run.id, run.pipeline, run.status) for run in runs]


def _read_body(delivery: Delivery, head: RequestHead | None) -> JSON:
    """A body as JSON or text; None if it is neither, or large."""
    if head is None or not delivery.body or len(delivery.body) > SHOWN_BYTES:
        return None
    media_type = next((each.value for each in head.headers if each.name == "content-type"), None)
    body: JSON = None
    with suppress(BadRequest):
        body = parse_body(delivery.body, media_type)
    if isinstance(body, dict) and set(body) == {"base64", "content_type"}:
        body = None
    if body is None:
        with suppress(UnicodeDecodeError):
            return delivery.body.decode()
    return body
