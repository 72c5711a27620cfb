"""The names that expressions can read: a lazy view of a run's state, as seen from one step.

Values are decoded only when an expression reads them, so the cost of a step depends on what it reads and not on the
size of the run.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cached_property, partial

from durable.history.state import State, StepState
from durable.history.words import Failure
from durable.links import make_link
from durable.path import frame_of, join_path, split_components
from durable.steps.node import BlockNode, CompiledPipeline, Names, Node
from durable.values import JSON


class LazyMapping(Mapping[str, object]):
    """A mapping that computes each value on first access and caches it."""

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
    """The position in a run, given by its frame, at which expressions are evaluated."""

    def __init__(self, pipeline: CompiledPipeline, state: State, frame: str) -> None:
        self.pipeline = pipeline
        self.state = state
        self.frame = frame
        self._components = split_components(frame)

    def path_of(self, id: str) -> str:
        """Return the path of a step, in the current item or turn of the loops that contain both."""
        node = self.pipeline.places[id]
        if not node.around:
            return id
        return ".".join([*(self._component(block) for block, _ in node.around), id])

    def _component(self, block: str) -> str:
        id = block.rpartition(".")[2]
        return self._components.get(id, id)

    def name_loops(self) -> Names:
        """Return the names of the enclosing loops' items and turns; inner names hide outer ones. `index` is that of the
        innermost loop."""
        names: dict[str, Callable[[], object]] = {}
        frame = self.frame
        while frame:
            if frame.endswith("]"):
                path, _, number = frame[:-1].rpartition("[")
                index, block = int(number), self.pipeline.blocks[path]
                names.setdefault("index", partial(_identity, index))
                for name, make in block.names_inside(self.state, path, index).items() if block.names_inside else ():
                    names.setdefault(name, make)
            frame = frame_of(frame)
        return names


class StepViews(Mapping[str, object]):
    """The value of `steps` in expressions: all steps by id, whether or not they were reached."""

    def __init__(self, context: EvaluationContext, ids: Iterable[str] | None = None) -> None:
        self._context = context
        self._ids = context.pipeline.places.keys() if ids is None else dict.fromkeys(ids)

    def __getitem__(self, key: str) -> object:
        if key not in self._ids:
            raise KeyError(key)
        return _view_step(self._context, self._context.path_of(key))

    def __iter__(self) -> Iterator[str]:
        return iter(self._ids)

    def __len__(self) -> int:
        return len(self._ids)


class RunScope(Mapping[str, object]):
    """The names that expressions of the step at `path` can read.

    `frame`: evaluate inside this frame of the step itself, such as one of its turns.
    `more`: additional names (`output`, `error`).

    Most expressions read a single name, so the other names are not prepared until one of them is read.
    """

    def __init__(
        self, pipeline: CompiledPipeline, state: State, path: str = "", *, frame: str | None = None, **more: JSON
    ) -> None:
        self._pipeline = pipeline
        self._state = state
        self._path = path
        self._frame = frame
        self._made: dict[str, object] = dict(more)

    def __getitem__(self, key: str) -> object:
        if key in self._made:
            return self._made[key]
        started = self._state.started
        value = started.inputs.load() if key == "inputs" and started else self._makers[key]()
        self._made[key] = value
        return value

    def __iter__(self) -> Iterator[str]:
        return iter(self._makers | self._made)  # error messages list the names in this order

    def __len__(self) -> int:
        return len(self._makers | self._made)

    @cached_property
    def _makers(self) -> dict[str, Callable[[], object]]:
        frame = frame_of(self._path) if self._frame is None else self._frame
        context = EvaluationContext(self._pipeline, self._state, frame)
        makers: dict[str, Callable[[], object]] = {
            "inputs": self._state.inputs.load,
            "trigger": partial(_load_trigger, self._state),
            "steps": partial(StepViews, context),
            "run": partial(_view_run, context),
            **context.name_loops(),
        }
        error = _find_error(context, self._path)
        if error is not None:
            makers["error"] = partial(to_document, error)
        return makers


def to_document(failure: Failure) -> dict[str, JSON]:
    """Return a failure as the API and expressions show it: `class code message step attempt details`, each possibly
    null."""
    return {
        "class": failure.error_class,
        "code": failure.code,
        "message": failure.message,
        "step": failure.step,
        "attempt": failure.attempt,
        "details": failure.details.load(),
    }


def _find_error(context: EvaluationContext, path: str) -> Failure | None:
    """Return the failure that `error` names at a path: that of the innermost enclosing `catch`, or that of the run."""
    node = context.pipeline.nodes[path] if path else None
    for block, branch in reversed(node.around if node else ()):
        if branch in context.pipeline.nodes[block].catching:
            known = context.state.blocks.get(context.path_of(block.rpartition(".")[2]))
            if known:
                return known.error
    return context.state.error


# -- steps ------------------------------------------------------------------------------------------------------


def _view_step(context: EvaluationContext, path: str) -> LazyMapping:
    step = context.state.steps.get(path) or StepState("skipped")  # in a branch that was not taken
    return LazyMapping(
        {
            "status": lambda: step.status,
            "output": partial(_view_output, context, path, step),
            "error": lambda: to_document(step.error) if step.error else None,
            "attempts": lambda: step.attempt,
        }
    )


def _view_output(context: EvaluationContext, path: str, step: StepState) -> object:
    block = context.state.blocks.get(path)
    node = context.pipeline.nodes[path]
    if block is None or not isinstance(node, BlockNode):
        return step.output.load()
    return node.view(context, node, block, path) if node.view else None


def view_steps(context: EvaluationContext, loop: Node, frame: str) -> StepViews:
    """Return the steps of an item or a turn of a loop, without those of nested loops."""
    nodes, depth = context.pipeline.nodes, len(loop.around) + 1
    ids = [
        id
        for id, each in context.pipeline.places.items()
        if len(each.around) >= depth
        and each.around[depth - 1][0] == loop.path
        and not any(nodes[block].is_loop for block, _ in each.around[depth:])
    ]
    return StepViews(EvaluationContext(context.pipeline, context.state, frame), ids)


# -- the run ----------------------------------------------------------------------------------------------------


def _load_trigger(state: State) -> JSON:
    return state.started.arrival.load() if state.started else None


def _view_run(context: EvaluationContext) -> LazyMapping:
    started = context.state.started
    return LazyMapping(
        {
            "id": lambda: context.state.run,
            "pipeline": lambda: context.pipeline.id,
            "version": lambda: context.pipeline.version,
            "url": lambda: started.url if started else None,
            "service_url": partial(_get_service_url, context.state),
            "started_at": lambda: started.at if started else None,
            "links": partial(_list_links, context),
        }
    )


def _get_service_url(state: State) -> JSON:
    """The base URL of the service: the run's URL without its API path."""
    url = state.started.url if state.started else None
    return url.removesuffix(f"/api/runs/{state.run}") if url else None


def _list_links(context: EvaluationContext) -> LazyMapping:
    """Return the links to the run's waits, by step id. For a `wait.any`, the value is a mapping of links by wait
    name."""
    started = context.state.started
    if started is None or started.links is None:
        return LazyMapping({})
    to = partial(make_link, started.links.url, started.links.key, context.state.run)
    found: dict[str, Callable[[], object]] = {}
    for id, node in context.pipeline.places.items():
        if isinstance(node, BlockNode) or node.links is None:
            continue
        path = context.path_of(id)
        if node.links:
            found[id] = partial(_identity, {name: to(join_path(path, name)) for name in node.links})
        else:
            found[id] = partial(to, path)
    return LazyMapping(found)


def _identity(value: JSON) -> JSON:
    return value
