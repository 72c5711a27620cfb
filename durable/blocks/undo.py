"""`flow.undo`: undoes the effects of steps one by one, in reverse order.

The steps to undo are chosen when the `flow.undo` is reached. If a step may have had an effect but has no checkpoint, it
is first repeated under its own idempotency key, where that is allowed, to learn its output. A step that cannot be
undone is recorded, and remains visible in the run.
"""

from collections.abc import Iterator, Mapping

from pydantic import Field, field_validator

from durable.action import Inputs
from durable.blocks.block import Block, CoreAction
from durable.blocks.syntax import CoreSyntax, Outline, hold
from durable.effects import Consequences, FollowUp
from durable.expressions.expression import ExpressionError
from durable.history.entries import StepCompleted, StepFailed, StepScheduled, UndoFailed, UndoStarted
from durable.history.state import BlockState, State
from durable.history.words import Failure, SecretPlaceholder
from durable.known_values import is_template
from durable.path import frame_of, is_repetition, make_again_path, make_undo_path, strip_numbers
from durable.problem import DataProblem
from durable.scope import RunScope, to_document
from durable.spec_model import Identifier, Mapped, get_in, get_list
from durable.steps.node import ActionNode, CompiledPipeline
from durable.steps.resolved import ConnectionChoice
from durable.values import JSON, NotJSON, Value
from durable.wording import quote, suggest


class UndoInputs(Inputs, title="Undo"):
    """Undo the named steps, or all steps, in reverse order."""

    steps: list[Identifier] | None = Field(
        None, min_length=1, description="The ids of the steps or blocks to undo; default: all"
    )

    @field_validator("steps", mode="before")
    @classmethod
    def _is_given(cls, steps: object) -> object:
        if steps is None:
            raise ValueError("it is null; leave it out to undo all")
        return steps


def render_undo_input(
    node: ActionNode, scope: Mapping[str, object], given: Value
) -> tuple[Value | None, tuple[SecretPlaceholder, ...]]:
    """Render the input of a step's undo; `given` is the step's own input. Raises `ExpressionError` or `NotJSON`."""
    if node.undo is None or node.step.undo is None:
        return None, ()
    if (defaults := node.step.undo.step_inputs) is not None:
        inputs = given.load()
        scope = {"inputs": defaults | inputs if isinstance(inputs, dict) else defaults, "output": scope["output"]}
    rendered, secrets = node.undo.render(scope)
    return Value.of(rendered), secrets


# -- state ------------------------------------------------------------------------------------------------------


def _fold_start(state: State, entry: UndoStarted) -> None:
    path = entry.path
    state.active.pop(path, None)
    state.open[path] = None
    state.blocks[path] = BlockState(BLOCK.kind, targets=entry.targets, survives_cancel=True)
    for target in entry.targets:
        undo = state.undos[target]
        undo.status, undo.by, undo.passes = "chosen", path, undo.passes + 1


def _fold_failure(state: State, entry: UndoFailed) -> None:
    undo = state.undos[entry.path]
    undo.status, undo.error = "failed", entry.error


# -- decisions --------------------------------------------------------------------------------------------------


def _begin(pipeline: CompiledPipeline, state: State, entry: StepScheduled) -> Consequences:
    given = state.steps[entry.path].input.load()
    steps = given.get("steps") if isinstance(given, dict) else None
    wanted = {str(step) for step in steps} if isinstance(steps, list) else None
    return [UndoStarted(at=entry.at, path=entry.path, targets=tuple(_choose_targets(state, wanted)))], []


def _choose_targets(state: State, wanted: set[str] | None) -> Iterator[str]:
    for path in reversed(state.undos):
        undo, step = state.undos[path], state.steps[path]
        is_wanted = wanted is None or not wanted.isdisjoint(strip_numbers(path).split("."))
        has_effect = step.status == "completed" or step.is_doubtful or step.has_returned or step.pages is not None
        is_free = undo.status == "registered" or (undo.status == "failed" and undo.by not in state.open)
        if is_wanted and has_effect and is_free and path not in state.active:
            yield path


def _follow_start(pipeline: CompiledPipeline, state: State, entry: UndoStarted) -> Consequences:
    return _go_on(pipeline, state, entry.path, entry.at), []


def _follow_failure(pipeline: CompiledPipeline, state: State, entry: UndoFailed) -> Consequences:
    return _go_on(pipeline, state, state.undos[entry.path].by or "", entry.at), []


def _go_on(pipeline: CompiledPipeline, state: State, by: str, at: int) -> list[FollowUp]:
    """Undo the next effect. After the last one the `flow.undo` completes; its output lists the steps that could not be
    undone."""
    if by not in state.open:
        return []
    targets = state.blocks[by].targets
    for target in targets:
        if state.undos[target].status == "chosen":
            return [_take_back(pipeline, state, target, at)]
    done: list[JSON] = [target for target in targets if state.undos[target].status == "done"]
    left: list[JSON] = [_describe_failure(state, each) for each in targets if state.undos[each].status == "failed"]
    return [StepCompleted(at=at, path=by, attempt=1, output=Value.of({"undone": done, "not_undone": left}))]


def _describe_failure(state: State, target: str) -> JSON:
    error = state.undos[target].error
    return {"step": target, "error": to_document(error) if error else None}


def _take_back(pipeline: CompiledPipeline, state: State, target: str, at: int) -> FollowUp:
    undo, step = state.undos[target], state.steps[target]
    if undo.input is not None:
        path = make_undo_path(target, undo.passes)
        return _schedule(pipeline, state, target, path, at, undo.input, undo.secrets)
    if step.status == "completed" or step.has_returned:
        return _schedule_undo(pipeline, state, target, step.output, at)
    if pipeline.actions[target].step.on_crash == "retry":
        path = make_again_path(target, undo.passes)
        return _schedule(pipeline, state, target, path, at, step.input, step.secrets)
    message = "it is not known whether the step took effect, and it must not be repeated to find out"
    return UndoFailed(at=at, path=target, error=Failure.of("crash", "unknown_effect", message, target))


def _schedule_undo(pipeline: CompiledPipeline, state: State, target: str, output: Value, at: int) -> FollowUp:
    try:
        scope = RunScope(pipeline, state, target, output=output.load())
        given, secrets = render_undo_input(pipeline.actions[target], scope, state.steps[target].input)
    except (ExpressionError, NotJSON) as error:
        return UndoFailed(at=at, path=target, error=Failure.of("invalid", "expression", f"undo: {error}", target))
    path = make_undo_path(target, state.undos[target].passes)
    return _schedule(pipeline, state, target, path, at, given or Value.of(None), secrets)


def _schedule(
    pipeline: CompiledPipeline,
    state: State,
    target: str,
    path: str,
    at: int,
    given: Value,
    secrets: tuple[SecretPlaceholder, ...],
) -> StepScheduled:
    """Schedule the undo of a step, or its repetition, with the connection that was chosen for the step."""
    step, is_chosen = state.steps[target], isinstance(pipeline.actions[path].step.connection, ConnectionChoice)
    return StepScheduled(
        at=at,
        path=path,
        input=given,
        secrets=secrets,
        cleanup_pass=step.cleanup_pass,
        connection=step.connection if is_chosen else None,
    )


def follow_inner_step(pipeline: CompiledPipeline, state: State, entry: StepCompleted | StepFailed) -> Consequences:
    """Decide after the end of an undo, or of the repetition of a step to learn its output."""
    target = frame_of(entry.path)
    if isinstance(entry, StepFailed):
        return [UndoFailed(at=entry.at, path=target, error=entry.error)], []
    if is_repetition(entry.path):
        return [_schedule_undo(pipeline, state, target, entry.output, entry.at)], []
    return _go_on(pipeline, state, state.undos[target].by or "", entry.at), []


BLOCK = Block(kind="undo")


def _check(step: Mapped, outline: Outline) -> Iterator[DataProblem]:
    """Check that there is something to undo, and that the named steps can be undone."""
    if not outline.undoable:
        hint = "give a step an 'undo', which says what takes its effect back"
        yield DataProblem(("use",), "no step has an 'undo', so that nothing can be undone", hint)
        return
    given = get_list(get_in(step, "with", "steps"))
    named = {index: id for index, id in enumerate(given) if isinstance(id, str) and not is_template(id)}
    is_vain = len(named) == len(given) and set(outline.undoable).isdisjoint(named.values())
    for index, id in named.items():
        where = ("with", "steps", index)
        if id not in outline.ids:
            yield DataProblem(where, f"there is no step {quote(id)}", suggest(id, outline.undoable))
        elif id not in outline.undoable:
            what = f"neither the step {quote(id)} nor anything in it has an 'undo'"
            hint = f"those that have one: {', '.join(sorted(outline.undoable)[:12])}"
            yield DataProblem(where, what, hint, severity="error" if is_vain else "warning")


_SYNTAX = CoreSyntax(returns=hold("undone", "not_undone"), check=_check)


ACTION = CoreAction(
    use="flow.undo",
    input=UndoInputs,
    syntax=_SYNTAX,
    begin=_begin,
    decisions={UndoStarted: _follow_start, UndoFailed: _follow_failure},
    folds={UndoStarted: _fold_start, UndoFailed: _fold_failure},
)
