"""Operations that repeat a run: rerun its event, or fork it."""

from collections.abc import Callable
from typing import Annotated, Any

from pydantic import Field, StringConstraints
from starlette.responses import Response

from durable.engine import Engine
from durable.journal.journal import Journal
from durable.secrets import Secrets
from triggers.api.idempotency import IdempotencyHeader, make_dedupe_key
from triggers.api.operation import ApiRequest, Body, Operation, respond
from triggers.api.problem import ApiError
from triggers.api.runs import OneRun
from triggers.api.value_types import Reason
from triggers.config.folder import Folder
from triggers.documents.starts import RepeatedDocument
from triggers.repeats.forks import ForkRequest, Forks
from triggers.repeats.refusal import RepeatRefused
from triggers.repeats.repeated import Repeated
from triggers.repeats.reruns import Reruns

# -- what is asked ----------------------------------------------------------------------------------------------


class RepeatParameters(OneRun):
    idempotency_key: IdempotencyHeader = Field(
        None, description="The same key for the same run is the same request, for seven days"
    )


class Rerun(Body):
    """Why a run is repeated."""

    reason: Reason | None = Field(None, description="The reason, shown with the run")


class Fork(Body):
    """What is to be different in a fork, and why it is made."""

    step: Annotated[str, StringConstraints(min_length=1, max_length=500)] | None = Field(
        None, description="The path of the step from which the new run continues; default: the start"
    )
    input: dict[str, Any] | None = Field(None, description="The whole input of the step")
    inputs: dict[str, Any] | None = Field(None, description="All inputs of the run, for a fork from the start")
    changes: dict[str, Any] | None = Field(
        None,
        alias="set",
        description="Values by name that replace those of the step's recorded input or of the run's inputs",
    )
    newest: bool = Field(
        False, description="Run on the newest version of the pipeline; default: the version of the run"
    )
    reason: Reason | None = Field(None, description="The reason, shown with the run")


# -- what answers -----------------------------------------------------------------------------------------------

PROBLEMS = {
    409: "The run has not ended, its pipeline is not served, or what it needs was not kept",
    422: "Its inputs do not fit the version",
}


class RepeatOperations:
    """Repeats runs that have ended or are paused."""

    def __init__(
        self, engine: Engine, journal: Journal, folder: Folder, secrets: Secrets, now: Callable[[], int]
    ) -> None:
        self._journal = journal
        self._now = now
        self._reruns = Reruns(engine, journal, folder, now)
        self._forks = Forks(engine, journal, folder, secrets, now)

    def operations(self) -> list[Operation[Any, Any]]:
        answers = {200: RepeatedDocument, 202: RepeatedDocument}
        return [
            Operation(
                *("POST", "/runs/{run}/rerun", self.rerun_run, "start", RepeatParameters, Rerun, answers),
                problems=PROBLEMS,
            ),
            Operation(
                *("POST", "/runs/{run}/fork", self.fork_run, "start", RepeatParameters, Fork, answers),
                problems={409: PROBLEMS[409] + ", or it did not reach the step", 422: "The inputs do not fit"},
            ),
        ]

    async def rerun_run(self, asked: ApiRequest[RepeatParameters, Rerun]) -> Response:
        """Start a new run of a run's event, on the newest version of its pipeline. Answered once it is durable.

        The trigger's newest mapping makes the inputs, if what arrived was kept; otherwise they are those of the run.
        200 if an earlier request with the same `Idempotency-Key` started it.
        """
        run = asked.parameters.run
        key = make_dedupe_key(f"rerun/{run}", asked.parameters.idempotency_key, asked.body.model_dump(), self._now())
        try:
            repeated = await self._reruns.rerun(run, by=asked.by.name, reason=asked.body.reason, key=key)
        except RepeatRefused as refused:
            raise make_refusal(refused) from None
        return await self._answer(run, repeated)

    async def fork_run(self, asked: ApiRequest[RepeatParameters, Fork]) -> Response:
        """Start a new run of a run's event that goes on from one of the run's steps: checkpoints that do not depend on
        that step are copied, and nothing copied happens again. Without `step`, from the start. Answered once it is
        durable.

        200 if an earlier request with the same `Idempotency-Key` started it.
        """
        run, given = asked.parameters.run, asked.body
        key = make_dedupe_key(f"fork/{run}", asked.parameters.idempotency_key, given.model_dump(), self._now())
        request = ForkRequest(given.step, given.input, given.inputs, given.changes, given.newest)
        try:
            repeated = await self._forks.fork(run, request, by=asked.by.name, reason=given.reason, key=key)
        except RepeatRefused as refused:
            raise make_refusal(refused) from None
        return await self._answer(run, repeated)

    async def _answer(self, run: str, repeated: Repeated) -> Response:
        status = (await self._journal.find_statuses([repeated.run])).get(repeated.run)
        document = RepeatedDocument(
            repeated.run,
            status,
            repeated.is_duplicate,
            hint=f"{run} was already rerun or forked as {repeated.earlier}" if repeated.earlier else None,
            of=run,
            version=repeated.version,
            inputs=repeated.inputs,
            copied=repeated.copied,
            again=list(repeated.again),
        )
        return respond(document, 200 if repeated.is_duplicate else 202)


def make_refusal(refused: RepeatRefused) -> ApiError:
    """The answer to a request that cannot be done."""
    return ApiError(422 if refused.is_unfit else 409, str(refused))
