"""Pipelines over the API: what is served, and what is wrong with what is not."""

from typing import Any, Literal

from pydantic import BaseModel, Field
from starlette.responses import JSONResponse, Response

from durable.wording import quote
from triggers.api.operation import ApiRequest, Nothing, Operation, Parameters
from triggers.api.problem import ApiError
from triggers.api.starts import OnePipeline
from triggers.folder import Folder


class PipelineLine(BaseModel):
    """A pipeline's file."""

    id: str
    file: str
    status: Literal["serving", "serving the version before", "disabled"]
    version: str | None = Field(description="The hash of its meaning; null if nothing is served")
    webhooks: list[str] = Field(description="The paths of its webhooks")
    schedules: list[str] = Field(description="When its schedules fire")
    events: list[str] = Field(description="The types of the events that start it")
    problems: list[str] = Field(description="What is wrong with the file, each with its place")


class Pipeline(PipelineLine):
    """A pipeline's file, and what a run of it is given."""

    inputs: dict[str, Any] | None = Field(description="The JSON Schema of each input; null if anything is taken")


class Pipelines(BaseModel):
    """Every pipeline's file."""

    pipelines: list[PipelineLine]


class PipelineOperations:
    """Answers what is asked of pipelines."""

    def __init__(self, folder: Folder) -> None:
        self._folder = folder

    def operations(self) -> list[Operation[Any, Any]]:
        return [
            Operation("GET", "/pipelines", self.list_pipelines, "read", Parameters, Nothing, {200: Pipelines}),
            Operation("GET", "/pipelines/{pipeline}", self.get_pipeline, "read", OnePipeline, Nothing, {200: Pipeline}),
        ]

    async def list_pipelines(self, asked: ApiRequest[Parameters, Nothing]) -> Response:
        """List every pipeline's file: what it serves, or what is wrong with it."""
        return JSONResponse({"pipelines": self._folder.described()})

    async def get_pipeline(self, asked: ApiRequest[OnePipeline, Nothing]) -> Response:
        """Tell one pipeline, and which inputs a run of it is given."""
        wanted = asked.parameters.pipeline
        file = next((file for file in self._folder.files if file.name == wanted), None)
        if file is None:
            raise ApiError(404, f"there is no pipeline {quote(wanted)}; GET /api/pipelines lists them")
        inputs = file.definition.pipeline.inputs if file.definition else None
        return JSONResponse(file.described() | {"inputs": inputs})
