"""The audit log."""

from typing import Annotated, Self

from msgspec import Struct

from durable.audit import AuditOutcome, AuditRecord, AuditVia
from triggers.documents.fields import PageCursor, Time, format_time, note


class AuditRecordDocument(Struct, frozen=True):
    """An action of a person or a program."""

    id: str
    at: Time | None
    by: Annotated[str | None, note("Who did it: the name of a key or of a person; null if that is not known")]
    key: Annotated[str | None, note("The id of the key; `admin` is the key that is set or generated")]
    session: Annotated[str | None, note("The id of the session; null without a sign-in")]
    via: Annotated[AuditVia, note("By which way; `link`: by a link to a wait or of a login, which needs no key")]
    address: Annotated[str | None, note("The network address that it came from")]
    action: Annotated[str, note("The operation, such as `cancel_run`")]
    kind: Annotated[str | None, note("The kind of what it was done to, such as `run`")]
    target: Annotated[str | None, note("The id or the name of what it was done to")]
    outcome: Annotated[
        AuditOutcome, note("`begun`: the result is not known, since the service stopped before it, or not known yet")
    ]
    status: Annotated[int | None, note("The HTTP status of the answer")]
    reason: Annotated[str | None, note("Why, if a reason was given")]

    @classmethod
    def of(cls, record: AuditRecord) -> Self:
        return cls(
            id=record.id,
            at=format_time(record.at),
            by=record.by,
            key=record.key,
            session=record.session,
            via=record.via,
            address=record.address,
            action=record.action,
            kind=record.kind,
            target=record.target,
            outcome=record.outcome,
            status=record.status,
            reason=record.reason,
        )


class AuditDocument(Struct, frozen=True):
    """A page of the audit log, the newest first."""

    records: list[AuditRecordDocument]
    after: PageCursor
