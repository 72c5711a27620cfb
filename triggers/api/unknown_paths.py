"""The operation that lists requests to paths that no webhook serves."""

import asyncio
from collections.abc import Sequence
from typing import Any

from pydantic import Field
from starlette.responses import Response

from durable.links import hide_links
from durable.reports import UnknownPath
from triggers.api.operation import ApiRequest, Nothing, Operation, Parameters, respond
from triggers.api.value_types import Moment
from triggers.documents.fields import redact_document
from triggers.documents.unknown_paths import UnknownPathsDocument
from triggers.webhooks.unknown_paths import describe_unknown_path
from triggers.webhooks.webhooks import Webhooks


class ManyUnknownPaths(Parameters):
    since: Moment | None = Field(None, alias="from", description="Only paths that were requested at this time or later")


class UnknownPathOperations:
    """Lists unknown paths."""

    def __init__(self, webhooks: Webhooks) -> None:
        self._webhooks = webhooks

    def operations(self) -> list[Operation[Any, Any]]:
        answers = {200: UnknownPathsDocument}
        return [
            Operation("GET", "/deliveries/unknown", self.list_unknown_paths, "read", ManyUnknownPaths, Nothing, answers)
        ]

    async def list_unknown_paths(self, asked: ApiRequest[ManyUnknownPaths, Nothing]) -> Response:
        """List the paths below `/hooks` that were asked for and that no webhook serves, the last request first."""
        since = asked.parameters.since or 0
        found = [each for each in self._webhooks.unknown_paths.list_paths() if each.last_at >= since]
        page = await asyncio.to_thread(self._describe, found)  # each path is compared with every served one
        return respond(page if asked.may_answer else redact_document(page, hide_links))

    def _describe(self, found: Sequence[UnknownPath]) -> UnknownPathsDocument:
        hooks, are_all = self._webhooks.served
        return UnknownPathsDocument([describe_unknown_path(each, hooks, are_all=are_all) for each in found])
