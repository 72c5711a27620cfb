"""The operation that starts a run as a trigger of its pipeline would."""

from collections.abc import Callable
from typing import Any

from pydantic import Field
from starlette.responses import Response

from durable.engine import Engine
from durable.journal.journal import Journal
from durable.wording import quote
from triggers.api.operation import ApiRequest, Body, Operation, respond
from triggers.api.problem import ApiError
from triggers.api.repeats import make_refusal
from triggers.api.starts import OnePipeline
from triggers.config.folder import Folder
from triggers.documents.starts import StartedDocument
from triggers.problem_details import Mistake
from triggers.repeats.refusal import RepeatRefused
from triggers.repeats.triggered import TriggeredStarts


class TriggerBody(Body):
    """What a trigger gets: an event of the journal, or a document."""

    event: str | None = Field(None, description="The id of an event in the journal")
    document: dict[str, Any] | None = Field(
        None, description="The `trigger` of expressions: body, headers, type …; missing parts are empty"
    )
    trigger: str | None = Field(
        None, description="The id of the trigger in the pipeline's file; default: the only one that accepts it"
    )


class TriggerOperations:
    """Starts runs with the triggers of the pipelines that are served."""

    def __init__(self, engine: Engine, journal: Journal, folder: Folder, now: Callable[[], int]) -> None:
        self._journal = journal
        self._folder = folder
        self._starts = TriggeredStarts(engine, journal, folder, now)

    def operations(self) -> list[Operation[Any, Any]]:
        path, started = "/pipelines/{pipeline}/trigger", {202: StartedDocument}
        problems = {
            409: "The trigger does not take it, or what arrived was not kept",
            422: "No inputs can be made of it",
        }
        return [
            Operation("POST", path, self.trigger_run, "start", OnePipeline, TriggerBody, started, problems=problems)
        ]

    async def trigger_run(self, asked: ApiRequest[OnePipeline, TriggerBody]) -> Response:
        """Start a run as a trigger of the pipeline would: with an event that was received before, or with a document
        in the place of one. The trigger's `when` and `inputs` are evaluated. Answered once it is durable."""
        pipeline, given = asked.parameters.pipeline, asked.body
        if self._folder.definition(pipeline) is None:
            raise ApiError(404, f"there is no pipeline {quote(pipeline)} that can run; GET /api/pipelines lists them")
        if (given.event is None) == (given.document is None):
            raise ApiError.invalid([Mistake(name="event", detail="give either `event` or `document`")])
        try:
            if given.event is not None:
                run = await self._starts.start_with_event(pipeline, given.event, given.trigger, asked.by.name)
            else:
                run = await self._starts.start_with_document(
                    pipeline, given.document or {}, given.trigger, asked.by.name
                )
        except RepeatRefused as refused:
            raise make_refusal(refused) from None
        statuses = await self._journal.find_statuses([run])
        return respond(StartedDocument(run, statuses.get(run), False, None), 202)
