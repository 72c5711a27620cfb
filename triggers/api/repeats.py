"""Operations that repeat a run: rerun it."""

from collections.abc import Callable
from typing import Annotated, Any, TypeAlias

from pydantic import Field, StringConstraints
from starlette.responses import Response

from durable.engine import Engine
from durable.journal.journal import Journal
from durable.units import DedupeKey
from triggers.api.operation import HEADER, ApiRequest, Body, Operation, respond
from triggers.api.problem import ApiError
from triggers.api.runs import OneRun
from triggers.api.starts import DEDUPE_MILLISECONDS, IdempotencyKey
from triggers.config.folder import Folder
from triggers.documents.starts import RepeatedDocument
from triggers.repeats.refusal import RepeatRefused
from triggers.repeats.reruns import Repeated, Reruns

Reason: TypeAlias = Annotated[str, StringConstraints(max_length=1_000)]

# -- what is asked ----------------------------------------------------------------------------------------------


class RepeatParameters(OneRun):
    idempotency_key: IdempotencyKey | None = Field(
        None,
        alias="Idempotency-Key",
        description="The same key for the same run is the same request, for seven days",
        json_schema_extra=HEADER,
    )


class Rerun(Body):
    """Why a run is repeated."""

    reason: Reason | None = Field(None, description="Why, for those who read the run")


# -- what answers -----------------------------------------------------------------------------------------------

PROBLEMS = {
    409: "The run has not ended, its pipeline is not served, or what it needs was not kept",
    422: "Its inputs do not fit the version",
}


class RepeatOperations:
    """Repeats runs that have ended or are paused."""

    def __init__(self, engine: Engine, journal: Journal, folder: Folder, now: Callable[[], int]) -> None:
        self._journal = journal
        self._now = now
        self._reruns = Reruns(engine, journal, folder, now)

    def operations(self) -> list[Operation[Any, Any]]:
        answers = {200: RepeatedDocument, 202: RepeatedDocument}
        return [
            Operation(
                *("POST", "/runs/{run}/rerun", self.rerun_run, "start", RepeatParameters, Rerun, answers),
                problems=PROBLEMS,
            )
        ]

    async def rerun_run(self, asked: ApiRequest[RepeatParameters, Rerun]) -> Response:
        """Start a new run of a run's event, on the newest version of its pipeline. Answered once it is durable.

        The trigger's newest mapping makes the inputs, if what arrived was kept; otherwise they are those of the run.
        200 if an earlier request with the same `Idempotency-Key` started it.
        """
        run = asked.parameters.run
        key = self._make_key("rerun", asked.parameters)
        try:
            repeated = await self._reruns.rerun(run, by=asked.by.name, reason=asked.body.reason, key=key)
        except RepeatRefused as refused:
            raise make_refusal(refused) from None
        return await self._answer(run, repeated)

    def _make_key(self, kind: str, asked: RepeatParameters) -> DedupeKey | None:
        key = asked.idempotency_key
        return DedupeKey(f"#{kind}/{asked.run}", key, self._now() + DEDUPE_MILLISECONDS) if key else None

    async def _answer(self, run: str, repeated: Repeated) -> Response:
        status = (await self._journal.find_statuses([repeated.run])).get(repeated.run)
        document = RepeatedDocument(
            repeated.run, status, repeated.is_duplicate, of=run, version=repeated.version, inputs=repeated.inputs
        )
        return respond(document, 200 if repeated.is_duplicate else 202)


def make_refusal(refused: RepeatRefused) -> ApiError:
    """The answer to a request that cannot be done."""
    return ApiError(422 if refused.is_unfit else 409, str(refused))
