"""Operations that read pipelines: what is served, and the problems of what is not."""

from typing import Any

import msgspec
from starlette.responses import Response

from durable.wording import quote
from triggers.api.operation import ApiRequest, Nothing, Operation, Parameters, respond
from triggers.api.problem import ApiError
from triggers.api.starts import OnePipeline
from triggers.config.folder import Folder
from triggers.documents.pipelines import PipelineDocument, PipelinesDocument


class PipelineOperations:
    """Lists and describes pipelines."""

    def __init__(self, folder: Folder) -> None:
        self._folder = folder

    def operations(self) -> list[Operation[Any, Any]]:
        return [
            Operation("GET", "/pipelines", self.list_pipelines, "read", Parameters, Nothing, {200: PipelinesDocument}),
            Operation(
                "GET", "/pipelines/{pipeline}", self.get_pipeline, "read", OnePipeline, Nothing, {200: PipelineDocument}
            ),
        ]

    async def list_pipelines(self, asked: ApiRequest[Parameters, Nothing]) -> Response:
        """List every pipeline's file: what it serves, or what is wrong with it."""
        return respond(PipelinesDocument([file.describe() for file in self._folder.files]))

    async def get_pipeline(self, asked: ApiRequest[OnePipeline, Nothing]) -> Response:
        """Return one pipeline, and the inputs of its runs."""
        wanted = asked.parameters.pipeline
        file = next((file for file in self._folder.files if file.name == wanted), None)
        if file is None:
            raise ApiError(404, f"there is no pipeline {quote(wanted)}; GET /api/pipelines lists them")
        inputs = file.definition.pipeline.inputs if file.definition else None
        return respond(PipelineDocument(**msgspec.structs.asdict(file.describe()), inputs=inputs))
