"""The operation that finds the whole id for a short one."""

from typing import Any

from pydantic import Field
from starlette.responses import Response

from durable.journal.journal import Journal
from durable.units import IdKind
from triggers.api.operation import ApiRequest, Nothing, Operation, Parameters, respond
from triggers.documents.found import FoundDocument
from triggers.short_ids import find_id


class ShortId(Parameters):
    id: str = Field(description="The beginning or the end of an id, or `latest`", min_length=1, max_length=200)
    kind: IdKind = Field("run", description="What it is the id of")
    pipeline: str | None = Field(None, description="With `latest`: only runs of this pipeline")


class FindOperations:
    """Finds ids."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal

    def operations(self) -> list[Operation[Any, Any]]:
        return [
            Operation(
                *("GET", "/find", self.find_id, "read", ShortId, Nothing, {200: FoundDocument}),
                problems={404: "No id matches", 409: "Several ids match; the detail lists them"},
            )
        ]

    async def find_id(self, asked: ApiRequest[ShortId, Nothing]) -> Response:
        """Find the whole id of a run, an event, a delivery, a pipeline's version or a bulk."""
        wanted = asked.parameters
        return respond(
            FoundDocument(wanted.kind, await find_id(self._journal, wanted.kind, wanted.id, wanted.pipeline))
        )
