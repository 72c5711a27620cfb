"""A small world around the core: it performs what the core asks, as chance (Hypothesis) says it goes."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from hypothesis import strategies as st

from durable.action import ActionError, OnCrash
from durable.decide import Abandon, Advance, AwaitStart, Effect, Perform, outstanding, raised, returned
from durable.definition import ActionSpec, Definition, Spec
from durable.history import (
    AnyEntry,
    AttemptStarted,
    CancelRequested,
    DeadlinePassed,
    Fact,
    RecoveryStopped,
    RunStarted,
    StartDue,
    State,
    fold,
)
from durable.retry import Policy
from durable.values import JSON, Value

RUN = "run_test"
T0 = 1_700_000_000_000

Draw = Callable[[st.SearchStrategy[int]], int]

CONDITIONS = [None, "inputs.flag", "not inputs.flag", "inputs.number > 5"]
INPUTS = [
    {},
    {"text": "{{ inputs.number }} and {{ inputs.flag }}"},
    {"native": "{{ inputs.number }}", "headers": {"authorization": "Bearer {{ secrets.TOKEN }}"}},
    {"big": "{{ inputs.filler }}"},
    {"unknown": "{{ inputs.nobody }}"},
]
KEEPS = [None, {"only": "{{ output.n }}"}, {"broken": "{{ output.nobody }}"}]


@dataclass(frozen=True)
class Beginning:
    """How a run starts: its inputs, and how many milliseconds later it may begin and expires, if it is held back."""

    inputs: dict[str, JSON] = field(default_factory=dict)
    delay: int | None = None
    expires_in: int | None = None

    def started(self, definition: Definition) -> RunStarted:
        return RunStarted(
            at=T0,
            pipeline="p",
            version=definition.version,
            deadline=T0 + definition.spec.timeout,
            inputs=Value.of(dict(self.inputs)),
            not_before=None if self.delay is None else T0 + self.delay,
            expires_at=None if self.expires_in is None else T0 + self.expires_in,
        )


def beginnings() -> st.SearchStrategy[Beginning]:
    """Runs that begin at once, and such as are held back; a few beyond their expiry or the pipeline's timeout."""
    fillers = st.sampled_from(["small", "x" * 40_000])
    inputs = st.fixed_dictionaries({"flag": st.booleans(), "number": st.integers(-5, 10), "filler": fillers})
    delays, lives = st.sampled_from([None, None, 0, 20, 700_000]), st.sampled_from([None, None, 0, 10, 50, 900_000])
    return st.builds(Beginning, inputs, delays, lives)


@st.composite
def definitions(draw: st.DrawFn) -> Definition:
    """Pipelines of one to four steps, with conditions, retries, ways to crash, ends in the middle and cleanup."""
    steps = tuple(draw(_step(f"s{number}", number)) for number in range(draw(st.integers(1, 4))))
    cleanup = tuple(draw(_step(f"c{number}", 0)) for number in range(draw(st.integers(0, 2))))
    outputs = draw(
        st.sampled_from([None, {"n": "{{ inputs.number }}"}, {"s": "{{ steps.s0.output }}"}, {"x": "{{ x }}"}])
    )
    return Definition(Spec(id="p", steps=steps, on_failure=cleanup, outputs=outputs, timeout=600_000))


@st.composite
def _step(draw: st.DrawFn, id: str, number: int) -> ActionSpec:
    use = draw(st.sampled_from(["test.do"] * 8 + ["flow.stop", "flow.fail"]))
    condition = draw(st.sampled_from(CONDITIONS))
    if use != "test.do":
        given = {"status": "cancelled"} if use == "flow.stop" else {"message": "no {{ inputs.number }}"}
        return ActionSpec(id=id, use=use, input=given, condition=condition)
    on_crash: OnCrash = draw(st.sampled_from(["retry", "retry", "park", "fail"]))
    inputs = INPUTS if number == 0 else [*INPUTS, {"before": f"{{{{ steps.s{number - 1}.output }}}}"}]
    return ActionSpec(
        id=id,
        use=use,
        input=draw(st.sampled_from(inputs)),
        condition=condition,
        keep=draw(st.sampled_from(KEEPS)),
        retry=Policy(max_attempts=draw(st.integers(1, 3)), min_delay=10, max_delay=100_000),
        timeout=1_000,
        on_crash=on_crash,
    )


class World:
    """A run and what surrounds it. `units` holds what each append wrote, `start` what a run that is held back waits
    for; time goes on only here."""

    def __init__(self, definition: Definition, beginning: Beginning) -> None:
        self.definition = definition
        self.state = State(run=RUN)
        self.now = T0
        self.units: list[list[AnyEntry]] = []
        self.effects: dict[str, Perform] = {}
        self.start: AwaitStart | None = None
        self.report(beginning.started(definition))

    @property
    def history(self) -> list[AnyEntry]:
        return [entry for unit in self.units for entry in unit]

    def report(self, fact: Fact) -> None:
        advance = Advance(self.definition, self.state, fact)
        advance.follow()
        if advance.entries:
            self.units.append(advance.entries)
        self._take(advance.effects)

    def _take(self, effects: Sequence[Effect]) -> None:
        for effect in effects:
            match effect:
                case Perform():
                    self.effects[effect.path] = effect
                case Abandon():
                    self.effects.pop(effect.path, None)
                case AwaitStart():
                    self.start = effect

    def go_on(self, choice: int) -> None:
        """Let one thing happen: mostly an attempt's end, sometimes a cancel, a deadline, a crash."""
        self.now += 7
        if choice == 0:
            self.report(CancelRequested(at=self.now, reason="somebody"))
        elif choice == 1:
            self.now = max(self.now, self.state.deadline or 0)
            self.report(DeadlinePassed(at=self.now))
        elif choice == 2:
            self.report(RecoveryStopped(at=self.now, count=9))
        elif choice <= 5:
            self.crash(in_attempt=choice > 3)
        elif self.start:
            self.let_start(self.start, choice)
        elif self.effects:
            self.perform(next(iter(self.effects.values())), choice)

    def let_start(self, start: AwaitStart, choice: int) -> None:
        """A slot is free when the run is due, or, as chance says, not before it has expired."""
        self.start = None
        late = start.expires_at is not None and choice % 2
        self.now = max(self.now, start.due, (start.expires_at or 0) if late else 0)
        self.report(StartDue(at=self.now))

    def perform(self, effect: Perform, choice: int) -> None:
        del self.effects[effect.path]
        self.now = max(self.now, effect.due)
        if effect.starts_durably:
            self.report(AttemptStarted(at=self.now, path=effect.path, attempt=effect.attempt))
        self.report(self._ending(effect, choice))

    def _ending(self, effect: Perform, choice: int) -> Fact:
        path, attempt, at = effect.path, effect.attempt, self.now
        match choice:
            case 6:
                error = ActionError("gone", error_class="network", ending="unknown")
            case 7:
                error = ActionError("busy", error_class="rate_limit", retry_after=30)
            case 8:
                error = ActionError("refused", error_class="network", ending="not_sent")
            case 9:
                error = ActionError("no", error_class="client", details={"a": 1})
            case _:
                output: JSON = {"n": choice, "big": "x" * (40_000 if choice % 2 else 1)}
                return returned(
                    self.definition,
                    self.state,
                    path,
                    attempt,
                    output,
                    started_at=at,
                    at=at,
                )
        return raised(path, attempt, error, started_at=at, at=at)

    def crash(self, *, in_attempt: bool) -> None:
        """The process dies, perhaps in an attempt whose start is durable, and a new one takes over."""
        if in_attempt and self.effects and (effect := next(iter(self.effects.values()))).starts_durably:
            self.report(AttemptStarted(at=self.now, path=effect.path, attempt=effect.attempt))
        self.state = fold(RUN, self.history)
        self.effects, self.start = {}, None
        facts, effects = outstanding(self.definition, self.state, self.now)
        self._take(effects)
        for fact in facts:
            self.report(fact)
