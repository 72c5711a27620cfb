"""The operation that reads the audit log."""

from typing import Annotated, Any, TypeAlias

from pydantic import Field, StringConstraints
from starlette.responses import Response

from durable.audit import AuditOutcome, AuditVia
from durable.journal.audit import list_audit_records
from durable.journal.journal import Journal
from triggers.api.operation import ApiRequest, Nothing, Operation, Parameters, respond
from triggers.api.value_types import Limit, PastMoment
from triggers.documents.audit import AuditDocument, AuditRecordDocument

AuditId: TypeAlias = Annotated[str, StringConstraints(pattern="^aud_[0-9a-z]{26}$")]


class AuditParameters(Parameters):
    by: str | None = Field(None, description="Only what this key or person did, by name")
    action: str | None = Field(None, description="Only this action: the id of an operation, such as `cancel_run`")
    target: str | None = Field(None, description="Only what was done to this: the id of a run, the name of a secret …")
    via: AuditVia | None = Field(None, description="Only what was done by this way")
    outcome: AuditOutcome | None = Field(None, description="Only actions with this result")
    since: PastMoment | None = Field(None, alias="from", description="Only actions of this time or later")
    until: PastMoment | None = Field(None, alias="to", description="Only actions before this time")
    after: AuditId | None = Field(None, description="Continue there: the `after` of the previous page")
    limit: Limit = Field(50, description="The maximum number")


class AuditOperations:
    """Reads the audit log."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal

    def operations(self) -> list[Operation[Any, Any]]:
        return [Operation("GET", "/audit", self.list_audit, "admin", AuditParameters, Nothing, {200: AuditDocument})]

    async def list_audit(self, asked: ApiRequest[AuditParameters, Nothing]) -> Response:
        """List the actions of people and programs, the newest first.

        Starts of runs, events and deliveries are not among them: each is recorded as what it is. Nor are tokens for
        streams, and wrong keys, whose holder is not known.
        """
        found = await self._journal.read(list_audit_records, **asked.parameters.model_dump())
        after = found[-1].id if len(found) == asked.parameters.limit else None
        return respond(AuditDocument([AuditRecordDocument.of(each) for each in found], after))
