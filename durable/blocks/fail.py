"""`flow.fail`: end the run as failed."""

from pydantic import Field

from durable.action import Inputs
from durable.blocks.block import CoreAction
from durable.blocks.endings import get_inputs, get_text
from durable.blocks.syntax import CoreSyntax
from durable.effects import Consequences
from durable.history.entries import StepFailed, StepScheduled
from durable.history.state import State
from durable.history.words import Failure
from durable.steps.node import CompiledPipeline


class FailInputs(Inputs, title="Fail"):
    """End the run as failed; `on_failure` follows."""

    message: str = Field(description="What went wrong, for people who read the run")
    code: str | None = Field(None, description="A code by which programs recognise this failure")


def _begin(pipeline: CompiledPipeline, state: State, entry: StepScheduled) -> Consequences:
    given = get_inputs(state, entry.path)
    failure = Failure.of(None, get_text(given, "code") or "failed", get_text(given, "message"), entry.path)
    return [StepFailed(at=entry.at, path=entry.path, error=failure)], []


ACTION = CoreAction(use="flow.fail", input=FailInputs, syntax=CoreSyntax(ends_run=True), begin=_begin)
