"""Operations that find the whole id for a short one, and whatever a text can mean."""

from typing import Any

from pydantic import Field
from starlette.responses import Response

from durable.journal.journal import Journal
from durable.units import IdKind
from triggers.api.operation import ApiRequest, Nothing, Operation, Parameters, respond
from triggers.config.folder import Folder
from triggers.documents.found import FoundDocument, HitsDocument
from triggers.search import find_meanings
from triggers.short_ids import find_id


class ShortId(Parameters):
    id: str = Field(description="The beginning or the end of an id, or `latest`", min_length=1, max_length=200)
    kind: IdKind = Field("run", description="What it is the id of")
    pipeline: str | None = Field(None, description="With `latest`: only runs of this pipeline")


class AnyText(Parameters):
    q: str = Field(
        description="An id or a part of it, a key that a sender gave, a tag, or a pipeline",
        min_length=1,
        max_length=255,
    )


class FindOperations:
    """Finds things."""

    def __init__(self, journal: Journal, folder: Folder) -> None:
        self._journal = journal
        self._folder = folder

    def operations(self) -> list[Operation[Any, Any]]:
        return [
            Operation(
                *("GET", "/find", self.find_id, "read", ShortId, Nothing, {200: FoundDocument}),
                problems={404: "No id matches", 409: "Several ids match; the detail lists them"},
            ),
            Operation("GET", "/search", self.find_meanings, "read", AnyText, Nothing, {200: HitsDocument}),
        ]

    async def find_id(self, asked: ApiRequest[ShortId, Nothing]) -> Response:
        """Find the whole id of a run, an event, a delivery, a pipeline's version or a bulk."""
        wanted = asked.parameters
        return respond(
            FoundDocument(wanted.kind, await find_id(self._journal, wanted.kind, wanted.id, wanted.pipeline))
        )

    async def find_meanings(self, asked: ApiRequest[AnyText, Nothing]) -> Response:
        """Find what a text can mean: runs, events, deliveries, versions and bulks by a part of their ids; runs by an
        `Idempotency-Key` or the key of a delivery; tags; pipelines."""
        names = self._folder.list_names().pipelines
        return respond(HitsDocument(await find_meanings(self._journal, asked.parameters.q, names)))
