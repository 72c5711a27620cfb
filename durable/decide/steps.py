"""Decisions about steps and blocks of every kind: what starts, and what follows when it ends."""

from durable.blocks import loops
from durable.blocks.action import reopen_action
from durable.blocks.block import NONE, Decide
from durable.blocks.connection import choose_connection
from durable.blocks.core_actions import CORE_ACTIONS
from durable.blocks.endings import end_sequence, explain_failure, refuse_step
from durable.blocks.kinds import BLOCKS
from durable.blocks.reopening import resume_sequence
from durable.blocks.undo import follow_inner_step
from durable.decide.interruption import interrupt_steps
from durable.effects import BeginBranch, Consequences, EnterStep, FollowUp, HoldFork, Wake
from durable.expressions.expression import ExpressionError
from durable.history import entries
from durable.history.state import State
from durable.history.words import EndStatus
from durable.path import frame_of, join_path, number_frame
from durable.scope import RunScope
from durable.steps.node import ActionNode, AnyNode, BlockNode, CompiledPipeline
from durable.values import NotJSON, Value

# -- a step -----------------------------------------------------------------------------------------------------


def _enter_step(pipeline: CompiledPipeline, state: State, follow_up: EnterStep) -> Consequences:
    """Start a step, unless the block or the part of the run that contains it is ending."""
    path, at = follow_up.path, follow_up.at
    node = pipeline.nodes[path]
    if is_to_end(state, node, path):
        return end_sequence(pipeline, state, path, at, "cancelled"), []
    if path == state.fork_at:
        return [], [HoldFork(path)]
    if state.forked is not None and path == state.forked.path and state.forked.input is not None:
        return [_schedule_edited(pipeline, state, node, state.forked, state.forked.input, at)], []
    scope = RunScope(pipeline, state, path)
    try:
        if node.condition and not node.condition.holds(scope):
            return [entries.StepSkipped(at=at, path=path)], []
        if isinstance(node, BlockNode):
            kind = node.step.__struct_config__.tag  # type: ignore[attr-defined]  # a struct
            return [BLOCKS[kind].open(node, path, at, scope)], []
        rendered, secrets = node.input.render(scope)
        core = CORE_ACTIONS.get(node.step.use)
        if core is not None:
            rendered = core.write(core, rendered)
        scheduled = entries.StepScheduled(
            at=at,
            path=path,
            input=Value.of(rendered),
            secrets=secrets,
            has_undo=node.undo is not None,
            cleanup_pass=state.retries + 1 if node.is_cleanup else 1,
            connection=choose_connection(node, scope) if node.connection else None,
        )
        return [scheduled], []
    except (ExpressionError, NotJSON) as error:
        return [refuse_step(path, at, explain_failure(pipeline, state, path, error))], []


def _schedule_edited(
    pipeline: CompiledPipeline, state: State, node: AnyNode, fork: entries.RunForked, input: Value, at: int
) -> FollowUp:
    """Start the step of a fork with the input that it was given, even if its `if` is false."""
    path = fork.path
    if not isinstance(node, ActionNode):
        return entries.StepScheduled(at=at, path=path, input=input, secrets=fork.secrets)
    try:
        connection = choose_connection(node, RunScope(pipeline, state, path))
    except ExpressionError as error:
        return refuse_step(path, at, explain_failure(pipeline, state, path, error))
    return entries.StepScheduled(
        at=at,
        path=path,
        input=input,
        secrets=fork.secrets,
        has_undo=node.undo is not None,
        connection=connection,
    )


def is_to_end(state: State, node: AnyNode, path: str) -> bool:
    """Whether the block or the part of the run that contains a step starts nothing more."""
    if not node.around:
        return state.is_stopping if node.part == "cleanup" else state.ending is not None
    around = state.block_around(path)
    assert around is not None
    block = state.blocks[around[0]]
    return block.is_stopping and node.branch != BLOCKS[block.kind].cleanup


def _follow_step(
    pipeline: CompiledPipeline, state: State, entry: entries.StepCompleted | entries.StepSkipped
) -> Consequences:
    """After a step completed or was skipped, start the next step or end the sequence."""
    path, at = entry.path, entry.at
    node = pipeline.nodes[path]
    if isinstance(entry, entries.StepCompleted):
        if node.is_inner:
            return follow_inner_step(pipeline, state, entry)
        core = CORE_ACTIONS.get(node.step.use) if not isinstance(node, BlockNode) else None
        if core is not None and core.complete:
            return core.complete(pipeline, state, entry)
    if node.follower is not None:
        return [EnterStep(at, join_path(frame_of(path), node.follower))], []
    return end_sequence(pipeline, state, path, at, "completed"), []


def _follow_failure(pipeline: CompiledPipeline, state: State, entry: entries.StepFailed) -> Consequences:
    if pipeline.nodes[entry.path].is_inner:
        return follow_inner_step(pipeline, state, entry)
    return end_sequence(pipeline, state, entry.path, entry.at, "failed", entry.error), []


def _follow_cancel(pipeline: CompiledPipeline, state: State, entry: entries.StepCancelled) -> Consequences:
    if pipeline.nodes[entry.path].is_inner:
        return NONE
    return end_sequence(pipeline, state, entry.path, entry.at, "cancelled"), []


def _reopen_step(pipeline: CompiledPipeline, state: State, entry: entries.StepReopened) -> Consequences:
    """Continue a step or block that failed or was cancelled."""
    path = entry.path
    if path in state.open:
        return BLOCKS[state.blocks[path].kind].reopen(pipeline, state, entry)
    if path not in state.active:
        return NONE  # another reopened step has failed at once, and has cancelled this one
    return reopen_action(pipeline, state, entry)


# -- a block ----------------------------------------------------------------------------------------------------


def _start_block(pipeline: CompiledPipeline, state: State, entry: entries.BlockStarted) -> Consequences:
    begin = BLOCKS[entry.kind].begin
    return begin(pipeline, state, entry) if begin else NONE


def _begin_branch(pipeline: CompiledPipeline, state: State, follow_up: BeginBranch) -> Consequences:
    """Start a branch, unless its block is ending."""
    path, at = follow_up.path, follow_up.at
    state_of_block = state.blocks[path]
    block = BLOCKS[state_of_block.kind]
    if state_of_block.is_stopping and follow_up.branch != block.cleanup:
        if state_of_block.running:
            return NONE  # the end of its running branches ends the block
        return block.skip(pipeline, state, follow_up)
    if block.is_loop:
        return loops.begin_items(state, follow_up), []
    return [entries.BranchStarted(at=at, path=path, branch=follow_up.branch)], []


def _start_branch(pipeline: CompiledPipeline, state: State, entry: entries.BranchStarted) -> Consequences:
    path, at = entry.path, entry.at
    if not state.blocks[path].running:
        return NONE  # it has already ended, because its condition could not be evaluated
    first = pipeline.nodes[path].firsts.get(entry.branch)
    if first is None:
        end = entries.BranchEnded(at=at, path=path, branch=entry.branch, index=entry.index, status="completed")
        return [end], []
    return [EnterStep(at, join_path(number_frame(path, entry.index), first))], []


def _reopen_branch(pipeline: CompiledPipeline, state: State, entry: entries.BranchReopened) -> Consequences:
    """Continue a branch where it stopped, unless its block is ending again."""
    path, branch, index, at = entry.path, entry.branch, entry.index, entry.at
    first = pipeline.nodes[path].firsts.get(branch)
    block = state.blocks[path]
    is_ending = block.is_stopping and branch != BLOCKS[block.kind].cleanup
    if is_ending or first is None:
        status: EndStatus = "cancelled" if is_ending else "completed"
        return [entries.BranchEnded(at=at, path=path, branch=branch, index=index, status=status)], []
    return resume_sequence(pipeline, state, number_frame(path, index), first, at), []


def _end_branch(pipeline: CompiledPipeline, state: State, entry: entries.BranchEnded) -> Consequences:
    return BLOCKS[state.blocks[entry.path].kind].follow(pipeline, state, entry)


def _cancel_branches(pipeline: CompiledPipeline, state: State, entry: entries.BranchesCancelled) -> Consequences:
    if entry.path and entry.path not in state.open:
        return NONE
    return interrupt_steps(pipeline, state, entry.path, entry.at)


# -- timers -----------------------------------------------------------------------------------------------------


def _set_timer(pipeline: CompiledPipeline, state: State, entry: entries.TimerSet) -> Consequences:
    return [], [Wake(entry.path, entry.due)]


def _fire_timer(pipeline: CompiledPipeline, state: State, entry: entries.TimerFired) -> Consequences:
    path = entry.path
    if path in state.open:
        fire = BLOCKS[state.blocks[path].kind].fire
    else:
        core = CORE_ACTIONS.get(pipeline.actions[path].step.use)
        fire = core.fire if core else None
    return fire(pipeline, state, entry) if fire else NONE


STEP_DECISIONS: dict[type, Decide] = {
    EnterStep: _enter_step,
    BeginBranch: _begin_branch,
    entries.StepCompleted: _follow_step,
    entries.StepSkipped: _follow_step,
    entries.StepFailed: _follow_failure,
    entries.StepCancelled: _follow_cancel,
    entries.StepReopened: _reopen_step,
    entries.BlockStarted: _start_block,
    entries.BranchStarted: _start_branch,
    entries.BranchEnded: _end_branch,
    entries.BranchReopened: _reopen_branch,
    entries.BranchesCancelled: _cancel_branches,
    entries.TimerSet: _set_timer,
    entries.TimerFired: _fire_timer,
}
