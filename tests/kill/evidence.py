"""The evidence of a kill loop: each figure with the claim that it must meet."""

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from statistics import median
from typing import Any, NamedTuple, TypeAlias

from rich.console import Console
from rich.table import Table

from durable.path import find_step_path, make_page_path
from tests.kill.home import MAY_NOT_REPEAT, STEPS
from tests.kill.ledger import Line
from tests.kill.loop import Record

Place: TypeAlias = tuple[str, str]
"""A webhook's id and a step."""


class Figure(NamedTuple):
    """A line of the table; `holds` says whether its claim is met."""

    name: str
    value: str
    holds: bool = True


class Evidence:
    """The figures of a kill loop."""

    def __init__(self, record: Record) -> None:
        self._record = record
        self._lines: dict[Place, list[Line]] = defaultdict(list)
        for line in record.lines:
            self._lines[line.event, line.step].append(line)
        self.problems = [*record.problems, *self._problems()]

    @property
    def holds(self) -> bool:
        return not self.problems and all(figure.holds for figure in self.figures())

    def figures(self) -> list[Figure]:
        record = self._record
        kinds = Counter(death.kind for death in record.deaths)
        in_flight = sum(death.in_flight for death in record.deaths)
        repeats = sum(len(effects) - 1 for effects in self._effects(parked=False))
        return [
            Figure("kills", str(len(record.deaths))),
            *(Figure(f"  {_NAMES[kind]}", str(kinds[kind])) for kind in record.scenario.kinds if kinds[kind]),
            Figure("accepted", str(len(record.answers)), bool(record.answers)),
            none("lost", sum(1 for _ in self._find_lost())),
            none("events with more than one run", self._find_split()),
            none("effects after a checkpoint", sum(1 for _ in self._find_effects_after_checkpoint())),
            Figure("repeats", f"{repeats} (kills × steps in flight: {in_flight})", repeats <= in_flight),
            none("repeats without a kill between", self._find_unexplained_repeats()),
            none("repeats when the ledger honours keys", self._count_honoured_repeats()),
            none("differing inputs or keys", self._count_differing()),
            none("repeats under park", self._count_repeats_under_park()),
            none("effects beyond the attempts shown", sum(1 for _ in self._find_uncounted())),
            *self._more_figures(),
            Figure("time to ready", f"{median(record.starts):.2f} s (most: {max(record.starts):.2f} s)"),
        ]

    def _more_figures(self) -> Iterator[Figure]:
        """The figures of this scenario alone."""
        uncertain = [run for run in self._record.runs.values() if _is_uncertain(run)]
        yield Figure("park steps left uncertain", str(len(uncertain)), all(map(_is_explained, uncertain)))

    def table(self) -> str:
        """The figures as a table, followed by any other problems."""
        table = Table(
            title=f"kill loop of {self._record.scenario.name}, seed {self._record.seed}", title_justify="left"
        )
        table.add_column("figure")
        table.add_column("value")
        table.add_column("claim")
        for figure in self.figures():
            table.add_row(figure.name, figure.value, "holds" if figure.holds else "FAILS")
        console = Console(width=120, color_system=None)
        with console.capture() as capture:
            console.print(table)
            for problem in [*self.problems, *self._find_lost(), *self._find_uncounted()][:20]:
                console.print(f"problem: {problem}", markup=False, highlight=False, soft_wrap=True)
        return capture.get()

    # -- accepted and lost

    def _find_lost(self) -> Iterator[str]:
        """Accepted events without a run, or whose run did not end as expected."""
        for id, answers in self._record.answers.items():
            for run in sorted({run for answer in answers for run in answer.runs}):
                document = self._record.runs.get(run)
                if document is None:
                    yield f"{id}: its run {run} is gone"
                elif not self._is_well(id, document):
                    yield f"{id}: its run {run} is {document['status']}: {document['reason'] or document['error']}"
            if not all(answer.runs for answer in answers) and not self._may_be_skipped(id):
                yield f"{id}: was answered 2xx without a run"

    def _may_be_skipped(self, id: str) -> bool:
        return False

    def _is_well(self, id: str, run: Mapping[str, Any]) -> bool:
        """Whether a run ended as expected: every effect happened, and the outputs are the ledger's answers."""
        if _is_uncertain(run):
            return run["pipeline"] == "parked" and (id, "last") not in self._lines
        if run["status"] != "completed":
            return False
        return all(
            run["outputs"][step] in {line.position for line in self._lines[id, step] if line.outcome != "refused"}
            for step in STEPS[run["pipeline"]]
        )

    def _find_split(self) -> int:
        runs = Counter(run["inputs"]["event"] for run in self._record.runs.values())
        events = [
            {(answer.event, answer.runs) for answer in answers if answer.runs}
            for answers in self._record.answers.values()
        ]
        return sum(count > 1 for count in runs.values()) + sum(len(known) > 1 for known in events)

    # -- effects

    def _effects(self, *, parked: bool) -> list[list[Line]]:
        """The effects by place: of steps that must not be repeated, or of the others."""
        found = [
            [line for line in lines if line.outcome != "refused"]
            for (_, step), lines in self._lines.items()
            if self._may_not_repeat(step) == parked
        ]
        return [effects for effects in found if effects]

    def _may_not_repeat(self, step: str) -> bool:
        return step == MAY_NOT_REPEAT

    def _count_repeats_under_park(self) -> int:
        return sum(len(effects) - 1 for effects in self._effects(parked=True))

    def _find_effects_after_checkpoint(self) -> Iterator[Line]:
        """Lines after the position at which a dead service's journal held the checkpoint, or the failure unless a retry
        reopened the step."""
        for line in self._record.lines:
            known = self._record.checkpoints.get((line.run, line.path))
            if known is not None and line.position > known and not self._is_reopened(line):
                yield line

    def _is_reopened(self, line: Line) -> bool:
        history = self._record.histories.get(line.run, ())
        return any(entry["type"] == "step_reopened" and entry["path"] == line.path for entry in history)

    def _find_unexplained_repeats(self) -> int:
        """Repeats that no kill explains: both effects happened in one life."""
        ends = [death.position for death in self._record.deaths]
        lives = [[life(line, ends) for line in effects] for effects in self._effects(parked=False)]
        return sum(len(each) - len(set(each)) for each in lives)

    def _count_honoured_repeats(self) -> int:
        """Effects that a ledger which honours idempotency keys would have performed more than once."""
        performed = [sum(line.outcome == "performed" for line in lines) for lines in self._lines.values()]
        return sum(max(0, times - 1) for times in performed)

    def _count_differing(self) -> int:
        return sum(len({(line.key, line.sha256) for line in lines}) > 1 for lines in self._lines.values())

    def _find_uncounted(self) -> Iterator[str]:
        """Steps with more attempts in the ledger than in their run. A repeat that fetches a step's output has
        the key of its step."""
        seen = Counter((line.run, find_step_path(line.path)) for line in self._record.lines)
        for (id, path), times in seen.items():
            run = self._record.runs.get(id)
            steps = run["steps"] if run else {}
            shown = sum(
                step["attempts"] for each, step in steps.items() if each == path or each.startswith(f"{path}.again")
            )
            if times > shown:
                yield f"{id}: {path} shows {shown} attempts, and the ledger saw {times}"

    # -- other invariants

    def _problems(self) -> Iterator[str]:
        known = {run["inputs"]["event"]: id for id, run in self._record.runs.items()}
        for event, step in self._lines:
            if event not in known:
                yield f"{event}: step {step} had an effect, and there is no run"
        for id, history in self._record.histories.items():
            yield from _problems_of(id, history)


_NAMES = {
    "random": "at a random moment",
    "accept": "after an accept's commit, before its answer",
    "append": "after an append's commit, before its effects",
    "statement": "between two statements of a unit",
    "commit": "after the statements of a transaction, before its COMMIT",
    "recovery": "during recovery",
    "effect": "after an effect, before its checkpoint",
    "drain": "while it drains after SIGTERM",
    "call": "between a call's commit and the called run's admission",
    "child": "between a called run's end and its caller's",
    "event": "between an event's commit and its delivery to a run",
    "answer": "between an answer's commit and its delivery",
    "cancel": "between a cancel's commit and its delivery",
    "resolve": "between a decision's commit and its delivery",
    "retry": "between a retry's commit and its takeover",
    "slot": "between a slot's freeing and its grant's delivery",
    "emit": "between a sent event's commit and its step's checkpoint",
    "undo": "in the middle of an undo",
    "burst": "in the middle of a foreach's burst",
    "paused": "just paused",
}


def none(name: str, count: int) -> Figure:
    return Figure(name, str(count), count == 0)


def life(line: Line, ends: Sequence[int]) -> int:
    return sum(end < line.position for end in ends)


def _is_uncertain(run: Mapping[str, Any]) -> bool:
    return any(step["status"] == "uncertain" for step in run["steps"].values())


def _is_explained(run: Mapping[str, Any]) -> bool:
    return run["status"] == "paused" and MAY_NOT_REPEAT in (run["reason"] or "")


def _problems_of(run: str, history: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """A history has no gaps, and one checkpoint per step, unless a retry voided it."""
    if [entry["sequence"] for entry in history] != list(range(1, len(history) + 1)):
        yield f"{run}: its history has gaps"
    checkpoints: Counter[str] = Counter()
    for entry in history:
        if entry["type"] == "page_completed":
            checkpoints[make_page_path(entry["path"], entry["page"])] += 1
        if entry["type"] == "step_completed":
            checkpoints[entry["path"]] += 1
        for path in entry["paths"] if entry["type"] == "steps_voided" else ():
            checkpoints[path] = 0
    yield from (f"{run}: step {path} has {times} checkpoints" for path, times in checkpoints.items() if times > 1)
