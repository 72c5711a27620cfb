"""The names that an expression can read: a lazy view of a run's state.

Nothing is decoded before an expression asks for it, so that a step costs what it reads and not what the run holds.
"""

from collections.abc import Callable, Iterator, Mapping
from functools import partial

from durable.definition import Definition
from durable.history import Failure, State, StepState
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


class Steps(Mapping[str, object]):
    """`steps`: every step of the definition by its id, whether it was reached or not."""

    def __init__(self, definition: Definition, state: State) -> None:
        self._definition = definition
        self._state = state

    def __getitem__(self, key: str) -> object:
        if key not in self._definition.nodes:
            raise KeyError(key)
        return _step(self._state.steps.get(key) or StepState("pending"))

    def __iter__(self) -> Iterator[str]:
        return iter(self._definition.nodes)

    def __len__(self) -> int:
        return len(self._definition.nodes)


def names(definition: Definition, state: State, **more: JSON) -> Mapping[str, object]:
    """What an expression of the run can read; `more` are names of its place (`output`, `error`)."""
    run: dict[str, Callable[[], object]] = {
        "inputs": state.inputs.load,
        "trigger": partial(_trigger, state),
        "steps": partial(Steps, definition, state),
        "run": partial(_run, definition, state),
    }
    if state.error is not None:
        run["error"] = partial(described, state.error)
    return Lazy(run | {name: partial(_same, value) for name, value in more.items()})


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


def _step(step: StepState) -> Lazy:
    return Lazy(
        {
            "status": lambda: step.status,
            "output": step.output.load,
            "error": lambda: described(step.error) if step.error else None,
            "attempts": lambda: step.attempt,
        }
    )


def _trigger(state: State) -> JSON:
    return state.started.arrival.load() if state.started else None


def _run(definition: Definition, state: State) -> dict[str, JSON]:
    started = state.started
    return {
        "id": state.run,
        "pipeline": definition.spec.id,
        "version": definition.version,
        "url": started.url if started else None,
        "started_at": started.at if started else None,
    }


def _same(value: JSON) -> JSON:
    return value
