"""The plain step: performs a connector's action in one or more attempts, or an action of the core."""

from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeAlias

import msgspec
from pydantic import Discriminator, Field, JsonValue, Tag, ValidationError

from durable import retry
from durable.action import Action, OnCrash
from durable.blocks.block import Block
from durable.blocks.connection import ConnectionChoiceSpec, StepConnection, resolve_connection
from durable.blocks.core_actions import CORE_ACTIONS
from durable.blocks.endings import get_inputs, refuse_step
from durable.blocks.pages import fold_page, locate_attempt, locate_loss, request_next_page
from durable.blocks.policies import RetrySpec, merge_policies
from durable.blocks.syntax import Branch, Resolver, StepSpec, StepSyntax, find_branch
from durable.blocks.undo import render_undo_input
from durable.blocks.wait import ON_TIMEOUT
from durable.durations import Timeout, parse_duration
from durable.effects import Consequences, FollowUp, Perform
from durable.expressions.expression import ExpressionError
from durable.expressions.template import Template
from durable.history import entries
from durable.history.state import State
from durable.history.words import Failure, SecretPlaceholder
from durable.model_shape import get_shape
from durable.path import AGAIN, UNDO, join_path
from durable.problem import Pointer
from durable.scope import RunScope
from durable.spec_model import Identifier, Mapped, SpecModel
from durable.steps.node import ActionNode, AnyNode, CompiledPipeline
from durable.steps.resolved import ActionStep, ConnectionChoice, Steps
from durable.values import NotJSON, Value
from durable.wording import PROBLEMS_LIMIT, explain_error

if TYPE_CHECKING:
    from durable.blocks.syntax import AnyStep


# -- how it is written --------------------------------------------------------------------------------------------


class UndoSpec(SpecModel, title="Undo"):
    """The action that reverses the effect of a step."""

    use: str = Field(description="The action, as connector.action")
    connection: Identifier | None = Field(None, description="The name of the connection that the connector uses")
    with_: dict[str, JsonValue] | None = Field(
        None, alias="with", description="The inputs of the action; expressions read the step's output as `output`"
    )


def _choose_tag(value: object) -> str:
    return "steps" if isinstance(value, list | tuple) else "value"


OnTimeout: TypeAlias = Annotated[
    Annotated["tuple[AnyStep, ...]", Tag("steps")] | Annotated[JsonValue, Tag("value")],
    Discriminator(_choose_tag),
]


class ActionSpec(StepSpec):
    """A step that uses an action."""

    use: str = Field(description="The action: connector.action, flow.… or wait.…")
    with_: dict[str, JsonValue] | None = Field(None, alias="with", description="The inputs of the action")
    connection: StepConnection | None = Field(
        None,
        description="The name of the connection that the connector uses, or `{one_of: […], name: …}`, of which an "
        "expression chooses one",
    )
    retry: RetrySpec | None = Field(
        None, description="The retry policy; keys that are left out come from `defaults.retry`"
    )
    timeout: Timeout | None = Field(
        None, description="The time limit of one attempt; for wait.*, of the wait; for flow.call, of the called run"
    )
    keep: JsonValue = Field(None, description="What to store of `output` as the step's output; default: all of it")
    on_crash: OnCrash | None = Field(
        None,
        description="What to do after a crash when the outcome of an attempt is unknown: retry it, park the run until "
        "a person decides, or fail the step; default: as the action declares",
    )
    on_exhausted: Literal["fail", "pause"] | None = Field(
        None,
        description="What happens after the last attempt: the step fails (default), or the run is paused until a "
        "person decides",
    )
    undo: UndoSpec | Literal["none"] | None = Field(
        None,
        description="The action that reverses the step's effect, which flow.undo performs; default: what the connector "
        "declares; `none`: the effect stays",
    )
    on_timeout: OnTimeout | None = Field(
        None,
        description="What happens when a wait times out: `fail`, a value to use as the output, or steps to perform",
    )


OF_CONNECTORS = frozenset({"connection", "retry", "on_crash", "on_exhausted", "undo"})
"""Keys that are valid with a connector's action, but not with an action of the core."""


STEP_TIMEOUT = parse_duration("30s")


def _list_written_branches(step: Mapped, pointer: Pointer) -> Iterator[Branch]:
    yield from find_branch("on_timeout", step, pointer, may_be_left_out=True)


def _resolve_spec(spec: ActionSpec, resolver: Resolver) -> ActionStep:
    resolver.uses.add(spec.use)
    plain = ActionStep(
        id=spec.id,
        use=spec.use,
        input=spec.with_ or {},
        condition=spec.if_,
        keep=spec.keep,
        timeout=parse_duration(spec.timeout) if spec.timeout else None,
        connection=resolve_connection(spec.connection),
    )
    if spec.use in CORE_ACTIONS:
        return _add_timeout(plain, spec, resolver)
    return msgspec.structs.replace(
        _add_policy(plain, resolver, spec.retry, spec.on_crash),
        on_exhausted=spec.on_exhausted or "fail",
        undo=_resolve_undo(spec, plain, resolver),
    )


def _add_timeout(plain: ActionStep, spec: ActionSpec, resolver: Resolver) -> ActionStep:
    """Resolve `on_timeout`."""
    if isinstance(spec.on_timeout, tuple):
        steps = resolver.resolve_steps(spec.on_timeout)
        return msgspec.structs.replace(plain, times_out="steps", timeout_steps=steps)
    if "on_timeout" not in spec.model_fields_set or spec.on_timeout == "fail":
        return plain
    return msgspec.structs.replace(plain, times_out="value", timeout_value=spec.on_timeout)


def _add_policy(plain: ActionStep, resolver: Resolver, retry: RetrySpec | None, on_crash: OnCrash | None) -> ActionStep:
    found = resolver.find_action(plain.use)
    if found is None:
        return plain
    if found.stored is not None:
        resolver.stored[plain.use] = found.stored
    default = parse_duration(resolver.defaults.timeout) if resolver.defaults.timeout else STEP_TIMEOUT
    return msgspec.structs.replace(
        plain,
        urls=get_shape(found.input).urls(plain.input),
        retry=merge_policies(resolver.defaults.retry, retry),
        timeout=plain.timeout or default,
        on_crash=on_crash or found.on_crash,
        is_paged=found.returns_pages is not None and found.returns_pages(plain.input),
    )


def _resolve_undo(spec: ActionSpec, step: ActionStep, resolver: Resolver) -> ActionStep | None:
    """Resolve the undo of a step, or that which the connector declares."""
    if isinstance(spec.undo, UndoSpec):
        undo, connection = spec.undo, _inherit_connection(spec.undo, step)
        plain = ActionStep(id="undo", use=undo.use, input=undo.with_ or {}, connection=connection)
        return _add_policy(plain, resolver, None, None)
    action = resolver.find_action(spec.use) if resolver.fills_undo else None
    if spec.undo == "none" or action is None or action.undo is None:
        return None
    given = dict(action.undo.given)
    plain = ActionStep(
        id="undo",
        use=f"{spec.use.partition('.')[0]}.{action.undo.action}",
        input=given,
        connection=step.connection,
        step_inputs=_find_defaults(action, Template.parse(given)),
    )
    return _add_policy(plain, resolver, None, None)


def _inherit_connection(undo: UndoSpec, step: ActionStep) -> str | ConnectionChoice | None:
    """Return the connection of an undo: if its step chooses one, and it names none, that one."""
    is_same = undo.use.partition(".")[0] == step.use.partition(".")[0]
    if undo.connection is None and isinstance(step.connection, ConnectionChoice) and is_same:
        return step.connection
    return undo.connection


def _find_defaults(action: Action, undo: Template) -> dict[str, Any]:
    """Return the values of the inputs that an undo reads and a step need not give."""
    properties = action.input.model_json_schema().get("properties", {})
    read = {part for root, *rest in undo.names if root == "inputs" for part in (rest[:1] or properties)}
    return {name: properties[name].get("default") for name in properties if name in read}


# -- how it is stored and compiled --------------------------------------------------------------------------------


def _list_branches(step: ActionStep) -> Iterator[tuple[str, Steps]]:
    if step.timeout_steps:
        yield ON_TIMEOUT, step.timeout_steps


def _compile(step: ActionStep, common: Mapping[str, Any]) -> dict[str, AnyNode]:
    core = CORE_ACTIONS.get(step.use)
    node = ActionNode(
        **common,
        step=step,
        input=Template.parse(step.input, step.urls),
        keep=_parse_template(step.keep),
        undo=Template.parse(step.undo.input, step.undo.urls) if step.undo else None,
        timeout_value=_parse_template(step.timeout_value) if step.times_out == "value" else None,
        connection=Template.parse(step.connection.name) if isinstance(step.connection, ConnectionChoice) else None,
        links=core.links(step.input) if core and core.links else None,
        listens=core is not None and core.listens,
        counts_once=core is not None and core.counts_once,
        starts_durably=step.on_crash != "retry",
    )
    inner = _compile_inner(node, step, step.undo) if step.undo else {}
    return {node.path: node, **inner}


def _compile_inner(node: ActionNode, step: ActionStep, undo: ActionStep) -> dict[str, AnyNode]:
    """Compile the nodes of a step's undo, and of its repetition to learn its output. Their inputs are rendered in the
    scope of the step, when they start."""
    empty = Template.parse(None)
    return {
        path: ActionNode(
            step=each,
            path=path,
            part=node.part,
            around=node.around,
            input=empty,
            is_inner=True,
            is_cleanup=node.is_cleanup,
            starts_durably=each.on_crash != "retry",
        )
        for path, each in ((join_path(node.path, UNDO), undo), (join_path(node.path, AGAIN), step))
    }


def _parse_template(tree: Any) -> Template | None:
    return Template.parse(tree) if tree is not None else None


# -- beginning --------------------------------------------------------------------------------------------------


def _begin(
    pipeline: CompiledPipeline, state: State, entry: entries.StepScheduled | entries.StepReopened
) -> Consequences:
    """Perform the first attempt of a step whose input is rendered, or start the core's own action."""
    path, at = entry.path, entry.at
    node = pipeline.actions[path]
    step = node.step
    core = CORE_ACTIONS.get(step.use)
    if core is None:
        return [], [Perform(path, 1, at, node.starts_durably)]
    try:
        core.input.model_validate(get_inputs(state, path))
    except ValidationError as error:
        return [refuse_step(path, at, f"{step.use}: {_explain_inputs(error)}")], []
    return core.begin(pipeline, state, entry)


def _explain_inputs(error: ValidationError) -> str:
    """Join the problems into one text. Histories record it, so a different wording would be a different decision."""
    problems = error.errors(include_input=False, include_url=False)[:PROBLEMS_LIMIT]
    places = [".".join(map(str, problem["loc"])) for problem in problems]
    return "; ".join(
        f"{place}: {explain_error(problem)}" if place else explain_error(problem)
        for place, problem in zip(places, problems, strict=True)
    )


# -- the end of an attempt --------------------------------------------------------------------------------------


def _follow_failure(pipeline: CompiledPipeline, state: State, entry: entries.AttemptFailed) -> Consequences:
    node, path, at = pipeline.actions[entry.path], entry.path, entry.at
    step = node.step
    if entry.output is not None:
        return [entries.StepFailed(at=at, path=path, error=entry.error, output=entry.output)], []
    if entry.ending == "unknown" and step.on_crash == "park":
        return _park_step(node, state, path, entry.attempt, entry.error, at), []
    attempts = state.steps[path].counted_attempts
    is_given_up = entry.ending == "unknown" and step.on_crash == "fail"
    if is_given_up or not retry.allows_retry(step.retry, attempts, entry.error.error_class):
        return _exhaust_attempts(node, state, entry), []
    fraction = retry.compute_jitter(state.run, path, entry.attempt)
    due = at + retry.compute_delay(step.retry, attempts, fraction, entry.error.retry_after)
    return [entries.RetryScheduled(at=at, path=path, attempt=entry.attempt + 1, due=due)], []


def _follow_loss(pipeline: CompiledPipeline, state: State, entry: entries.AttemptLost) -> Consequences:
    path, at = entry.path, entry.at
    node = pipeline.actions[path]
    error = locate_loss(node, state.steps[path], entry)
    match node.step.on_crash:
        case "park":
            return _park_step(node, state, path, entry.attempt, error, at), []
        case "fail":
            return [entries.StepFailed(at=at, path=path, error=error)], []
        case "retry":
            return [entries.RetryScheduled(at=at, path=path, attempt=entry.attempt + 1, due=at)], []


def _follow_retry(pipeline: CompiledPipeline, state: State, entry: entries.RetryScheduled) -> Consequences:
    return [], [Perform(entry.path, entry.attempt, entry.due, pipeline.actions[entry.path].starts_durably)]


def _exhaust_attempts(node: ActionNode, state: State, entry: entries.AttemptFailed) -> list[FollowUp]:
    """Fail the step, or pause the run, after the last attempt."""
    path, at = entry.path, entry.at
    if node.step.on_exhausted == "fail":
        return [entries.StepFailed(at=at, path=path, error=entry.error)]
    place, attempt = locate_attempt(node, state.steps[path], path, entry.attempt)
    reason = f"step {place} failed in attempt {attempt}, the last: {entry.error.message}"
    return [
        entries.StepExhausted(at=at, path=path, attempt=entry.attempt, error=entry.error),
        entries.RunPaused(at=at, path=path, reason=reason),
    ]


def _park_step(node: ActionNode, state: State, path: str, attempt: int, failure: Failure, at: int) -> list[FollowUp]:
    place, number = locate_attempt(node, state.steps[path], path, attempt)
    reason = f"step {place} is uncertain: it is not known whether attempt {number} took effect ({failure.message})"
    return [
        entries.StepUncertain(at=at, path=path, attempt=attempt, error=failure),
        entries.RunPaused(at=at, path=path, reason=reason),
    ]


# -- a retry of the run -----------------------------------------------------------------------------------------


def reopen_action(pipeline: CompiledPipeline, state: State, entry: entries.StepReopened) -> Consequences:
    """Attempt the step again with its recorded input. One that is uncertain still needs a person, and an action that
    has returned is not repeated."""
    path, at = entry.path, entry.at
    step = state.steps[path]
    if step.status == "uncertain":
        return _park_step(pipeline.actions[path], state, path, step.attempt, step.error or Failure(), at), []
    if step.has_returned:
        return [entries.StepFailed(at=at, path=path, error=step.error or Failure(), output=step.output)], []
    if pipeline.actions[path].step.use in CORE_ACTIONS:
        return _begin(pipeline, state, entry)
    return [entries.RetryScheduled(at=at, path=path, attempt=step.attempt + 1, due=at)], []


# -- a person's decision ----------------------------------------------------------------------------------------


def _resolve(pipeline: CompiledPipeline, state: State, entry: entries.StepResolved) -> Consequences:
    path, at = entry.path, entry.at
    step = state.steps[path]
    match entry.verdict:
        case "retry":
            return [entries.RetryScheduled(at=at, path=path, attempt=step.attempt + 1, due=at)], []
        case "failed":
            message = entry.reason or (step.error.message if step.error else "a person decided so")
            failure = Failure.of(step.error.error_class if step.error else None, "resolved_failed", message, path)
            return [entries.StepFailed(at=at, path=path, error=failure)], []
        case "completed":
            return [_complete(pipeline, state, entry)], []


def _complete(pipeline: CompiledPipeline, state: State, entry: entries.StepResolved) -> entries.StepCompleted:
    """Make the checkpoint with a person's output. If its undo cannot be rendered, `flow.undo` reports that later."""
    path, node = entry.path, pipeline.actions[entry.path]
    undo: Value | None = None
    secrets: tuple[SecretPlaceholder, ...] = ()
    if node.undo:
        with suppress(ExpressionError, NotJSON):
            scope = RunScope(pipeline, state, path, output=entry.output.load())
            undo, secrets = render_undo_input(node, scope, state.steps[path].input)
    attempt = state.steps[path].attempt
    return entries.StepCompleted(
        at=entry.at, path=path, attempt=attempt, output=entry.output, undo=undo, undo_secrets=secrets
    )


_SYNTAX = StepSyntax(
    key="use",
    model=ActionSpec,
    resolve=_resolve_spec,
    list_branches=_list_written_branches,
    mapping_keys=("retry", "undo"),
    parts=(UndoSpec, ConnectionChoiceSpec),
    examples={
        "use": "http.get",
        "undo": "{use: http.delete, with: {…}}",
        "retry": "{max_attempts: 3}",
        "errors": "[network, timeout, server]",
    },
)

BLOCK = Block(
    kind="action",
    syntax=_SYNTAX,
    step=ActionStep,
    list_branches=_list_branches,
    compile=_compile,
    decisions={
        entries.StepScheduled: _begin,
        entries.RetryScheduled: _follow_retry,
        entries.AttemptFailed: _follow_failure,
        entries.AttemptLost: _follow_loss,
        entries.PageCompleted: request_next_page,
        entries.StepResolved: _resolve,
    },
    folds={entries.PageCompleted: fold_page},
)
