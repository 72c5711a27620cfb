"""Operations on the parts of a run that its document leaves out: its outline, its steps in pages, one step whole, a
large value."""

from typing import Annotated, Any, Literal, TypeAlias

import msgspec
from pydantic import BeforeValidator, Field, StringConstraints, WithJsonSchema
from starlette.responses import Response

from durable.history.words import StepStatus
from durable.journal.journal import Journal
from durable.journal.outline import StepKind, StepOrder
from triggers.api.operation import ApiRequest, Nothing, Operation
from triggers.api.runs import OneRun
from triggers.api.value_types import Count, Limit, RowLimit
from triggers.config.folder import Folder
from triggers.documents.outline import OutlineDocument, RowsOnly
from triggers.documents.runs import RunValueDocument, StepDocument, StepsDocument
from triggers.documents.version_steps import RunGraphDocument, StepDefinitionDocument
from triggers.runs.graph import encode_graph
from triggers.runs.outline import OutlineQuery, encode_outline
from triggers.runs.rows import find_run
from triggers.runs.run import RunPart, encode_run_part
from triggers.runs.step_definition import encode_step_definition
from triggers.runs.steps import CURSOR, StepQuery, encode_step, encode_steps

PathText: TypeAlias = Annotated[str, StringConstraints(max_length=1_000)]

IdleTime: TypeAlias = Literal["collapse", "show"]


def _parse_window(value: object) -> object:
    text = str(value)
    first, _, last = text.partition("-")
    if not (len(text) <= WINDOW_LENGTH and text.isascii() and first.isdigit() and last.isdigit()):
        raise ValueError("should be two numbers of milliseconds, such as 0-15000")
    if int(first) >= int(last):
        raise ValueError("should begin before it ends, such as 0-15000")
    return int(first), int(last)


WINDOW_LENGTH = 30
"""The characters of a part of a run's time: more than 30,000 years."""

Window: TypeAlias = Annotated[
    tuple[int, int], BeforeValidator(_parse_window), WithJsonSchema({"type": "string", "examples": ["0-15000"]})
]
"""A part of a run's time, in milliseconds since its start."""


class ManySteps(OneRun):
    status: StepStatus | None = Field(None, description="Only steps with this status")
    under: PathText = Field("", description="Only steps inside this block, or inside this item of a loop: `reserve[2]`")
    outline: bool = Field(False, description="Omit steps inside loops; each loop has the counts of its items")
    only: StepKind | None = Field(
        None, description="Only steps that called a run, that have an undo, or that need a decision"
    )
    order: StepOrder = Field(
        "attention",
        description="`attention`: steps that need a decision, then failed, waiting and running ones (outside "
        "loops first), then the others; `time`: in the order in which the run reached them",
    )
    after: Annotated[str, StringConstraints(pattern=CURSOR)] | None = Field(
        None, description="Continue there: the `after` of the previous page, or the `steps_after` of the run"
    )
    limit: Limit = Field(200, description="The maximum number; a page also ends at 64 KB")


class OneOutline(OneRun):
    under: PathText = Field("", description="The rows inside this block, loop, or item of a loop: `reserve[2]`")
    only: RowsOnly | None = Field(
        None,
        description="Only steps that failed or need a decision, or only those that are not finished; default: `all`, "
        "but `failed` for a run with more than 200 steps that failed",
    )
    idle: IdleTime = Field("collapse", description="Whether long times without work are shortened on the axis")
    zoom: Window | None = Field(
        None, description="Only this part of the run, as two numbers of milliseconds since its start: `0-15000`"
    )
    after: PathText | None = Field(None, description="Continue after this row: the `after` of the previous page")
    limit: RowLimit = Field(100, description="The maximum number of rows")


class OneStep(OneRun):
    step: PathText = Field(description="The path of the step")


class StepParameters(OneStep):
    part_limit: Count | None = Field(None, description="Leave out parts with more bytes; default: leave out nothing")


class OneValue(OneRun):
    value: RunPart = Field(description="Which part of the run's document")


class StepOperations:
    """Reads the steps and the values of runs."""

    def __init__(self, journal: Journal, folder: Folder) -> None:
        self._journal = journal
        self._folder = folder

    def operations(self) -> list[Operation[Any, Any]]:
        return [
            Operation("GET", "/runs/{run}/steps", self.list_steps, "read", ManySteps, Nothing, {200: StepsDocument}),
            Operation(
                "GET", "/runs/{run}/outline", self.get_outline, "read", OneOutline, Nothing, {200: OutlineDocument}
            ),
            Operation(
                *(
                    "GET",
                    "/runs/{run}/steps/{step}",
                    self.get_step,
                    "read",
                    StepParameters,
                    Nothing,
                    {200: StepDocument},
                )
            ),
            Operation(
                *("GET", "/runs/{run}/steps/{step}/definition", self.get_step_definition, "read", OneStep, Nothing),
                {200: StepDefinitionDocument},
            ),
            Operation("GET", "/runs/{run}/graph", self.get_graph, "read", OneRun, Nothing, {200: RunGraphDocument}),
            Operation(
                "GET", "/runs/{run}/values/{value}", self.get_value, "read", OneValue, Nothing, {200: RunValueDocument}
            ),
        ]

    async def list_steps(self, asked: ApiRequest[ManySteps, Nothing]) -> Response:
        """List the steps that a run has reached."""
        wanted = asked.parameters
        query = StepQuery(
            *(wanted.status, wanted.under, wanted.outline, wanted.only, wanted.order, wanted.after, wanted.limit)
        )
        page, after = await encode_steps(self._journal, wanted.run, query, may_answer=asked.may_answer)
        text = b'{"steps":%b,"after":%b}' % (page, msgspec.json.encode(after))
        return Response(text, media_type="application/json")

    async def get_outline(self, asked: ApiRequest[OneOutline, Nothing]) -> Response:
        """Return a run over time: a row for each step, in which a loop is one row, and the axis that they are drawn on.

        Inside of a loop, the items that failed come first.
        """
        wanted = asked.parameters
        query = OutlineQuery(
            *(wanted.under, wanted.only, wanted.after, wanted.limit, wanted.zoom, wanted.idle == "collapse")
        )
        text = await encode_outline(self._journal, wanted.run, query, may_answer=asked.may_answer)
        return Response(text, media_type="application/json")

    async def get_step(self, asked: ApiRequest[StepParameters, Nothing]) -> Response:
        """Return one step, in full unless a limit is given."""
        wanted = asked.parameters
        text = await encode_step(self._journal, wanted.run, wanted.step, wanted.part_limit, may_answer=asked.may_answer)
        return Response(text, media_type="application/json")

    async def get_step_definition(self, asked: ApiRequest[OneStep, Nothing]) -> Response:
        """Return what the version of a run says of a step, with the values of the expressions in its input."""
        wanted = asked.parameters
        found = await find_run(self._journal, wanted.run)
        text = await encode_step_definition(
            self._journal,
            wanted.run,
            wanted.step,
            self._folder.find_source(found.pipeline, found.version),
            may_answer=asked.may_answer,
        )
        return Response(text, media_type="application/json")

    async def get_graph(self, asked: ApiRequest[OneRun, Nothing]) -> Response:
        """Return the steps of the version of a run as they are nested, and how often each was reached."""
        text = await encode_graph(self._journal, asked.parameters.run)
        return Response(text, media_type="application/json")

    async def get_value(self, asked: ApiRequest[OneValue, Nothing]) -> Response:
        """Return in full a value that the document of the run omits or shortens."""
        wanted = asked.parameters
        text = await encode_run_part(self._journal, wanted.run, wanted.value, may_answer=asked.may_answer)
        return Response(b'{"value":%b}' % text, media_type="application/json")
