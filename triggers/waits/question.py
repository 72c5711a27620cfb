"""Questions: what a step waits for, as it is shown to those who answer."""

from collections.abc import Iterator
from dataclasses import dataclass

from durable.blocks.wait import ANY, LINKED
from durable.expressions.template import Template
from durable.history.entries import RunStarted
from durable.history.state import State, StepState
from durable.history.words import Await, AwaitKind
from durable.links import make_link
from durable.path import join_path
from durable.steps.node import ActionNode
from durable.values import JSON


@dataclass(frozen=True, slots=True)
class Question:
    """One thing that a step waits for. `name` is its name in a `wait.any`, or else empty; `due` (ms) is when the wait
    ends by itself; `fields` are JSON Schemas by name; `type` and `match` describe an event."""

    step: str
    name: str
    kind: AwaitKind
    due: int | None = None
    title: str | None = None
    to: tuple[str, ...] = ()
    fields: dict[str, JSON] | None = None
    type: str | None = None
    match: str | None = None

    @property
    def path(self) -> str:
        """The path of its link."""
        return join_path(self.step, self.name) if self.name else self.step

    @property
    def can_be_answered(self) -> bool:
        return self.kind in LINKED

    def link(self, run: str, started: RunStarted | None, waits_url: str | None) -> str | None:
        """Its address, if it is answered through a link. `waits_url` is where the service answers links now; the
        address that the run began with is not used, since nothing may listen there any more."""
        links = started.links if started else None
        return make_link(waits_url, links.key, run, self.path) if waits_url and links and self.can_be_answered else None


def find_questions(state: State) -> Iterator[Question]:
    """What a run waits for now. The inputs of the waiting steps must have been loaded."""
    for path in find_waiting_steps(state):
        yield from find_questions_of(path, state.steps[path])


def find_waiting_steps(state: State) -> Iterator[str]:
    """The steps that wait now."""
    for path in state.active:
        if path not in state.open and state.steps[path].awaits:
            yield path


def find_questions_of(path: str, step: StepState) -> Iterator[Question]:
    """What a waiting step waits for. Its input must have been loaded."""
    given = step.input.load()
    for each in step.awaits:
        yield _build_question(path, each, _find_input(given, each.name), each.due if each.due is not None else step.due)


def _find_input(given: JSON, name: str) -> dict[str, JSON]:
    """The input of a wait. Inside a `wait.any` it is under the wait's name."""
    for key in ("waits", name, "with") if name else ():
        given = given.get(key) if isinstance(given, dict) else None
    return given if isinstance(given, dict) else {}


def _build_question(path: str, each: Await, given: dict[str, JSON], due: int | None) -> Question:
    title, fields = given.get("title"), given.get("fields")
    return Question(
        step=path,
        name=each.name,
        kind=each.kind,
        due=due,
        title=title if isinstance(title, str) else None,
        to=_list_people(given.get("to")),
        fields=fields if isinstance(fields, dict) else None,
        type=each.type,
        match=each.match,
    )


def _list_people(to: JSON) -> tuple[str, ...]:
    return tuple(str(each) for each in (to if isinstance(to, list) else [to]) if each is not None)


# -- before it is asked -----------------------------------------------------------------------------------------


def find_uses(node: ActionNode) -> dict[str, str]:
    """The waits of a step by their names; the name of a single wait is empty."""
    if node.step.use != ANY:
        return {"": node.step.use}
    given = node.step.input
    waits = given.get("waits") if isinstance(given, dict) else None
    return {name: str(each.get("use")) for name, each in (waits or {}).items() if isinstance(each, dict)}


def foresee_question(node: ActionNode, path: str, name: str, kind: AwaitKind) -> Question | None:
    """What will be asked, as far as it is known before the step is reached; None if its fields are not known."""
    given = _find_input(node.step.input, name)
    if kind not in LINKED or not _is_constant(given.get("fields")):
        return None
    known = {key: value for key, value in given.items() if _is_constant(value)}
    return _build_question(path, Await(kind, name), known, None)


def _is_constant(tree: JSON) -> bool:
    return Template.parse(tree).is_constant
