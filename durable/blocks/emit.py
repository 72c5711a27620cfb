"""`flow.emit`: send an event to the pipelines and waits that listen for it."""

from typing import Any

from pydantic import Field

from durable.action import Inputs
from durable.blocks.block import CoreAction
from durable.blocks.correlation import CorrelationKey
from durable.blocks.depth import DEPTH_LIMIT, refuse_depth
from durable.blocks.syntax import CoreSyntax, hold
from durable.effects import Consequences, Effect, EmitEvent
from durable.history.entries import StepScheduled
from durable.history.state import State, StepState
from durable.steps.node import CompiledPipeline


class EmitInputs(Inputs, title="Emit"):
    """Send an event to pipelines that listen for it."""

    type: str = Field(description="The type of the event")
    subject: CorrelationKey = Field(None, description="The subject of the event, which a waiting step matches")
    data: Any = Field(None, description="The data of the event")


def _begin(pipeline: CompiledPipeline, state: State, entry: StepScheduled) -> Consequences:
    if state.depth >= DEPTH_LIMIT:
        return [refuse_depth(entry.path, entry.at)], []
    return [], [EmitEvent(entry.path)]


def _owe(path: str, step: StepState) -> list[Effect]:
    return [EmitEvent(path)]


ACTION = CoreAction(
    use="flow.emit",
    input=EmitInputs,
    syntax=CoreSyntax(returns=hold("event", "runs")),
    begin=_begin,
    owe=_owe,
    counts_once=True,
    is_reported=True,
)
