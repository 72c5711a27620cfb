"""Makes the entries that end a step, a block or a part of the run."""

from durable.durations import parse_duration
from durable.effects import Abandon, Effect, FollowUp, PostMessage
from durable.expressions.expression import ExpressionError
from durable.history.entries import (
    BranchEnded,
    MainEnded,
    MainEnding,
    RunFinished,
    StepCancelled,
    StepCompleted,
    StepFailed,
)
from durable.history.state import BlockState, State
from durable.history.words import EndStatus, Failure
from durable.messages import CancelMessage, encode_message
from durable.path import frame_of, split_frame
from durable.scope import EvaluationContext, RunScope
from durable.steps.node import ActionNode, CompiledPipeline
from durable.values import JSON, NULL, NotJSON, Value

CLEANUP_TIMEOUT = parse_duration("1h")


# -- steps ------------------------------------------------------------------------------------------------------


def refuse_step(path: str, at: int, message: str) -> StepFailed:
    """Fail a step whose expressions cannot be evaluated, or whose input is invalid."""
    return StepFailed(at=at, path=path, error=Failure.of("invalid", "expression", message, path))


def explain_failure(pipeline: CompiledPipeline, state: State, path: str, error: Exception) -> str:
    """Return the error's message, and which of the steps that the expression reads were not performed."""
    read = {name[1] for name in pipeline.nodes[path].names if name[0] == "steps" and len(name) > 1}
    context = EvaluationContext(pipeline, state, frame_of(path))
    found = {id: state.steps.get(context.path_of(id)) for id in sorted(read & pipeline.places.keys())}
    missing = [
        f"step {id!r} was {'skipped' if step else 'not performed'}"
        for id, step in found.items()
        if step is None or step.status == "skipped"
    ]
    return f"{error} ({', '.join(missing)})" if missing else str(error)


def complete_step(
    pipeline: CompiledPipeline, state: State, node: ActionNode, path: str, at: int, output: Value
) -> StepCompleted | StepFailed:
    """End a step that the core performs itself; `keep` is applied to its output."""
    if node.keep:
        try:
            output = Value.of(node.keep.render(RunScope(pipeline, state, path, output=output.load()))[0])
        except (ExpressionError, NotJSON) as error:
            return refuse_step(path, at, f"keep: {error}")
    return StepCompleted(at=at, path=path, attempt=1, output=output)


def abandon_step(state: State, path: str) -> list[Effect]:
    """Return the effects that stop a running step: its attempt or wait, and the run that it called."""
    child = state.steps[path].child
    if child is None:
        return [Abandon(path)]
    cancel = encode_message(CancelMessage(explain_abandonment(state, path)))
    return [Abandon(path), PostMessage(child, *cancel)]


def explain_abandonment(state: State, path: str) -> str:
    """Return the reason with which the end of a step cancels the run that it called. A retry recognises it."""
    return f"step {path} of {state.run}, which called it, has ended"


def get_inputs(state: State, path: str) -> dict[str, JSON]:
    """Return the rendered inputs of a step."""
    given = state.steps[path].input.load()
    return given if isinstance(given, dict) else {}


def get_text(given: dict[str, JSON], name: str) -> str | None:
    value = given.get(name)
    return value if value is None or isinstance(value, str) else Value.of(value).text


# -- blocks and sequences ---------------------------------------------------------------------------------------


def end_block(block: BlockState, path: str, at: int) -> FollowUp:
    """End a block whose branches have ended."""
    if block.is_cancelled:
        return StepCancelled(at=at, path=path)
    if block.error is not None:
        return StepFailed(at=at, path=path, error=block.error)
    return StepCompleted(at=at, path=path)


def end_sequence(
    pipeline: CompiledPipeline, state: State, path: str, at: int, status: EndStatus, error: Failure | None = None
) -> list[FollowUp]:
    """End the sequence that contains a step, because of that step."""
    node = pipeline.nodes[path]
    if node.around:
        block, index = split_frame(frame_of(path))
        return [BranchEnded(at=at, path=block, branch=node.branch, index=index, status=status, error=error)]
    if node.part == "cleanup":
        return [_finish_cleanup(state, at, status, error)]
    return [] if state.main else [finish_main(pipeline, state, at, status, error)]


# -- the main part ----------------------------------------------------------------------------------------------


def finish_main(
    pipeline: CompiledPipeline, state: State, at: int, status: EndStatus, error: Failure | None = None
) -> MainEnded:
    """End the main part, with its last step or as announced."""
    if state.ending:
        ending = state.ending
        return end_main(pipeline, ending.status, at, error=ending.error, reason=ending.reason)
    if status == "failed":
        return end_main(pipeline, "failed", at, error=error)
    outputs = NULL
    if pipeline.outputs is not None:
        try:
            outputs = Value.of(pipeline.outputs.render(RunScope(pipeline, state))[0])
        except (ExpressionError, NotJSON) as error_in_outputs:
            failure = Failure.of("invalid", "outputs", f"outputs: {error_in_outputs}")
            return end_main(pipeline, "failed", at, error=failure)
    return MainEnded(at=at, status="completed", outputs=outputs)


def end_main(
    pipeline: CompiledPipeline,
    status: EndStatus,
    at: int,
    *,
    error: Failure | None = None,
    reason: str | None = None,
    cleanup_error: Failure | None = None,
) -> MainEnded:
    has_cleanup = status == "failed" and pipeline.firsts["cleanup"] is not None
    deadline = at + CLEANUP_TIMEOUT if has_cleanup else None
    return MainEnded(at=at, status=status, error=error, reason=reason, deadline=deadline, cleanup_error=cleanup_error)


def announce_end(at: int, status: EndStatus, *, error: Failure | None = None, reason: str | None = None) -> MainEnding:
    """Announce an early end of the main part."""
    return MainEnding(at=at, status=status, error=error, reason=reason, deadline=at + CLEANUP_TIMEOUT)


# -- the cleanup ------------------------------------------------------------------------------------------------


def _finish_cleanup(state: State, at: int, status: EndStatus, error: Failure | None) -> RunFinished:
    """End the run after `on_failure`. A failure of `on_failure` is recorded."""
    if status == "failed":
        return RunFinished(at=at, status="failed", cleanup_error=error)
    cleanup_error = state.main.cleanup_error if state.main else None
    return RunFinished(at=at, status=get_main_status(state), cleanup_error=cleanup_error)


def get_main_status(state: State) -> EndStatus:
    return state.main.status if state.main else "failed"
