"""The operation that shows how long things are kept."""

import json
from typing import Any

from starlette.responses import Response

from durable.journal.journal import Journal
from durable.journal.meta import find_note
from durable.journal.retention import find_oldest_start
from durable.runner.retention import NOTE
from triggers.api.operation import ApiRequest, Nothing, Operation, Parameters, respond
from triggers.config.folder import Folder
from triggers.documents.fields import format_time
from triggers.documents.retention import RemovalDocument, RetentionDocument, RetentionPolicyDocument, format_age
from triggers.settings import Settings


class RetentionOperations:
    """Shows the policies, and the last pass."""

    def __init__(self, journal: Journal, folder: Folder, settings: Settings) -> None:
        self._journal = journal
        self._folder = folder
        self._settings = settings

    def operations(self) -> list[Operation[Any, Any]]:
        return [
            Operation("GET", "/retention", self.get_retention, "read", Parameters, Nothing, {200: RetentionDocument})
        ]

    async def get_retention(self, asked: ApiRequest[Parameters, Nothing]) -> Response:
        """Show how long runs, deliveries and events are kept, and what was removed last."""
        noted = await self._journal.read(find_note, NOTE)
        last = json.loads(noted) if noted else None
        own = [
            RetentionPolicyDocument.of(file.name, file.retention)
            for file in sorted(self._folder.files, key=lambda file: file.name)
            if file.retention is not None
        ]
        document = RetentionDocument(
            default=RetentionPolicyDocument.of(None, self._settings.retention),
            pipelines=own,
            deliveries=format_age(self._settings.retention_deliveries),
            events=format_age(self._settings.retention_events),
            audit=format_age(self._settings.retention_audit),
            last=RemovalDocument(format_time(last["at"]), last["removed"]) if last else None,
            oldest_run_at=format_time(await self._journal.read(find_oldest_start)),
        )
        return respond(document)
