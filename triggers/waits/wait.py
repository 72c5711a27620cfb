"""One wait of a run, and whether it can be answered."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, TypeAlias

from durable.blocks.wait import KINDS, LINKED
from durable.definition import Definition
from durable.history.state import State, StepState
from durable.history.words import AwaitKind, StepStatus
from durable.journal.scan import Scan
from durable.path import frame_of, join_path, strip_numbers
from durable.steps.node import ActionNode
from triggers.waits.question import (
    Question,
    find_questions,
    find_questions_of,
    find_uses,
    find_waiting_steps,
    foresee_question,
)

Standing: TypeAlias = Literal["asked", "early", "unknown", "over", "ended"]
"""`asked`: it waits. `early`: it may wait later, and an answer is kept until then. `unknown`: it may wait later, and
cannot be answered yet. `over`: it waits no more. `ended`: the run has ended."""

_PART = re.compile(r"[a-z][a-z0-9_]*(\[(0|[1-9][0-9]{0,8})\])?")


@dataclass(frozen=True, slots=True)
class Wait:
    """A wait of a run. Its `question` is known if it can be answered; `status` is that of its step."""

    step: str
    name: str
    kind: AwaitKind
    standing: Standing
    status: StepStatus = "pending"
    question: Question | None = None


def load_state(scan: Scan, run: str) -> State:
    """A run's state with the inputs of its waiting steps; empty if there is no such run. Raises `RunUnreadable`."""
    return load_inputs(scan, scan.load_state(run))


def load_inputs(scan: Scan, state: State) -> State:
    """Load the inputs of the waiting steps."""
    for path in find_waiting_steps(state):
        scan.load_value(state.steps[path].input)
        scan.rest()
    return state


def load_questions(scan: Scan, path: str, step: StepState) -> list[Question]:
    """What a waiting step waits for now; raises `RunUnreadable` if its input is lost. A large input is in memory only
    meanwhile."""
    scan.load_value(step.input)
    questions = list(find_questions_of(path, step))
    if step.input.ref:
        step.input.detach()
    return questions


def find_waits(scan: Scan, state: State, step: str) -> list[Wait]:
    """The waits of the step at a path, whether or not it was reached; empty if there is no such step or it is no
    wait."""
    found = state.steps.get(step)
    if found and found.awaits:
        return list(_list_reached(state, step))
    node = find_action(scan, state, step)
    return list(_list_planned(state, step, node)) if node else []


def find_linked_wait(scan: Scan, state: State, path: str) -> Wait | None:
    """The wait that a link leads to."""
    frame, name = frame_of(path), path.rpartition(".")[2]
    for step, wanted in ((path, ""), (frame, name)):
        for wait in find_waits(scan, state, step) if step else ():
            if wait.name == wanted and wait.kind in LINKED:
                return wait
    return None


def find_action(scan: Scan, state: State, path: str) -> ActionNode | None:
    """The action at a path of the run. Items and turns must be numbered, and nothing else may be."""
    data = scan.load_definition(state.started.version) if state.started else None
    if data is None:
        return None
    definition = Definition.load(data)
    parts = path.split(".")
    if not all(_fits(definition, ".".join(parts[:number])) for number in range(1, len(parts) + 1)):
        return None
    node = definition.nodes[path]
    return node if isinstance(node, ActionNode) and not node.is_inner else None


def _fits(definition: Definition, path: str) -> bool:
    node = definition.nodes.get(strip_numbers(path))
    if node is None or not _PART.fullmatch(path.rpartition(".")[2]):
        return False
    return path.endswith("]") == node.is_loop


def _list_reached(state: State, path: str) -> Iterator[Wait]:
    step = state.steps[path]
    asked = {each.name: each for each in find_questions(state) if each.step == path}
    for each in step.awaits:
        question = asked.get(each.name)
        standing: Standing = "ended" if state.finished else "asked" if question else "over"
        yield Wait(path, each.name, each.kind, standing, step.status, question)


def _list_planned(state: State, path: str, node: ActionNode) -> Iterator[Wait]:
    step = state.steps.get(path)
    for name, use in find_uses(node).items():
        if kind := KINDS.get(use):
            question = foresee_question(node, path, name, kind)
            standing = _find_standing(state, path, name, question)
            yield Wait(path, name, kind, standing, step.status if step else "pending", question)


def _find_standing(state: State, path: str, name: str, question: Question | None) -> Standing:
    if state.finished:
        return "ended"
    is_answered = (join_path(path, name) if name else path) in state.early
    if is_answered or path in state.steps or state.main or state.ending:
        return "over"
    return "early" if question else "unknown"
