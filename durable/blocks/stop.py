"""`flow.stop`: ends the run, or the part of it that contains the step."""

from typing import Literal

from pydantic import Field

from durable.action import Inputs
from durable.blocks.block import CoreAction
from durable.blocks.endings import announce_end, end_sequence, get_inputs, get_text
from durable.blocks.syntax import CoreSyntax
from durable.effects import Consequences
from durable.history.entries import BranchesCancelled, StepCompleted, StepScheduled
from durable.history.state import State
from durable.steps.node import CompiledPipeline


class StopInputs(Inputs, title="Stop"):
    """End the run here."""

    status: Literal["completed", "cancelled"] = Field("completed", description="The final status of the run")
    reason: str | None = Field(None, description="The reason, for people who read the run")


def _begin(pipeline: CompiledPipeline, state: State, entry: StepScheduled) -> Consequences:
    return [StepCompleted(at=entry.at, path=entry.path, attempt=1)], []


def _complete(pipeline: CompiledPipeline, state: State, entry: StepCompleted) -> Consequences:
    """End the part of the run that contains the step; if that part is already ending, end only the step's sequence."""
    path, at = entry.path, entry.at
    node = pipeline.nodes[path]
    is_cleanup = node.part == "cleanup"
    if state.is_stopping if is_cleanup else state.ending:
        return end_sequence(pipeline, state, path, at, "completed"), []
    branch = end_sequence(pipeline, state, path, at, "cancelled") if node.around else []
    if is_cleanup:
        if branch:
            return [BranchesCancelled(at=at, path=""), *branch], []
        return end_sequence(pipeline, state, path, at, "completed"), []
    given = get_inputs(state, path)
    reason = get_text(given, "reason")
    ending = announce_end(at, "cancelled" if given.get("status") == "cancelled" else "completed", reason=reason)
    return [ending, *branch], []


ACTION = CoreAction(
    use="flow.stop", input=StopInputs, syntax=CoreSyntax(ends_run=True), begin=_begin, complete=_complete
)
