"""The names that an expression can read: a lazy view of a run's state, as seen from a place in it.

Nothing is decoded before an expression asks for it, so that a step costs what it reads and not what the run holds.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial

import msgspec

from durable.definition.definition import Definition
from durable.definition.node import BlockNode
from durable.definition.step import ForeachStep, RepeatStep
from durable.history.state import BlockState, State, StepState
from durable.history.words import Failure
from durable.links import make_link
from durable.path import frame_of, join_path, number_frame, split_components
from durable.values import JSON


class LazyMapping(Mapping[str, object]):
    """A mapping whose values are made when they are asked for, once."""

    def __init__(self, makers: Mapping[str, Callable[[], object]]) -> None:
        self._makers = makers
        self._made: dict[str, object] = {}

    def __getitem__(self, key: str) -> object:
        if key not in self._made:
            self._made[key] = self._makers[key]()
        return self._made[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._makers)

    def __len__(self) -> int:
        return len(self._makers)


class EvaluationContext:
    """A place in a run: the frame that stands around an expression, and what can be seen from there."""

    def __init__(self, definition: Definition, state: State, frame: str) -> None:
        self.definition = definition
        self.state = state
        self.frame = frame
        self._components = split_components(frame)

    def path_of(self, id: str) -> str:
        """The path of a step as it is meant here: in the same item or turn of the blocks that stand around both."""
        node = self.definition.places[id]
        if not node.around:
            return id
        return ".".join([*(self._component(block) for block, _ in node.around), id])

    def _component(self, block: str) -> str:
        id = block.rpartition(".")[2]
        return self._components.get(id, id)

    def loops(self) -> Iterator[tuple[str, BlockNode, int]]:
        """The items and turns in which the place is, the innermost first: the block's path, the block, the number."""
        frame = self.frame
        while frame:
            if frame.endswith("]"):
                path, _, number = frame[:-1].rpartition("[")
                yield path, self.definition.block(path), int(number)
            frame = frame_of(frame)


class StepViews(Mapping[str, object]):
    """`steps`: steps by their ids, whether they were reached or not."""

    def __init__(self, place: EvaluationContext, ids: Iterable[str] | None = None) -> None:
        self._place = place
        self._ids = place.definition.places.keys() if ids is None else dict.fromkeys(ids)

    def __getitem__(self, key: str) -> object:
        if key not in self._ids:
            raise KeyError(key)
        return _view_step(self._place, self._place.path_of(key))

    def __iter__(self) -> Iterator[str]:
        return iter(self._ids)

    def __len__(self) -> int:
        return len(self._ids)


def build_scope(
    definition: Definition, state: State, path: str = "", *, frame: str | None = None, **more: JSON
) -> Mapping[str, object]:
    """What an expression of the step at `path` can read, or one inside that step's own `frame`; `more` are names of its
    place (`output`, `error`)."""
    place = EvaluationContext(definition, state, frame_of(path) if frame is None else frame)
    known: dict[str, Callable[[], object]] = {
        "inputs": state.inputs.load,
        "trigger": partial(_load_trigger, state),
        "steps": partial(StepViews, place),
        "run": partial(_view_run, place),
    }
    if place.frame:
        known |= _list_loop_names(place)
    error = _find_error(place, path)
    if error is not None:
        known["error"] = partial(to_document, error)
    return LazyMapping(known | {name: partial(_identity, value) for name, value in more.items()})


def to_document(failure: Failure) -> dict[str, JSON]:
    """A failure as people and expressions read it: `class code message step attempt details`, each possibly null."""
    return {
        "class": failure.error_class,
        "code": failure.code,
        "message": failure.message,
        "step": failure.step,
        "attempt": failure.attempt,
        "details": failure.details.load(),
    }


def load_item(state: State, path: str, index: int) -> JSON:
    """An item of the `foreach` at that path; each is decoded when it is asked for."""
    block = state.blocks[path]
    items: list[msgspec.Raw] | None = state.memo.get(path)
    if items is None:
        block.items.load()  # says which payload is missing
        items = state.memo[path] = msgspec.json.decode(bytes(block.items.data), type=list[msgspec.Raw])
    value: JSON = msgspec.json.decode(items[index])
    return value


# -- what is around ---------------------------------------------------------------------------------------------


def _list_loop_names(place: EvaluationContext) -> dict[str, Callable[[], object]]:
    """The items and turns around a place by their names; `index` is that of the innermost."""
    found: dict[str, Callable[[], object]] = {}
    for path, block, index in place.loops():
        found.setdefault("index", partial(_identity, index))
        if isinstance(block.spec, ForeachStep):
            found.setdefault(block.spec.name, partial(load_item, place.state, path, index))
    return found


def _find_error(place: EvaluationContext, path: str) -> Failure | None:
    """The failure that is being answered at a place: that of the innermost `catch` around it, or that of the run."""
    node = place.definition.node(path) if path else None
    for block, branch in reversed(node.around if node else ()):
        if branch.startswith("catch "):
            known = place.state.blocks.get(place.path_of(block.rpartition(".")[2]))
            if known and known.kind == "try":
                return known.error
    return place.state.error


# -- steps ------------------------------------------------------------------------------------------------------


def _view_step(place: EvaluationContext, path: str) -> LazyMapping:
    step = place.state.steps.get(path) or StepState("skipped")  # it stands in a branch that was not taken
    return LazyMapping(
        {
            "status": lambda: step.status,
            "output": partial(_view_output, place, path, step),
            "error": lambda: to_document(step.error) if step.error else None,
            "attempts": lambda: step.attempt,
        }
    )


def _view_output(place: EvaluationContext, path: str, step: StepState) -> object:
    block = place.state.blocks.get(path)
    node = place.definition.node(path)
    if block is None or not isinstance(node, BlockNode):
        return step.output.load()
    match node.spec:
        case ForeachStep():
            return [_view_item(place, node, block, path, index) for index in range(block.begun)]
        case RepeatStep():
            return _view_steps(place, node, number_frame(path, block.begun - 1))
    return None


def _view_item(place: EvaluationContext, node: BlockNode, block: BlockState, path: str, index: int) -> LazyMapping:
    """What became of an item, and its steps by their ids."""
    failure = block.failures.get(index)
    status = "failed" if failure else "cancelled" if index in block.cancelled else "completed"
    return LazyMapping(
        {
            "status": lambda: status,
            "error": lambda: to_document(failure) if failure else None,
            "steps": partial(_view_steps, place, node, number_frame(path, index)),
        }
    )


def _view_steps(place: EvaluationContext, node: BlockNode, frame: str) -> StepViews:
    """The steps of an item or a turn."""
    depth = len(node.around) + 1
    ids = [
        id
        for id, each in place.definition.places.items()
        if len(each.around) >= depth
        and each.around[depth - 1][0] == node.path
        and not any(
            isinstance(place.definition.nodes[block], BlockNode)
            and place.definition.nodes[block].spec.__class__ in (ForeachStep, RepeatStep)
            for block, _ in each.around[depth:]
        )
    ]
    return StepViews(EvaluationContext(place.definition, place.state, frame), ids)


# -- the run ----------------------------------------------------------------------------------------------------


def _load_trigger(state: State) -> JSON:
    return state.started.arrival.load() if state.started else None


def _view_run(place: EvaluationContext) -> LazyMapping:
    started = place.state.started
    return LazyMapping(
        {
            "id": lambda: place.state.run,
            "pipeline": lambda: place.definition.spec.id,
            "version": lambda: place.definition.version,
            "url": lambda: started.url if started else None,
            "service_url": partial(_service_url, place.state),
            "started_at": lambda: started.at if started else None,
            "links": partial(_list_links, place),
        }
    )


def _service_url(state: State) -> JSON:
    """The address of the service, which is the run's own without the path that the API gives it."""
    url = state.started.url if state.started else None
    return url.removesuffix(f"/api/runs/{state.run}") if url else None


def _list_links(place: EvaluationContext) -> LazyMapping:
    """Links to the waits that somebody can answer, by their ids; those of a `wait.any` by their names behind it."""
    started = place.state.started
    if started is None or started.links is None:
        return LazyMapping({})
    to = partial(make_link, started.links, place.state.run)
    found: dict[str, Callable[[], object]] = {}
    for id, node in place.definition.places.items():
        if isinstance(node, BlockNode) or not node.has_link:
            continue
        path = place.path_of(id)
        if node.spec.use == "wait.any":
            waits = node.spec.input["waits"]
            found[id] = partial(_identity, {name: to(join_path(path, name)) for name in waits})
        else:
            found[id] = partial(to, path)
    return LazyMapping(found)


def _identity(value: JSON) -> JSON:
    return value
