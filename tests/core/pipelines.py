"""Random pipelines that use every construct of the language, nested in each other."""

from collections.abc import Sequence

from durable.action import OnCrash
from durable.blocks.foreach import ForeachStep
from durable.blocks.parallel import ParallelStep
from durable.blocks.repeat import RepeatStep
from durable.blocks.switch import SwitchCase, SwitchStep
from durable.blocks.try_ import CatchHandler, TryStep
from durable.definition import Definition
from durable.retry import RetryPolicy
from durable.steps.resolved import ActionStep, ConnectionChoice, ResolvedPipeline, ResolvedStep, Steps, make_steps
from durable.values import JSON
from tests.core.chance import Chance

DEPTH = 3
"""Blocks inside blocks."""

STEPS = 24
"""Steps of a pipeline, about."""

RUN_TIMEOUT = 600_000
WAIT_TIMEOUT = 100

BROKEN: JSON = {"broken": "{{ output.nobody }}"}
PLAIN = ["inputs.number", "inputs.flag", "inputs.filler", "run.id", "run.links", "inputs.items"]
LISTS = ["inputs.items", "[1]", "inputs.nested", "inputs.items", "inputs.none"]


def make_pipeline(chance: Chance) -> Definition:
    """A pipeline."""
    return _Author(chance).pipeline()


def make_inputs(chance: Chance) -> dict[str, JSON]:
    """Inputs for a run of the pipeline."""
    return {
        "number": chance.below(10),
        "flag": bool(chance.below(2)),
        "filler": "x" * 33_000 if chance.once_in(8) else "small",
        "items": ["a", {"b": 1}, None],
        "none": [],
        "nested": [[1, 2], [], [3]],
        "many": list(range(9)),
    }


class _Author:
    def __init__(self, chance: Chance) -> None:
        self._chance = chance
        self._count = 0
        self._left = 1 + chance.below(STEPS)
        self._undoable: list[str] = []
        self._is_sound = chance.once_in(2)

    def pipeline(self) -> Definition:
        steps, seen = self._sequence(0, PLAIN, least=1 + self._chance.below(4))
        self._left = max(self._left, self._chance.below(4))
        cleanup = self._sequence(0, [*PLAIN, *seen, "error.message", "error.step"], least=0)[0]
        outputs = self._chance.pick([None] * 8 + [*({"out": f"{{{{ {each} }}}}"} for each in self._some(seen, 2))])
        return Definition(
            ResolvedPipeline(id="p", steps=steps, on_failure=cleanup, outputs=outputs, timeout=RUN_TIMEOUT)
        )

    def _some(self, seen: Sequence[str], count: int = 3) -> list[str]:
        return [self._chance.pick(seen) for _ in range(count)] if seen else []

    def _errs(self, times: int) -> bool:
        """True about once in `times` calls if the pipeline contains mistakes at all."""
        return not self._is_sound and self._chance.once_in(times)

    def _id(self) -> str:
        self._count += 1
        self._left -= 1
        return f"s{self._count}"

    # -- sequences ----------------------------------------------------------------------------------------------

    def _sequence(self, depth: int, seen: Sequence[str], least: int = 1) -> tuple[Steps, list[str]]:
        """Steps, and the expressions that are readable after them."""
        steps: list[ResolvedStep] = []
        after = list(seen)
        while len(steps) < least or (self._left > 0 and len(steps) < 5 and self._chance.below(4)):
            step, more = self._step(depth, after)
            steps.append(step)
            after += more
        return make_steps(steps), after[len(seen) :]

    def _step(self, depth: int, seen: Sequence[str]) -> tuple[ResolvedStep, list[str]]:
        blocks = [self._switch, self._parallel, self._foreach, self._try, self._repeat, self._waiting]
        if depth < DEPTH and self._left > 1 and self._chance.below(3):
            return self._chance.pick(blocks)(depth + 1, seen)
        others = [self._action] * 6 + [self._wait, self._wait, self._call, self._emit, self._respond]
        others += [self._stop, self._fail] if depth or self._chance.once_in(6) else []
        return self._chance.pick([*others, *[self._undo] * 3] if self._undoable else others)(seen)

    def _condition(self, seen: Sequence[str]) -> str | None:
        if self._chance.below(4):
            return None
        read = self._chance.pick(seen)
        return self._chance.pick(["inputs.flag", "not inputs.flag", "false", read, f"{read} == 'completed'"])

    def _value(self, seen: Sequence[str]) -> JSON:
        read = self._chance.pick(seen)
        options: list[JSON] = [
            {},
            f"{{{{ {read} }}}}",
            f"say {{{{ {read} }}}}",
            "{{ inputs.number }}",
            "{{ inputs.flag }}",
        ]
        return "{{ inputs.nobody }}" if self._errs(20) else self._chance.pick(options)

    # -- actions ------------------------------------------------------------------------------------------------

    def _action(self, seen: Sequence[str]) -> tuple[ResolvedStep, list[str]]:
        chance, id = self._chance, self._id()
        undo, connection = None, self._connection()
        if chance.below(2):
            plain: list[JSON] = [{}, {"id": "{{ output.n }}"}]
            given = BROKEN if self._errs(6) else chance.pick(plain)
            undo = ActionStep(
                id="undo",
                use="test.undo",
                input=given,
                retry=self._policy(),
                on_crash=self._on_crash(),
                connection=connection,
            )
            self._undoable.append(id)
        is_paged = chance.once_in(4)
        step = ActionStep(
            id=id,
            use="test.list" if is_paged else "test.do",
            is_paged=is_paged,
            input={"a": self._value(seen)} if chance.below(2) else {"token": "Bearer {{ secrets.TOKEN }}"},
            condition=self._condition(seen),
            keep=BROKEN if self._errs(8) else chance.pick([None, None, {"n": "{{ output.n }}"}]),
            retry=self._policy(),
            on_crash=self._on_crash(),
            on_exhausted=chance.pick(["fail", "fail", "pause"]),
            undo=undo,
            connection=connection,
        )
        return step, _reads(id)

    def _connection(self) -> ConnectionChoice | None:
        if not self._chance.once_in(4):
            return None
        return ConnectionChoice("c_{{ inputs.number }}", ("other",) if self._errs(10) else ("other", "c_*"))

    def _policy(self) -> RetryPolicy:
        return RetryPolicy(max_attempts=1 + self._chance.below(3), min_delay=10, max_delay=1_000)

    def _on_crash(self) -> OnCrash:
        options: list[OnCrash] = ["retry", "retry", "park", "fail"]
        return self._chance.pick(options)

    def _stop(self, seen: Sequence[str]) -> tuple[ResolvedStep, list[str]]:
        given = self._chance.pick([{}, {"status": "cancelled", "reason": "enough"}])
        id = self._id()
        return ActionStep(id=id, use="flow.stop", input=given, condition=self._condition(seen)), _reads(id)

    def _fail(self, seen: Sequence[str]) -> tuple[ResolvedStep, list[str]]:
        id = self._id()
        given = {"message": f"no {self._value(seen)}", "code": "no"}
        return ActionStep(id=id, use="flow.fail", input=given, condition=self._condition(seen)), _reads(id)

    def _emit(self, seen: Sequence[str]) -> tuple[ResolvedStep, list[str]]:
        id = self._id()
        given = {"type": "t", "data": self._value(seen)}
        return ActionStep(id=id, use="flow.emit", input=given, condition=self._condition(seen)), _reads(id)

    def _respond(self, seen: Sequence[str]) -> tuple[ResolvedStep, list[str]]:
        id = self._id()
        given = BROKEN if self._errs(6) else {"body": self._value(seen)}
        return ActionStep(id=id, use="flow.respond", input=given, condition=self._condition(seen)), _reads(id)

    def _undo(self, seen: Sequence[str]) -> tuple[ResolvedStep, list[str]]:
        id = self._id()
        given = self._chance.pick([{}, {"steps": self._some([*self._undoable, "s1", "s2"], 2)}])
        return ActionStep(id=id, use="flow.undo", input=given, condition=self._condition(seen)), _reads(id)

    def _call(self, seen: Sequence[str]) -> tuple[ResolvedStep, list[str]]:
        chance, id = self._chance, self._id()
        step = ActionStep(
            id=id,
            use="flow.call",
            input={"pipeline": "other", "inputs": {"a": self._value(seen)}, "detach": chance.once_in(4)},
            condition=self._condition(seen),
            keep=BROKEN if self._errs(8) else None,
            timeout=chance.pick([None, WAIT_TIMEOUT]),
        )
        return step, _reads(id)

    # -- waits --------------------------------------------------------------------------------------------------

    def _wait(self, seen: Sequence[str]) -> tuple[ResolvedStep, list[str]]:
        return self._waiting(DEPTH, seen, times_out=self._chance.pick([None, "fail", "value"]))

    def _waiting(
        self, depth: int, seen: Sequence[str], times_out: str | None = "steps"
    ) -> tuple[ResolvedStep, list[str]]:
        """A wait; by default one that performs steps on timeout."""
        chance, id = self._chance, self._id()
        use, given = self._awaited(seen)
        if chance.once_in(4):
            waits: dict[str, JSON] = {}
            for name in ("one", "two"):
                waits[name] = dict(zip(("use", "with"), self._awaited(seen), strict=True))
            use, given = "wait.any", {"waits": waits}
        steps, inner = self._sequence(depth, seen) if times_out == "steps" else ((), [])
        step = ActionStep(
            id=id,
            use=use,
            input=given,
            condition=self._condition(seen),
            keep=BROKEN if self._errs(8) else None,
            timeout=WAIT_TIMEOUT if times_out else None,
            times_out=times_out or "fail",  # type: ignore[arg-type]  # one of the three
            timeout_value=self._value(seen) if times_out == "value" else None,
            timeout_steps=make_steps(steps),
        )
        return step, _reads(id) + inner

    def _awaited(self, seen: Sequence[str]) -> tuple[str, dict[str, JSON]]:
        waits: list[tuple[str, dict[str, JSON]]] = [
            ("wait.delay", {"for": "40ms"}),
            ("wait.webhook", {}),
            ("wait.approval", {"to": "ops", "title": self._value(seen)}),
            ("wait.event", {"type": "t", "match": self._value(seen), "look_back": "1s"}),
            ("wait.event", {"type": "t"}),
            ("wait.delay", {"for": "100ms"}),
            ("wait.delay", {"for": "0s"}),
            ("wait.until", {"time": "2023-11-14T22:13:21Z"}),
            ("wait.until", {"time": self._value(seen)}),
        ]
        return self._chance.pick(waits)

    # -- blocks -------------------------------------------------------------------------------------------------

    def _switch(self, depth: int, seen: Sequence[str]) -> tuple[ResolvedStep, list[str]]:
        id, condition = self._id(), self._condition(seen)
        cases: list[SwitchCase] = []
        after: list[str] = []
        for _ in range(1 + self._chance.below(2)):
            when = self._chance.pick(["inputs.flag", "inputs.number > 5", self._chance.pick(seen)])
            steps, inner = self._sequence(depth, seen)
            cases.append(SwitchCase(when, steps))
            after += inner
        otherwise, inner = self._sequence(depth, seen, least=0)
        return SwitchStep(id, tuple(cases), otherwise, condition), [*after, *inner, f"steps.{id}.status"]

    def _parallel(self, depth: int, seen: Sequence[str]) -> tuple[ResolvedStep, list[str]]:
        id, condition = self._id(), self._condition(seen)
        made = {f"b{n}": self._sequence(depth, seen, least=n < 2) for n in range(1 + self._chance.below(3))}
        branches = {name: steps for name, (steps, _) in made.items()}
        after = [read for _, inner in made.values() for read in inner]
        step = ParallelStep(id, branches, self._chance.pick(["cancel", "finish"]), condition)
        return step, [*after, f"steps.{id}.status"]

    def _foreach(self, depth: int, seen: Sequence[str]) -> tuple[ResolvedStep, list[str]]:
        chance, id, condition = self._chance, self._id(), self._condition(seen)
        lists = [*LISTS, *(["inputs.many"] if depth == 1 else []), *(["inputs.number"] if self._errs(2) else [])]
        items = chance.pick([*lists, *(each for each in seen if each.startswith("item"))])
        name = f"item{depth}"
        steps, inner = self._sequence(depth, [*seen, name, "index"])
        step = ForeachStep(id, items, steps, name, 1 + chance.below(3), chance.pick(["stop", "collect"]), condition)
        within = [each.removeprefix("steps.") for each in inner if each.startswith("steps.")]
        reads = [f"steps.{id}.output", f"steps.{id}.output | length", f"steps.{id}.output[0].status"]
        return step, reads + [f"steps.{id}.output[0].steps.{each}" for each in within[:2]]

    def _repeat(self, depth: int, seen: Sequence[str]) -> tuple[ResolvedStep, list[str]]:
        chance, id, condition = self._chance, self._id(), self._condition(seen)
        steps, inner = self._sequence(depth, [*seen, "index"])
        until = chance.pick(["index >= 1", "true", "index >= 2", "false", *self._some(inner, 1)])
        ends = until.startswith(("index", "true"))
        step = RepeatStep(
            id,
            until,
            steps,
            every=chance.pick([None, 30]),
            max_times=chance.pick([None, 3]) if ends else 1 + chance.below(3),
            condition=condition,
        )
        within = [each.removeprefix("steps.") for each in inner if each.startswith("steps.")]
        return step, [f"steps.{id}.output"] + [f"steps.{id}.output.{each}" for each in within[:2]]

    def _try(self, depth: int, seen: Sequence[str]) -> tuple[ResolvedStep, list[str]]:
        chance, id, condition = self._chance, self._id(), self._condition(seen)
        steps, inner = self._sequence(depth, seen)
        handlers: list[CatchHandler] = []
        after = [*inner, f"steps.{id}.status"]
        for _ in range(chance.below(3)):
            when = chance.pick([None, "error.code == 'no'", "error.class == 'invalid'", "error.details.nobody.x"])
            caught, more = self._sequence(depth, [*seen, *inner, "error.message", "error.step", "error.details"])
            handlers.append(CatchHandler(caught, when))
            after += more
        cleanup, more = self._sequence(depth, [*seen, *after], least=0 if handlers else 1)
        return TryStep(id, steps, tuple(handlers), cleanup, condition), [*after, *more]


def _reads(id: str) -> list[str]:
    """The expressions that read a step."""
    return [f"steps.{id}.{name}" for name in ("output", "status", "status", "output.n", "error", "attempts")]
