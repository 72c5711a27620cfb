"""The names that an expression can read: a lazy view of a run's state, as seen from a place in it.

Nothing is decoded before an expression asks for it, so that a step costs what it reads and not what the run holds.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial

import msgspec

from durable.definition import BlockNode, Definition, ForeachSpec, RepeatSpec
from durable.history import Block, Failure, State, StepState
from durable.links import link
from durable.path import components, frame_of, inside, numbered
from durable.values import JSON


class Lazy(Mapping[str, object]):
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


class Place:
    """A place in a run: the frame that stands around an expression, and what can be seen from there."""

    def __init__(self, definition: Definition, state: State, frame: str) -> None:
        self.definition = definition
        self.state = state
        self.frame = frame
        self._components = components(frame)

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


class Steps(Mapping[str, object]):
    """`steps`: steps by their ids, whether they were reached or not."""

    def __init__(self, place: Place, ids: Iterable[str] | None = None) -> None:
        self._place = place
        self._ids = place.definition.places.keys() if ids is None else dict.fromkeys(ids)

    def __getitem__(self, key: str) -> object:
        if key not in self._ids:
            raise KeyError(key)
        return _step(self._place, self._place.path_of(key))

    def __iter__(self) -> Iterator[str]:
        return iter(self._ids)

    def __len__(self) -> int:
        return len(self._ids)


def names(
    definition: Definition, state: State, path: str = "", *, frame: str | None = None, **more: JSON
) -> Mapping[str, object]:
    """What an expression of the step at `path` can read, or one inside that step's own `frame`; `more` are names of its
    place (`output`, `error`)."""
    place = Place(definition, state, frame_of(path) if frame is None else frame)
    known: dict[str, Callable[[], object]] = {
        "inputs": state.inputs.load,
        "trigger": partial(_trigger, state),
        "steps": partial(Steps, place),
        "run": partial(_run, place),
    }
    if place.frame:
        known |= _of_loops(place)
    error = _error(place, path)
    if error is not None:
        known["error"] = partial(described, error)
    return Lazy(known | {name: partial(_same, value) for name, value in more.items()})


def described(failure: Failure) -> dict[str, JSON]:
    """A failure as people and expressions read it: `class code message step attempt details`, each possibly null."""
    return {
        "class": failure.error_class,
        "code": failure.code,
        "message": failure.message,
        "step": failure.step,
        "attempt": failure.attempt,
        "details": failure.details.load(),
    }


def item(state: State, path: str, index: int) -> JSON:
    """An item of the `foreach` at that path; each is decoded when it is asked for."""
    block = state.blocks[path]
    items: list[msgspec.Raw] | None = state.memo.get(path)
    if items is None:
        block.items.load()  # says which payload is missing
        items = state.memo[path] = msgspec.json.decode(bytes(block.items.data), type=list[msgspec.Raw])
    value: JSON = msgspec.json.decode(items[index])
    return value


# -- what is around ---------------------------------------------------------------------------------------------


def _of_loops(place: Place) -> dict[str, Callable[[], object]]:
    """The items and turns around a place by their names; `index` is that of the innermost."""
    found: dict[str, Callable[[], object]] = {}
    for path, block, index in place.loops():
        found.setdefault("index", partial(_same, index))
        if isinstance(block.spec, ForeachSpec):
            found.setdefault(block.spec.name, partial(item, place.state, path, index))
    return found


def _error(place: Place, path: str) -> Failure | None:
    """The failure that is being answered at a place: that of the innermost `catch` around it, or that of the run."""
    node = place.definition.node(path) if path else None
    for block, branch in reversed(node.around if node else ()):
        if branch.startswith("catch "):
            known = place.state.blocks.get(place.path_of(block.rpartition(".")[2]))
            if known and known.kind == "try":
                return known.error
    return place.state.error


# -- steps ------------------------------------------------------------------------------------------------------


def _step(place: Place, path: str) -> Lazy:
    step = place.state.steps.get(path) or StepState("skipped")  # it stands in a branch that was not taken
    return Lazy(
        {
            "status": lambda: step.status,
            "output": partial(_output, place, path, step),
            "error": lambda: described(step.error) if step.error else None,
            "attempts": lambda: step.attempt,
        }
    )


def _output(place: Place, path: str, step: StepState) -> object:
    block = place.state.blocks.get(path)
    node = place.definition.node(path)
    if block is None or not isinstance(node, BlockNode):
        return step.output.load()
    match node.spec:
        case ForeachSpec():
            return [_item(place, node, block, path, index) for index in range(block.begun)]
        case RepeatSpec():
            return _inside(place, node, numbered(path, block.begun - 1))
    return None


def _item(place: Place, node: BlockNode, block: Block, path: str, index: int) -> Lazy:
    """What became of an item, and its steps by their ids."""
    failure = block.failures.get(index)
    status = "failed" if failure else "cancelled" if index in block.cancelled else "completed"
    return Lazy(
        {
            "status": lambda: status,
            "error": lambda: described(failure) if failure else None,
            "steps": partial(_inside, place, node, numbered(path, index)),
        }
    )


def _inside(place: Place, node: BlockNode, frame: str) -> Steps:
    """The steps of an item or a turn."""
    depth = len(node.around) + 1
    ids = [
        id
        for id, each in place.definition.places.items()
        if len(each.around) >= depth
        and each.around[depth - 1][0] == node.path
        and not any(
            isinstance(place.definition.nodes[block], BlockNode)
            and place.definition.nodes[block].spec.__class__ in (ForeachSpec, RepeatSpec)
            for block, _ in each.around[depth:]
        )
    ]
    return Steps(Place(place.definition, place.state, frame), ids)


# -- the run ----------------------------------------------------------------------------------------------------


def _trigger(state: State) -> JSON:
    return state.started.arrival.load() if state.started else None


def _run(place: Place) -> Lazy:
    started = place.state.started
    return Lazy(
        {
            "id": lambda: place.state.run,
            "pipeline": lambda: place.definition.spec.id,
            "version": lambda: place.definition.version,
            "url": lambda: started.url if started else None,
            "started_at": lambda: started.at if started else None,
            "links": partial(_links, place),
        }
    )


def _links(place: Place) -> Lazy:
    """Links to the waits that somebody can answer, by their ids; those of a `wait.any` by their names behind it."""
    started = place.state.started
    if started is None or started.links is None:
        return Lazy({})
    to = partial(link, started.links, place.state.run)
    found: dict[str, Callable[[], object]] = {}
    for id, node in place.definition.places.items():
        if isinstance(node, BlockNode) or not node.has_link:
            continue
        path = place.path_of(id)
        if node.spec.use == "wait.any":
            waits = node.spec.input["waits"]
            found[id] = partial(_same, {name: to(inside(path, name)) for name in waits})
        else:
            found[id] = partial(to, path)
    return Lazy(found)


def _same(value: JSON) -> JSON:
    return value
