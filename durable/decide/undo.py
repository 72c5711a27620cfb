"""Undo: the effects of steps are taken back one by one, the last first.

What is to be taken back is chosen when `flow.undo` is reached. A step without a checkpoint whose effect may be there is
first repeated under its own key, where it may be, to learn its output. What cannot be taken back is noted, and stays
visible in the run.
"""

from collections.abc import Iterator

from durable.decide.attempts import render_undo_input
from durable.definition.definition import Definition
from durable.effects import FollowUp
from durable.expressions import ExpressionError
from durable.history.entries import StepCompleted, StepFailed, StepScheduled, UndoFailed, UndoStarted
from durable.history.state import State
from durable.history.words import Failure
from durable.path import frame_of, is_repetition, make_again_path, make_undo_path, strip_numbers
from durable.scope import build_scope, to_document
from durable.values import JSON, NotJSON, Value


def begun(definition: Definition, state: State, entry: StepScheduled) -> list[FollowUp]:
    """A `flow.undo` was reached."""
    given = state.steps[entry.path].input.load()
    steps = given.get("steps") if isinstance(given, dict) else None
    wanted = {str(step) for step in steps} if isinstance(steps, list) else None
    targets = tuple(_targets(state, wanted))
    return [UndoStarted(at=entry.at, path=entry.path, targets=targets)]


def _targets(state: State, wanted: set[str] | None) -> Iterator[str]:
    for path in reversed(state.undos):
        undo, step = state.undos[path], state.steps[path]
        is_wanted = wanted is None or not wanted.isdisjoint(strip_numbers(path).split("."))
        has_effect = step.status == "completed" or step.is_doubtful or step.has_returned
        is_free = undo.status == "registered" or (undo.status == "failed" and undo.by not in state.open)
        if is_wanted and has_effect and is_free and path not in state.active:
            yield path


def go_on(definition: Definition, state: State, by: str, at: int) -> list[FollowUp]:
    """Take back the next effect; after the last the `flow.undo` is done, and says what it could not do."""
    if by not in state.open:
        return []
    targets = state.blocks[by].targets
    for target in targets:
        if state.undos[target].status == "chosen":
            return [_next(definition, state, target, at)]
    done: list[JSON] = [target for target in targets if state.undos[target].status == "done"]
    left: list[JSON] = [_left(state, target) for target in targets if state.undos[target].status == "failed"]
    return [StepCompleted(at=at, path=by, attempt=1, output=Value.of({"undone": done, "not_undone": left}))]


def _left(state: State, target: str) -> JSON:
    error = state.undos[target].error
    return {"step": target, "error": to_document(error) if error else None}


def _next(definition: Definition, state: State, target: str, at: int) -> FollowUp:
    undo, step, node = state.undos[target], state.steps[target], definition.action(target)
    if undo.input is not None:
        path = make_undo_path(target, undo.passes)
        return StepScheduled(at=at, path=path, input=undo.input, secrets=undo.secrets)
    if step.status == "completed" or step.has_returned:
        return _rendered(definition, state, target, step.output, at)
    if node.spec.on_crash == "retry":
        return StepScheduled(at=at, path=make_again_path(target, undo.passes), input=step.input, secrets=step.secrets)
    message = "nobody knows whether the step took effect, and it may not be repeated to learn that"
    return UndoFailed(at=at, path=target, error=Failure.of("crash", "unknown_effect", message, target))


def _rendered(definition: Definition, state: State, target: str, output: Value, at: int) -> FollowUp:
    node = definition.action(target)
    try:
        given, secrets = render_undo_input(node, build_scope(definition, state, target, output=output.load()))
    except (ExpressionError, NotJSON) as error:
        return UndoFailed(at=at, path=target, error=Failure.of("invalid", "expression", f"undo: {error}", target))
    path = make_undo_path(target, state.undos[target].passes)
    return StepScheduled(at=at, path=path, input=given or Value.of(None), secrets=secrets)


def step_ended(definition: Definition, state: State, entry: StepCompleted | StepFailed) -> list[FollowUp]:
    """An undo, or what was repeated to learn its output, has ended."""
    target = frame_of(entry.path)
    undo = state.undos[target]
    if isinstance(entry, StepFailed):
        return [UndoFailed(at=entry.at, path=target, error=entry.error)]
    if is_repetition(entry.path):
        return [_rendered(definition, state, target, entry.output, entry.at)]
    return go_on(definition, state, undo.by or "", entry.at)
