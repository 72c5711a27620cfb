"""Schedules over the API: when they fired, when they will, and what did not come."""

from collections.abc import Callable
from typing import Any

from pydantic import BaseModel, Field
from starlette.responses import JSONResponse, Response

from durable.units import FireOutcome
from triggers.api.operation import ApiRequest, Nothing, Operation, Parameters
from triggers.api.value_types import Time
from triggers.folder import Folder
from triggers.schedules.schedules import Schedules
from triggers.schedules.timetable import describe_schedules
from triggers.schedules.trigger import MissedPolicy, OverlapPolicy, ScheduleTrigger


class Policy(BaseModel):
    """What becomes of fires that were missed, that meet a run, and over which time they are spread."""

    missed: MissedPolicy
    overlap: OverlapPolicy
    window: str | None


class Fire(BaseModel):
    """A fire that was dealt with."""

    fire: Time
    outcome: FireOutcome | None
    reason: str | None
    run: str | None = Field(description="The run that was started last")


class Schedule(BaseModel):
    """A schedule that is served."""

    id: str
    pipeline: str
    trigger: str
    cron: str | None
    every: str | None
    at: str | None
    timezone: str
    policy: Policy
    last: Fire | None
    next: list[Time] = Field(description="The next fires")
    due: Time | None = Field(description="When the next one starts its run, by its place in the window")
    overdue: Time | None = Field(description="The first fire that should have come by now and did not")
    waiting: int = Field(description="Fires that wait for the run before them")
    skipped: int
    missed: int
    missed_at: Time | None


class ScheduleList(BaseModel):
    """Every schedule that is served, by name."""

    schedules: list[Schedule]


class ScheduleOperations:
    """Answers what is asked of schedules."""

    def __init__(self, folder: Folder, schedules: Schedules, now: Callable[[], int]) -> None:
        self._folder = folder
        self._schedules = schedules
        self._now = now

    def operations(self) -> list[Operation[Any, Any]]:
        return [Operation("GET", "/schedules", self.list_schedules, "read", Parameters, Nothing, {200: ScheduleList})]

    async def list_schedules(self, asked: ApiRequest[Parameters, Nothing]) -> Response:
        """List every schedule: when it fired, when it will, and what did not come."""
        found = describe_schedules(
            self._folder.find_triggers(ScheduleTrigger), self._schedules.find_progress(), self._now()
        )
        return JSONResponse({"schedules": found})
