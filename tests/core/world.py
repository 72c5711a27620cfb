"""A simulated environment of the core: it performs effects as the shell does, with random outcomes.

Its journal keeps bytes: large values are dropped after each append and loaded again where an expression needs them,
and a crash leaves only what was appended.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, TypeVar, cast

import msgspec

from durable.action import ActionError
from durable.blocks.pages import locate_attempt
from durable.decide.advance import Advance
from durable.decide.attempts import report_error, report_return
from durable.decide.outstanding import find_lost_attempts, find_outstanding
from durable.definition import Definition
from durable.effects import (
    Abandon,
    AwaitSlot,
    AwaitStart,
    Effect,
    EmitEvent,
    Listen,
    Perform,
    PostMessage,
    PublishAnswer,
    Resume,
    RetryChild,
    StartChild,
    Wake,
)
from durable.history import entries
from durable.history.encoding import decode_entries, detach_values, encode_entries
from durable.history.entries import AnyEntry, Fact
from durable.history.state import PagesState, State
from durable.history.words import Failure, Links, Parent
from durable.path import make_key, make_page_path
from durable.replay import replay_entries
from durable.values import JSON, NULL, PayloadMissing, Value
from tests.core.chance import Chance
from tests.core.pipelines import make_inputs

RUN = "run_test"
RETRIES = 4
PAGES = 5
"""The maximum number of pages of a step."""

T0 = 1_700_000_000_000

Result = TypeVar("Result")
Move = Callable[[], None]


@dataclass(frozen=True)
class Beginning:
    """How a run starts: its inputs, the delay and the expiry in milliseconds, the slot that it waits for,
    and its caller."""

    inputs: dict[str, JSON] = field(default_factory=dict)
    delay: int | None = None
    expires_in: int | None = None
    queued_for: str | None = None
    parent: Parent | None = None
    error: Failure | None = None

    @classmethod
    def generate(cls, chance: Chance) -> "Beginning":
        """Usually a run that begins at once; some are delayed, a few beyond their expiry or the timeout."""
        called = Parent("run_caller", "call", chance.pick([1, 1, 16]), is_detached=chance.once_in(4))
        return cls(
            inputs=make_inputs(chance),
            delay=chance.pick([None] * 20 + [0, 20, 700_000]),
            expires_in=chance.pick([None] * 20 + [0, 10, 50, 900_000]),
            queued_for="p" if chance.once_in(10) else None,
            parent=called if chance.once_in(4) else None,
            error=Failure.of("invalid", "inputs", "unfit") if chance.once_in(40) else None,
        )

    def started(self, definition: Definition) -> entries.RunStarted:
        return entries.RunStarted(
            at=T0,
            pipeline="p",
            version=definition.version,
            deadline=T0 + definition.pipeline.timeout,
            inputs=Value.of(dict(self.inputs)),
            not_before=None if self.delay is None else T0 + self.delay,
            expires_at=None if self.expires_in is None else T0 + self.expires_in,
            slot=self.queued_for,
            queued_for=self.queued_for,
            parent=self.parent,
            error=self.error,
            links=Links("https://example.com/answers", "key"),
        )


@dataclass
class Child:
    """A called run: whether it began, and the end that it reported."""

    path: str
    has_begun: bool = False
    is_told_to_end: bool = False
    end: entries.ChildEnded | None = None

    @property
    def is_over(self) -> bool:
        return self.end is not None

    def retry(self, *, is_detached: bool) -> None:
        """Continue a run that failed or that its caller cancelled; let one start that never did."""
        if is_detached and self.has_begun:
            return
        if self.end is None or self.end.status == "failed" or self.is_told_to_end:
            self.has_begun &= self.end is None or self.end.run is not None
            self.end, self.is_told_to_end = None, False


class Performed(NamedTuple):
    """An attempt that began: in which pass of the cleanup, after how many retries of the run, with which input, and for
    which page, if its step gets its output in pages."""

    path: str
    cleanup_pass: int
    attempt: int
    given: bytes
    secrets: object
    at_entry: int
    page: int | None

    @property
    def key(self) -> str:
        key = make_key(RUN, self.path, self.cleanup_pass)
        return key if self.page is None else make_page_path(key, self.page)


@dataclass
class Desk:
    """What the shell holds in memory for the run and loses in a crash."""

    performs: dict[str, Perform] = field(default_factory=dict)
    under_way: dict[str, Perform] = field(default_factory=dict)
    wakes: dict[str, Wake] = field(default_factory=dict)
    listens: dict[tuple[str, str], Listen] = field(default_factory=dict)
    calls: dict[str, StartChild] = field(default_factory=dict)
    emits: dict[str, EmitEvent] = field(default_factory=dict)
    start: AwaitStart | None = None
    slot: AwaitSlot | None = None

    @property
    def effects(self) -> set[Effect]:
        """All pending effects."""
        held_back = [each for each in (self.start, self.slot) if each]
        parts = (self.performs, self.under_way, self.wakes, self.listens, self.calls, self.emits)
        return {*held_back, *(effect for part in parts for effect in part.values())}


class World:
    """A run and its environment. `units` holds what each append wrote; only this class advances time. `watch` is called
    after each append; the higher `luck` is, the fewer attempts fail."""

    def __init__(
        self,
        definition: Definition,
        beginning: Beginning,
        watch: "Callable[[World], None] | None" = None,
        *,
        luck: int = 30,
        run: str = RUN,
    ) -> None:
        self.definition = definition
        self.beginning = beginning
        self.watch = watch
        self.luck = luck
        self.state = State(run=run)
        self.now = T0
        self.units: list[list[AnyEntry]] = []
        self.stored: list[bytes] = []
        self.payloads: dict[str, bytes] = {}
        self.desk = Desk()
        self.children: dict[str, Child] = {}
        self.posts: list[PostMessage] = []
        self.performed: list[Performed] = []
        self.facts: list[Fact] = []
        self.seen: Counter[str] = Counter()

    def begin(self) -> "World":
        self.report(self.beginning.started(self.definition))
        return self

    def begin_with(self, unit: list[AnyEntry], effects: Sequence[Effect]) -> None:
        """Begin with entries that were decided elsewhere: those of a fork."""
        self._append(unit)
        self._take(effects)

    @property
    def history(self) -> list[AnyEntry]:
        return [entry for unit in self.units for entry in unit]

    @property
    def is_over(self) -> bool:
        return self.state.finished is not None

    def restored(self) -> list[AnyEntry]:
        """The history as it was stored, without the bytes of large values."""
        return [entry for data in self.stored for entry in decode_entries(data)]

    # -- the shell's part ---------------------------------------------------------------------------------------

    def loaded(self, ask: Callable[[], Result]) -> Result:
        """Load the missing values, evaluate, and drop them again, as the runner does for an attempt."""
        attached: list[Value] = []
        try:
            while True:
                try:
                    return ask()
                except PayloadMissing as missing:
                    missing.value.attach(self.payloads[missing.value.ref or ""])
                    attached.append(missing.value)
        finally:
            for value in attached:
                value.detach()

    def report(self, fact: Fact) -> bool:
        """Pass a fact to the core, append, then perform the effects; False if the fact came too late."""
        self.facts.append(fact)
        advance = Advance(self.definition, self.state, fact)
        self.loaded(advance.follow)
        if advance.entries:
            self._append(advance.entries)
        self._take(advance.effects)
        if self.watch:
            self.watch(self)
        return bool(advance.entries)

    def _append(self, unit: list[AnyEntry]) -> None:
        data, payloads = encode_entries(unit)
        self.units.append(unit)
        self.stored.append(data)
        self.payloads |= {ref: data for ref, data in payloads.items() if data is not None}
        self.seen.update(type(entry).__name__ for entry in unit)
        detach_values(unit)

    def _take(self, effects: Sequence[Effect]) -> None:
        desk = self.desk
        for effect in effects:
            match effect:
                case Perform():
                    desk.performs[effect.path] = effect
                case Abandon():
                    for part in (desk.performs, desk.under_way, desk.wakes, desk.calls, desk.emits):
                        part.pop(effect.path, None)
                    desk.listens = {key: each for key, each in desk.listens.items() if key[0] != effect.path}
                case AwaitStart():
                    desk.start = effect
                case AwaitSlot():
                    desk.slot = effect
                case Wake():
                    desk.wakes[effect.path] = effect
                case Listen():
                    desk.listens[effect.path, effect.name] = effect
                case StartChild():
                    self.children.setdefault(effect.run, Child(effect.path))
                    desk.calls[effect.path] = effect
                case RetryChild():
                    self.children[effect.run].retry(is_detached=effect.is_detached)
                case EmitEvent():
                    desk.emits[effect.path] = effect
                case PublishAnswer():
                    assert self.state.answer is not None, "the answer of a step that has not answered"
                case PostMessage():
                    self._post(effect)
                case Resume():
                    self._resume()

    def _post(self, post: PostMessage) -> None:
        self.posts.append(post)
        if post.kind == "cancel":
            self.children.setdefault(post.run, Child("")).is_told_to_end = True

    def _resume(self) -> None:
        """Perform the outstanding effects that are not in progress."""
        effects = find_outstanding(self.definition, self.state, self.now)
        under_way = self.desk.under_way
        self._take([each for each in effects if not (isinstance(each, Perform) and each.path in under_way)])
        for path in [path for path in self.desk.performs if path in under_way]:
            del self.desk.performs[path]

    def crash(self) -> None:
        """The process dies, and a new one takes over."""
        self.seen["(crash)"] += 1
        self.state = replay_entries(self.state.run, self.restored())
        self.desk = Desk()
        watch, self.watch = self.watch, None
        for fact in find_lost_attempts(self.definition, self.state, self.now, is_orphan=True):
            self.report(fact)
        self.desk = Desk()
        self._take(find_outstanding(self.definition, self.state, self.now))
        self.watch = watch

    def _crash_too_often(self) -> None:
        """The new process suspects the run of causing the crashes, and pauses it before any step begins."""
        self.crash()
        self.report(entries.RecoveryStopped(at=self.now, count=9))

    # -- what happens -------------------------------------------------------------------------------------------

    def go_on(self, chance: Chance) -> None:
        """Let one thing happen: usually one that the run waits for, sometimes a disturbance."""
        self.now += chance.below(10)
        if self.state.status == "failed" and self.state.retries < RETRIES and chance.below(3):
            self.retry()
            return
        if chance.once_in(5):
            chance.pick(self._disturbances(chance))()
            return
        if moves := self._moves(chance, is_kind=False):
            chance.pick(moves)()

    def retry(self) -> None:
        """A person retries the failed run."""
        self.desk, self.facts = Desk(), []
        self.report(entries.RunRetried(at=self.now, by="somebody"))

    def drive(self, chance: Chance, steps: int = 2_000) -> None:
        """Let everything succeed until the run has ended."""
        for _ in range(steps):
            self.now += 1
            moves = self._moves(chance, is_kind=True) or self._decisions(chance, is_kind=True)
            if self.is_over or not moves:
                return
            chance.pick(moves)()

    def _moves(self, chance: Chance, *, is_kind: bool) -> list[Move]:
        """Things that the run waits for."""
        desk = self.desk
        moves: list[Move] = []
        if not self.state.pauses:
            moves += [lambda each=each: self._begin_attempt(each) for each in desk.performs.values()]  # type: ignore[misc]
            moves += [lambda: self.let_start(late=bool(chance.below(2)))] if desk.start else []
            moves += [self._grant] if desk.slot else []
        moves += [
            lambda each=each: self._end_attempt(each, 29 if is_kind else chance.below(self.luck))  # type: ignore[misc]
            for each in desk.under_way.values()
        ]
        moves += [lambda path=path: self._call(path) for path in desk.calls]  # type: ignore[misc]
        moves += [
            lambda run=run: self._end_child(run, 0 if is_kind else chance.below(5))  # type: ignore[misc]
            for run, child in self.children.items()
            if child.has_begun and not child.is_over
        ]
        moves += [
            lambda path=path: self._emit(path, is_refused=not is_kind and chance.once_in(8))  # type: ignore[misc]
            for path in desk.emits
        ]
        moves += [lambda each=each: self._wake(each) for each in desk.wakes.values()]  # type: ignore[misc]
        moves += [
            lambda path=path, name=each.name: self._signal(path, name, chance)  # type: ignore[misc]
            for path in self.state.active
            for each in self.state.steps[path].awaits
            if each.due is None
        ]
        return moves

    def _decisions(self, chance: Chance, *, is_kind: bool) -> list[Move]:
        """Decisions that a person may take on a paused run."""
        undecided = [path for path in self.state.active if self.state.steps[path].needs_person]
        moves: list[Move] = [lambda path=path: self._resolve(path, chance, is_kind) for path in undecided]  # type: ignore[misc]
        if "" in self.state.pauses:
            moves.append(lambda: self._report(entries.RunResumed(at=self.now)))
        return moves

    def _disturbances(self, chance: Chance) -> list[Move]:
        others = [
            lambda: self._report(entries.CancelRequested(at=self.now, reason="somebody")),
            self.crash,
            self._pass_deadline,
            self._crash_too_often,
        ]
        return [
            self.crash,
            self.crash,
            lambda: self._again(chance),
            lambda: self._again(chance),
            lambda: self._stray_signal(chance),
            lambda: self._early_timer(chance),
            lambda: self._refuse_input(chance),
            *self._decisions(chance, is_kind=False) * 4,
            *(chance.pick(others) for _ in range(3)),
        ]

    def _report(self, fact: Fact) -> None:
        self.report(fact)

    def _pass_deadline(self) -> None:
        self.now = max(self.now, self.state.deadline or 0)
        self.report(entries.DeadlinePassed(at=self.now))

    def _again(self, chance: Chance) -> None:
        """An earlier fact arrives again, except those of a single source: an attempt's start, and a takeover that
        stops the recovery."""
        fact = chance.pick(self.facts)
        if not isinstance(fact, entries.AttemptStarted | entries.RecoveryStopped | entries.RunRetried):
            self.report(fact)

    def _stray_signal(self, chance: Chance) -> None:
        """An answer arrives before its wait has begun, after it, twice, or under a wrong name."""
        nodes = [node for node in self.definition.nodes.values() if "wait." in getattr(node.step, "use", "")]
        paths = [node.path for node in nodes] + list(self.state.steps)
        if paths:
            path = chance.pick(paths)
            path = path.replace(".", f"[{chance.below(2)}].") if chance.below(2) else path
            self.report(
                entries.SignalReceived(at=self.now, path=path, name=chance.pick(["", "one"]), data=Value.of("early"))
            )

    def _early_timer(self, chance: Chance) -> None:
        if self.state.steps:
            self.report(entries.TimerFired(at=self.now, path=chance.pick(list(self.state.steps))))

    def _refuse_input(self, chance: Chance) -> None:
        if self.desk.under_way:
            effect = self.desk.under_way.pop(chance.pick(list(self.desk.under_way)))
            self.report(entries.InputRefused(at=self.now, path=effect.path, attempt=effect.attempt, reason="unfit"))

    def _resolve(self, path: str, chance: Chance, is_kind: bool) -> None:
        verdict = "completed" if is_kind else chance.pick(["completed", "retry", "failed"])
        output = Value.of({"n": 7, "by": "a person"})
        self.report(entries.StepResolved(at=self.now, path=path, verdict=verdict, output=output))  # type: ignore[arg-type]

    # -- the beginning ------------------------------------------------------------------------------------------

    def let_start(self, *, late: bool) -> None:
        """Grant a slot when the run is due, or (`late`) only after it has expired."""
        start, self.desk.start = self.desk.start, None
        assert start
        self.now = max(self.now, start.due, (start.expires_at or 0) if late else 0)
        self.report(entries.StartDue(at=self.now))

    def _grant(self) -> None:
        self.desk.slot = None
        self.report(entries.SlotGranted(at=self.now))

    # -- attempts -----------------------------------------------------------------------------------------------

    def _begin_attempt(self, effect: Perform) -> None:
        desk = self.desk
        del desk.performs[effect.path]
        self.now = max(self.now, effect.due)
        desk.under_way[effect.path] = effect
        step = self.state.steps[effect.path]
        given, at_entry = self.loaded(lambda: _bytes(step.input)), len(self.history)
        is_paged = self.definition.actions[effect.path].step.is_paged
        page = step.pages.number if step.pages else 0
        self.performed.append(
            Performed(
                effect.path,
                step.cleanup_pass,
                effect.attempt,
                given,
                step.secrets,
                at_entry,
                page if is_paged else None,
            )
        )
        if effect.starts_durably:
            self.report(entries.AttemptStarted(at=self.now, path=effect.path, attempt=effect.attempt))

    def _end_attempt(self, effect: Perform, choice: int) -> None:
        if self.desk.under_way.pop(effect.path, None):
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
            case 9 | 10 | 11:
                error = ActionError("no", error_class="client", code="no", details={"a": 1})
            case _ if self.definition.actions[path].step.is_paged:
                return self._return_page(effect, choice)
            case _:
                output: JSON = {"n": choice, "big": "x" * (33_000 if choice == 4 else 1)}
                problem = "unfit" if choice == 5 else None
                state = self.state
                return self.loaded(
                    lambda: report_return(
                        self.definition, state, path, attempt, output, problem=problem, started_at=at, at=at
                    )
                )
        place = locate_attempt(self.definition.actions[path], self.state.steps[path], path, attempt)
        return report_error(path, attempt, error, place, started_at=at, at=at)

    def _return_page(self, effect: Perform, choice: int) -> Fact:
        """A page, or the output of all pages if it is the last. The items are numbered, as the service does."""
        path, attempt, at = effect.path, effect.attempt, self.now
        pages = self.state.steps[path].pages or PagesState()
        text = "x" * (33_000 if choice == 4 else 1)
        items: list[JSON] = [{"n": n, "text": text} for n in range(pages.count, pages.count + 1 + choice % 3)]
        if pages.number < choice % PAGES:
            return entries.PageCompleted(
                at=at,
                path=path,
                attempt=attempt,
                page=pages.number,
                started_at=at,
                items=Value.of(items),
                count=len(items),
                cursor=Value.of(pages.number),
                marks=(str(pages.number),),
                due=at + 20 if choice == 13 else None,
            )
        before = self.loaded(lambda: [item for each in pages.items for item in cast(list[JSON], each.load())])
        output: JSON = {"n": pages.number, "items": [*before, *items]}
        problem = "unfit" if choice == 5 else None
        return self.loaded(
            lambda: report_return(
                self.definition, self.state, path, attempt, output, problem=problem, started_at=at, at=at
            )
        )

    # -- waits, children, events --------------------------------------------------------------------------------

    def _wake(self, wake: Wake) -> None:
        self.desk.wakes.pop(wake.path, None)
        self.now = max(self.now, wake.due)
        self.report(entries.TimerFired(at=self.now, path=wake.path))

    def _signal(self, path: str, name: str, chance: Chance) -> None:
        answers: list[JSON] = [{"approved": True}, "x" * 33_000, None]
        data = chance.pick(answers)
        self.report(entries.SignalReceived(at=self.now, path=path, name=name, data=Value.of(data)))

    def _call(self, path: str) -> None:
        call = self.desk.calls.pop(path)
        child = self.children[call.run]
        if child.end:
            self.report(msgspec.structs.replace(child.end, at=self.now))
            return
        if child.has_begun or child.is_told_to_end:
            return
        child.has_begun = True
        given = self.loaded(self.state.steps[path].input.load)
        if isinstance(given, dict) and given["detach"]:
            outputs = Value.of({"run": call.run})
            child.end = entries.ChildEnded(at=self.now, path=path, status="completed", run=call.run, outputs=outputs)
            self.report(child.end)

    def _end_child(self, run: str, choice: int) -> None:
        child = self.children[run]
        if child.is_told_to_end and choice == 4:
            choice = 3  # it has begun, perhaps in an earlier pass of the cleanup
        child.end = _make_child_end(child.path, run, choice, self.now)
        self.report(child.end)

    def _emit(self, path: str, *, is_refused: bool) -> None:
        del self.desk.emits[path]
        at, error = self.now, Failure.of("invalid", "too_many_runs", "too many", path)
        refusal = entries.AttemptFailed(at=at, path=path, attempt=1, error=error, ending="not_sent")
        self.report(refusal if is_refused else entries.StepCompleted(at=at, path=path, attempt=1, output=NULL))


def _make_child_end(path: str, run: str, choice: int, at: int) -> entries.ChildEnded:
    match choice:
        case 2:
            error = Failure.of(None, "no", "no")
            return entries.ChildEnded(at=at, path=path, status="failed", run=run, error=error)
        case 3:
            return entries.ChildEnded(at=at, path=path, status="cancelled", run=run)
        case 4:
            error = Failure.of("invalid", "none", "none")
            return entries.ChildEnded(at=at, path=path, status="failed", error=error)
    outputs = Value.of({"n": 1, "big": "x" * 33_000 * choice})
    return entries.ChildEnded(at=at, path=path, status="completed", run=run, outputs=outputs)


def _bytes(value: Value) -> bytes:
    value.load()
    return bytes(value.data)
