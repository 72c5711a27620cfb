"""The operation that lists schedules: when they fired, when they will fire, and what they missed."""

from collections.abc import Callable
from typing import Any

from starlette.responses import Response

from triggers.api.operation import ApiRequest, Nothing, Operation, Parameters, respond
from triggers.config.folder import Folder
from triggers.documents.schedules import ScheduleDocument, ScheduleListDocument
from triggers.schedules.schedules import Schedules
from triggers.schedules.timetable import describe_schedules
from triggers.schedules.trigger import ScheduleTrigger


class ScheduleOperations:
    """Lists schedules."""

    def __init__(self, folder: Folder, schedules: Schedules, now: Callable[[], int]) -> None:
        self._folder = folder
        self._schedules = schedules
        self._now = now

    def operations(self) -> list[Operation[Any, Any]]:
        return [
            Operation(
                "GET", "/schedules", self.list_schedules, "read", Parameters, Nothing, {200: ScheduleListDocument}
            )
        ]

    async def list_schedules(self, asked: ApiRequest[Parameters, Nothing]) -> Response:
        """List every schedule: when it fired, when it will, and what did not come."""
        return respond(ScheduleListDocument(self.describe()))

    def describe(self) -> list[ScheduleDocument]:
        """Every schedule that is served, as its document."""
        served = self._folder.find_triggers(ScheduleTrigger)
        return describe_schedules(served, self._schedules.find_progress(), self._now())
