"""Operations on the versions of a pipeline: list them, read one, and compare two."""

from typing import Annotated, Any, TypeAlias

from pydantic import Field, StringConstraints
from starlette.responses import Response

from durable.journal.journal import Journal
from triggers.api.operation import ApiRequest, Nothing, Operation, respond
from triggers.api.starts import OnePipeline
from triggers.api.value_types import Limit
from triggers.config.folder import Folder
from triggers.documents.versions import VersionsDocument, VersionTextDocument
from triggers.versions import VersionReads, list_served

VersionName: TypeAlias = Annotated[str, StringConstraints(min_length=1, max_length=64)]
"""A hash, the beginning of one, or `current`."""

_MISSING = "There is no such pipeline, or no such version of it"


class ManyVersions(OnePipeline):
    after: VersionName | None = Field(None, description="Continue after this version: the `after` of the previous page")
    limit: Limit = Field(20, le=100, description="The maximum number")


class OneVersion(OnePipeline):
    version: VersionName = Field(description="The version's hash, the beginning of it, or `current`")
    against: VersionName | None = Field(None, description="The version that it is compared with")


class VersionOperations:
    """Lists and compares versions."""

    def __init__(self, journal: Journal, folder: Folder) -> None:
        self._journal = journal
        self._folder = folder

    def operations(self) -> list[Operation[Any, Any]]:
        path, missing = "/pipelines/{pipeline}/versions", {404: _MISSING}
        return [
            Operation(
                *("GET", path, self.list_versions, "read", ManyVersions, Nothing, {200: VersionsDocument}),
                problems=missing,
            ),
            Operation(
                *("GET", f"{path}/{{version}}", self.get_version, "read", OneVersion, Nothing),
                {200: VersionTextDocument},
                problems=missing,
            ),
        ]

    async def list_versions(self, asked: ApiRequest[ManyVersions, Nothing]) -> Response:
        """List the versions of a pipeline that were served, the newest first, with their runs by status."""
        wanted = asked.parameters
        return respond(await self._versions.list_versions(wanted.pipeline, wanted.after, wanted.limit))

    async def get_version(self, asked: ApiRequest[OneVersion, Nothing]) -> Response:
        """Return the text of a version of a pipeline, and its differences from another version."""
        wanted = asked.parameters
        return respond(await self._versions.get_version(wanted.pipeline, wanted.version, wanted.against))

    @property
    def _versions(self) -> VersionReads:
        return VersionReads(self._journal, list_served(self._folder.definitions), self._folder.broken)
