"""Operations that read pipelines: what is served, the problems of what is not, triggers, and how runs went."""

import asyncio
from collections.abc import Callable
from typing import Any, TypeAlias

import msgspec
from pydantic import Field
from starlette.responses import Response

from durable.definition import Definition
from durable.journal.journal import Journal
from durable.secrets import Secrets
from durable.wording import quote, suggest
from triggers.api.examples import describe_example
from triggers.api.operation import Answer, ApiRequest, Nothing, Operation, Parameters, respond
from triggers.api.problem import ApiError
from triggers.api.starts import OnePipeline
from triggers.api.value_types import Limit
from triggers.config.folder import Folder, PipelineFile
from triggers.documents.pipelines import (
    ExampleRequestDocument,
    GridDocument,
    PipelineDocument,
    PipelinesDocument,
    PipelineStatisticsDocument,
    PipelineTextDocument,
    RecentInputsDocument,
    TriggersDocument,
)
from triggers.documents.version_steps import PipelineGraphDocument
from triggers.pipelines.grid import RUNS, PipelineGrids
from triggers.pipelines.recent_inputs import read_recent_inputs
from triggers.pipelines.statistics import read_all_statistics, read_statistics
from triggers.pipelines.text import describe_text
from triggers.pipelines.trigger_list import TriggerList
from triggers.runs.graph import make_pipeline_graph
from triggers.runs.version_steps import load_version_steps
from triggers.schedules.schedules import Schedules
from triggers.webhooks.example import ExampleUnavailable, make_example
from triggers.webhooks.trigger import WebhookTrigger

OneRequest: TypeAlias = ApiRequest[OnePipeline, Nothing]


class ManyPipelines(Parameters):
    statistics: bool = Field(False, description="Whether to add how the runs of each went")


class GridParameters(OnePipeline):
    limit: Limit = Field(RUNS, le=100, description="The maximum number of runs")


class OneTrigger(OnePipeline):
    trigger: str = Field(description="The trigger's id in the pipeline")


class PipelineOperations:
    """Lists and describes pipelines. `url` is the address of the service."""

    def __init__(
        self,
        journal: Journal,
        folder: Folder,
        schedules: Schedules,
        secrets: Secrets,
        url: str,
        now: Callable[[], int],
    ) -> None:
        self._journal = journal
        self._folder = folder
        self._secrets = secrets
        self._url = url
        self._now = now
        self._grids = PipelineGrids(journal)
        self._triggers = TriggerList(journal, schedules, secrets, url, now)

    def operations(self) -> list[Operation[Any, Any]]:
        one, listed = "/pipelines/{pipeline}", {200: PipelinesDocument}
        return [
            Operation("GET", "/pipelines", self.list_pipelines, "read", ManyPipelines, Nothing, listed),
            self._describe("", self.get_pipeline, PipelineDocument),
            self._describe("/text", self.get_pipeline_text, PipelineTextDocument),
            Operation(
                *("GET", f"{one}/graph", self.get_pipeline_graph, "read", OnePipeline, Nothing),
                {200: PipelineGraphDocument},
                problems={409: "Nothing of the pipeline is served"},
            ),
            self._describe("/statistics", self.get_pipeline_statistics, PipelineStatisticsDocument),
            Operation(
                "GET", f"{one}/grid", self.get_pipeline_grid, "read", GridParameters, Nothing, {200: GridDocument}
            ),
            self._describe("/inputs", self.list_recent_inputs, RecentInputsDocument),
            self._describe("/triggers", self.list_triggers, TriggersDocument),
            Operation(
                *("GET", f"{one}/triggers/{{trigger}}/example", self.get_example_request, "start", OneTrigger, Nothing),
                {200: ExampleRequestDocument},
                problems={409: "No example can be made; the problem says why"},
            ),
        ]

    def _describe(self, path: str, perform: Callable[[OneRequest], Any], answer: Answer) -> Operation[Any, Any]:
        """An operation that reads something of one pipeline."""
        return Operation("GET", f"/pipelines/{{pipeline}}{path}", perform, "read", OnePipeline, Nothing, {200: answer})

    async def list_pipelines(self, asked: ApiRequest[ManyPipelines, Nothing]) -> Response:
        """List every pipeline's file: what it serves, or what is wrong with it."""
        lines = [file.describe() for file in self._folder.files]
        statistics = None
        if asked.parameters.statistics:
            statistics = await self._journal.read(read_all_statistics, [line.id for line in lines], self._now())
        return respond(PipelinesDocument(lines, statistics))

    async def get_pipeline(self, asked: OneRequest) -> Response:
        """Return one pipeline, and the inputs of its runs."""
        file = self._find_file(asked)
        schemas = file.definition.pipeline.inputs if file.definition else None
        inputs = None if schemas is None else {name: schemas[name] for name in file.input_names}
        return respond(PipelineDocument(**msgspec.structs.asdict(file.describe()), inputs=inputs))

    async def get_pipeline_text(self, asked: OneRequest) -> Response:
        """Return the text of a pipeline's file as it is now, with the problems of its lines."""
        file = self._find_file(asked)
        return respond(await asyncio.to_thread(describe_text, file, self._secrets.redactor))

    async def get_pipeline_graph(self, asked: OneRequest) -> Response:
        """Return the steps of the version that is served, as they are nested."""
        return respond(make_pipeline_graph(self._find_definition(asked)))

    async def get_pipeline_statistics(self, asked: OneRequest) -> Response:
        """Return how the runs of a pipeline went in the last seven days: a sample of the newest ones."""
        pipeline = self._find_file(asked).name
        return respond(await self._journal.read(read_statistics, pipeline, self._now()))

    async def get_pipeline_grid(self, asked: ApiRequest[GridParameters, Nothing]) -> Response:
        """Return the newest runs of a pipeline, and how the steps of its first level ended in them."""
        file = self._find_file(asked)
        served = load_version_steps(file.definition.data) if file.definition else None
        return respond(await self._grids.read_grid(file.name, served, asked.parameters.limit))

    async def list_recent_inputs(self, asked: OneRequest) -> Response:
        """List the inputs that runs were started with over the API lately, five at most, none of them twice."""
        pipeline = self._find_file(asked).name
        return respond(await read_recent_inputs(self._journal, pipeline, may_answer=asked.may_answer))

    async def list_triggers(self, asked: OneRequest) -> Response:
        """List the triggers of a pipeline: where each is reached, how its senders are verified, what it did last."""
        return respond(await self._triggers.describe(self._find_file(asked), may_answer=asked.may_answer))

    async def get_example_request(self, asked: ApiRequest[OneTrigger, Nothing]) -> Response:
        """Return a request that a webhook takes and that starts a run: signed, without showing the secret."""
        file, wanted = self._find_file(asked), asked.parameters.trigger
        hooks = {
            trigger.id: trigger
            for trigger in self._folder.find_triggers(WebhookTrigger)
            if trigger.definition.id == file.name
        }
        if wanted not in hooks:
            hint = suggest(wanted, hooks) or f"GET /api/pipelines/{file.name}/triggers lists its triggers"
            raise ApiError(404, f"{file.name} serves no webhook {quote(wanted)}; {hint}")
        try:
            example = make_example(hooks[wanted], self._secrets, self._url, self._now() / 1000)
        except ExampleUnavailable as why:
            raise ApiError(409, str(why)) from None
        return respond(describe_example(hooks[wanted], example))

    def _find_file(self, asked: ApiRequest[Any, Nothing]) -> PipelineFile:
        wanted = asked.parameters.pipeline
        file = next((file for file in self._folder.files if file.name == wanted), None)
        if file is None:
            raise ApiError(404, f"there is no pipeline {quote(wanted)}; GET /api/pipelines lists them")
        return file

    def _find_definition(self, asked: OneRequest) -> Definition:
        file = self._find_file(asked)
        if file.definition is None:
            raise ApiError(
                409, f"nothing of {file.name} is served; GET /api/pipelines/{file.name}/text has its problems"
            )
        return file.definition
