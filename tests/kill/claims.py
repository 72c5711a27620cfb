"""The claims of a kill loop with every construct, beyond those that hold for any run."""

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from tests.kill.constructs import CALLS, GUARDED, LIMITS, Expected, expect_end
from tests.kill.evidence import Evidence, Figure, life, none
from tests.kill.ledger import Line
from tests.kill.loop import CONSTRUCTS, Record
from tests.kill.pager import ITEMS

ENDED = frozenset({"completed", "failed", "cancelled"})
HOLDS = ("first", "hold-0", "hold-1", "hold-2")
"""What is to be taken back, in the order in which it is done."""


def evidence_of(record: Record) -> Evidence:
    """The evidence of a loop, chosen by its scenario."""
    return ConstructsEvidence(record) if record.scenario.name == CONSTRUCTS.name else Evidence(record)


class ConstructsEvidence(Evidence):
    """Each claim yields its violations."""

    def __init__(self, record: Record) -> None:
        self._by_key: dict[str, list[Line]] = defaultdict(list)
        for line in record.lines:
            self._by_key[line.key].append(line)
        super().__init__(record)
        self._broken = {name: list(claim) for name, claim in self._claims()}
        self.problems += [f"{name}: {each}" for name, claim in self._broken.items() for each in claim]

    def _more_figures(self) -> Iterator[Figure]:
        record, people = self._record, self._record.people
        runs = Counter(run["status"] for run in record.runs.values())
        yield Figure("runs in all", ", ".join(f"{number} {status}" for status, number in sorted(runs.items())))
        yield Figure("answers taken", str(sum(map(len, people.answers_taken.values()))))
        yield Figure("events sent", str(sum(map(len, people.events_taken.values()))))
        yield Figure("cancels taken", str(len(people.cancels_taken)))
        yield Figure("retries taken", str(sum(people.retries_taken.values())))
        yield Figure("decisions taken", str(sum(people.verdicts_taken.values())))
        yield from (none(name, len(broken)) for name, broken in self._broken.items())

    def _claims(self) -> Iterator[tuple[str, Iterator[str]]]:
        yield "runs that did not end as they should", self._find_unexpected_ends()
        yield "pages lost, doubled or out of order", self._find_misplaced_pages()
        yield "runs stuck at the end", self._find_stuck()
        yield "answers lost though both sides lived", self._find_interrupted()
        yield "receipts that are not the ledger's", self._find_forged()
        yield "waits answered but forgotten", self._find_forgotten_answers()
        yield "decisions taken but forgotten", self._find_forgotten_decisions()
        yield "cancels taken but not heard", self._find_ignored_cancels()
        yield "retries taken but not performed, or performed unasked", self._find_retry_faults()
        yield "events missed", self._find_missed_events()
        yield "events written or delivered twice", self._find_doubled_events()
        yield "called runs doubled", self._find_doubled_runs()
        yield "called runs orphaned", self._find_orphaned_runs()
        yield "called runs that never began", self._find_unstarted_runs()
        yield "undo out of order", self._find_unordered_undos()
        yield "undo missing", self._find_missing_undos()
        yield "concurrency limit exceeded", self._find_exceeded_limits()
        yield "finally missing or under two keys", self._find_finally_faults()

    # -- how runs ended

    def _may_be_skipped(self, id: str) -> bool:
        return "-skipping-" in id

    def _is_well(self, id: str, run: Mapping[str, Any]) -> bool:
        return not list(self._wrong_with(run))

    def _find_unexpected_ends(self) -> Iterator[str]:
        for id, run in self._record.runs.items():
            for wrong in self._wrong_with(run):
                yield f"{id} of {run['pipeline']} ({run['inputs'].get('event')}): {wrong}"

    def _wrong_with(self, run: Mapping[str, Any]) -> Iterator[str]:
        if run["status"] not in ENDED:
            return  # it is reported as stuck
        wanted = expect_end(run["pipeline"], run["inputs"])
        done = self._find_performed_steps(_event(run))
        if more := done - wanted.must - wanted.may:
            yield f"it has done {sorted(more)}"
        if run["status"] == "cancelled":
            if not self._may_be_cancelled(run):
                yield f"nobody cancelled it: {run['reason']}"
        elif run["status"] not in wanted.status:
            yield f"it is {run['status']}: {run['reason'] or run['error']}"
        else:
            yield from self._left_out(run, wanted, done)

    def _left_out(self, run: Mapping[str, Any], wanted: Expected, done: set[str]) -> Iterator[str]:
        """The expected effects that a run which ended by itself lacks, except steps that a person told it to skip."""
        decided = {path for id, path in self._record.people.verdicts if id == run["id"]}
        must = set(wanted.must)
        if run["pipeline"] == "parking":
            must |= {f"park-{i}" for i in range(2) if f"each[{i}].park" not in decided}
        if run["pipeline"] == "pausing" and run["status"] == "completed":
            must.add("after")
        if less := must - done:
            yield f"it is {run['status']} and has not done {sorted(less)}"

    def _find_performed_steps(self, event: str) -> set[str]:
        return {step for (of, step), lines in self._lines.items() if of == event and _list_performed(lines)}

    def _may_be_cancelled(self, run: Mapping[str, Any]) -> bool:
        parent = self._record.runs.get(run["parent"]["run"]) if run["parent"] else None
        is_asked = run["id"] in self._record.people.cancels or run["pipeline"] == "replacing"
        return is_asked or (parent is not None and self._may_be_cancelled(parent))

    def _find_stuck(self) -> Iterator[str]:
        """Everything was answered, so no run may still be in progress."""
        for id, run in self._record.runs.items():
            if run["status"] not in ENDED:
                waits = [wait["step"] for wait in run["waits"]]
                yield f"{id} of {run['pipeline']} is {run['status']}: {run['reason']}, waits {waits}, {run['due_at']}"

    def _find_forged(self) -> Iterator[str]:
        for id, run in self._record.runs.items():
            for path, step in run["steps"].items():
                output = step["output"]
                receipt = output.get("receipt") if isinstance(output, dict) else None
                lines = self._by_key[f"{id}:{path}"]
                if receipt and lines and receipt not in {line.position for line in _list_performed(lines)}:
                    yield f"{id}: {path} has {receipt}"

    def _find_misplaced_pages(self) -> Iterator[str]:
        """The output of a list has the receipts of all of its pages, in order."""
        for id, run in self._of("paging"):
            if run["status"] != "completed":
                continue
            receipts = run["steps"]["fetch"]["output"]["receipts"]
            pages = [
                {line.position for line in _list_performed(self._lines[_event(run), f"page-{number}"])}
                for number in range(len(receipts) // ITEMS)
            ]
            if not all(receipt in pages[place // ITEMS] for place, receipt in enumerate(receipts)):
                yield f"{id}: {receipts}, and the ledger has {pages}"

    def _find_interrupted(self) -> Iterator[str]:
        """The ledger answers everything that it has written, so only a death can withhold an answer."""
        for id in self._record.runs:
            for entry in self._entries(id, "attempt_failed"):
                if entry["ending"] == "unknown":
                    yield f"{id}: {entry['path']}, {entry['at']}: {entry['error']['message']}"

    # -- answers and decisions

    def _find_forgotten_answers(self) -> Iterator[str]:
        people = self._record.people
        for (id, path), words in people.answers_taken.items():
            run = self._record.runs.get(id)
            if len(words) > 1:
                yield f"{id}: {path} took two answers"
            if run is not None and run["status"] == "cancelled":
                continue
            if run is None or _find_answer(run, path) != words[0]:
                yield f"{id}: {path} was sent {words[0]} and recorded {run and _find_answer(run, path)}"

    def _find_forgotten_decisions(self) -> Iterator[str]:
        for (id, path), times in self._record.people.verdicts_taken.items():
            resolved = self._entries(id, "step_resolved")
            if sum(entry["path"] == path for entry in resolved) < times:
                yield f"{id}: {path}"

    def _find_ignored_cancels(self) -> Iterator[str]:
        for id, at in self._record.people.cancels_taken.items():
            entries = self._record.histories[id]
            is_over = entries[-1]["type"] == "run_finished" and _milliseconds(entries[-1]["at"]) <= at
            if not is_over and not self._entries(id, "cancel_requested"):
                yield f"{id}: {self._record.runs[id]['status']}"

    def _find_retry_faults(self) -> Iterator[str]:
        people = self._record.people
        for id in self._record.runs:
            taken, performed = people.retries_taken[id], len(self._entries(id, "run_retried"))
            if performed < taken or (performed and not people.retries[id]):
                yield f"{id}: {taken} retries were taken, and {performed} performed"

    # -- events

    def _find_missed_events(self) -> Iterator[str]:
        runs = Counter(_event(run) for run in self._record.runs.values())
        for id, run in self._of("listening"):
            for event in self._record.people.events_taken[_event(run)] - set(_list_received_events(run)):
                if run["status"] != "cancelled":
                    yield f"{id}: {event}"
        for id, run in self._of("echoing"):
            if run["status"] != "completed" and _status(run, "both.tell") == "completed":
                yield f"{id}: its own"
        for id, run in self._of("telling"):
            if run["status"] == "completed" and not runs[_event(run).removesuffix(".t") + ".h"]:
                yield f"{id}: nobody was started by its event"

    def _find_doubled_events(self) -> Iterator[str]:
        yield from (
            f"{key} of {source}"
            for (source, key), times in self._record.events.items()
            if times > 1 and not self._may_be_skipped(key)
        )
        for id in self._record.runs:
            signals = Counter(entry["path"] for entry in self._entries(id, "signal_received"))
            yield from (f"{id}: {path}" for path, times in signals.items() if times > 1)
        for id, run in self._of("listening"):
            heard = _list_received_events(run)
            if len(set(heard)) < len(heard):
                yield f"{id}: heard {heard}"
        for key, events in self._record.people.events_known.items():
            if len(events) > 1:
                yield f"{key} is {len(events)} events"
        runs = Counter(_event(run) for _, run in self._of("hearing"))
        yield from (f"{event} was started {times} times" for event, times in runs.items() if times > 1)

    # -- calls

    def _find_doubled_runs(self) -> Iterator[str]:
        runs = Counter(_event(run) for run in self._record.runs.values() if run["trigger"] == "call")
        yield from (f"{event}: {times} runs" for event, times in runs.items() if times > 1)

    def _find_orphaned_runs(self) -> Iterator[str]:
        runs = self._record.runs
        called = {entry["run"]: (id, entry["path"]) for id in runs for entry in self._entries(id, "child_called")}
        for id, run in runs.items():
            if run["trigger"] != "call":
                continue
            parent = runs.get(run["parent"]["run"])
            if parent is None or called.get(id) != (run["parent"]["run"], run["parent"]["step"]):
                yield f"{id}: {run['parent']} did not call it"
            elif parent["status"] in ENDED and run["status"] not in ENDED:
                yield f"{id}: it is {run['status']} and its caller {parent['status']}"
            elif run["status"] in ENDED and _status(parent, run["parent"]["step"]) == "waiting":
                yield f"{id}: it has ended, and its caller waits"

    def _find_unstarted_runs(self) -> Iterator[str]:
        """Called runs that do not exist."""
        runs = self._record.runs
        for id, run in runs.items():
            for entry in self._entries(id, "child_called"):
                if entry["run"] not in runs and _status(run, entry["path"]) == "waiting":
                    yield f"{id}: {entry['path']} called {entry['run']}, which has not begun"
        for id, run in self._of("calling"):
            begun = {
                _event(each).rpartition(".")[2]
                for each in runs.values()
                if each["trigger"] == "call" and _calls(run, each)
            }
            if run["status"] == "completed" and begun != CALLS:
                yield f"{id}: it called {sorted(begun)}"

    # -- undo and finally

    def _find_unordered_undos(self) -> Iterator[str]:
        for id, run in (*self._of("undoing"), *self._of("reverting")):
            undone = [_list_performed(self._lines[_event(run), f"undo-{hold}"]) for hold in reversed(HOLDS)]
            first = [lines[0].position for lines in undone if lines]
            if first != sorted(first):
                yield f"{id}: {first}"

    def _find_missing_undos(self) -> Iterator[str]:
        for id, run in (*self._of("undoing"), *self._of("reverting")):
            for hold in HOLDS if run["status"] in ENDED else ():
                is_held = _list_performed(self._lines[_event(run), hold])
                if is_held and not _list_performed(self._lines[_event(run), f"undo-{hold}"]):
                    yield f"{id}: {hold}; {run['undo']}"

    def _find_finally_faults(self) -> Iterator[str]:
        for pipeline, effects in GUARDED.items():
            for id, run in self._of(pipeline):
                is_entered = any(entry["path"] == "guard" for entry in self._entries(id, "block_started"))
                for effect in effects if is_entered and run["status"] in ENDED else ():
                    keys = {line.key for line in _list_performed(self._lines[_event(run), effect])}
                    if len(keys) != 1:
                        yield f"{id}: {effect} was performed under {len(keys)} keys"

    # -- slots

    def _find_exceeded_limits(self) -> Iterator[str]:
        """A run holds its slot between its first and its last checkpoint: no more may overlap than there are slots.

        A cancelled attempt may reach the ledger late; a checkpointed receipt did not.
        """
        for pipeline, (limit, key_of) in LIMITS.items():
            spans: dict[object, list[tuple[int, int]]] = defaultdict(list)
            for _, run in self._of(pipeline):
                if receipts := _receipts(run):
                    spans[key_of(run["inputs"]["n"])].append((min(receipts), max(receipts)))
            for key, each in spans.items():
                if (most := _most_at_once(each)) > limit:
                    yield f"{pipeline}, {key}: {most} at once"

    # -- repeats

    def _may_not_repeat(self, step: str) -> bool:
        return step.startswith("park-")

    def _effects(self, *, parked: bool) -> list[list[Line]]:
        """Without repeats that a person requested, or that fetch the output of a step to be undone."""
        return [
            lines[min(self._count_excused(lines[0]), len(lines) - 1) :] for lines in super()._effects(parked=parked)
        ]

    def _find_unexplained_repeats(self) -> int:
        ends = [death.position for death in self._record.deaths]
        every = super()._effects(parked=False)
        in_one_life = [len(lines) - len({life(line, ends) for line in lines}) for lines in every]
        return sum(max(0, more - self._count_excused(lines[0])) for more, lines in zip(in_one_life, every, strict=True))

    def _count_excused(self, line: Line) -> int:
        """The number of legitimate repeats of this effect."""
        again = [entry["path"].startswith(f"{line.path}.again") for entry in self._entries(line.run, "step_scheduled")]
        resolved = [entry for entry in self._entries(line.run, "step_resolved") if entry["path"] == line.path]
        reopened = [entry["path"] for entry in self._entries(line.run, "step_reopened")]
        return again.count(True) + [entry["verdict"] for entry in resolved].count("retry") + reopened.count(line.path)

    # -- reading

    def _of(self, pipeline: str) -> list[tuple[str, Mapping[str, Any]]]:
        return [(id, run) for id, run in self._record.runs.items() if run["pipeline"] == pipeline]

    def _entries(self, id: str, kind: str) -> list[Mapping[str, Any]]:
        return [entry for entry in self._record.histories.get(id, ()) if entry["type"] == kind]


def _event(run: Mapping[str, Any]) -> str:
    return str(run["inputs"]["event"])


def _list_performed(lines: Sequence[Line]) -> list[Line]:
    return [line for line in lines if line.outcome != "refused"]


def _find_answer(run: Mapping[str, Any], path: str) -> object:
    """The answer that a wait ended with."""
    step, name = (path.partition(".")[0], path.partition(".")[2]) if path == "first.answer" else (path, "")
    output = run["steps"].get(step, {}).get("output") or {}
    output = output.get("output") or {} if name else output
    return output.get("comment") or (output.get("body") or {}).get("words")


def _list_received_events(run: Mapping[str, Any]) -> list[str]:
    one = run["steps"].get("one", {}).get("output") or {}
    two = (run["steps"].get("two", {}).get("output") or {}).get("output") or {}
    return [each["id"] for each in (one, two) if each]


def _status(run: Mapping[str, Any], path: str) -> str:
    return str(run["steps"].get(path, {}).get("status", "pending"))


def _calls(parent: Mapping[str, Any], child: Mapping[str, Any]) -> bool:
    return bool(child["parent"]) and child["parent"]["run"] == parent["id"]


def _receipts(run: Mapping[str, Any]) -> list[int]:
    outputs = [step["output"] for step in run["steps"].values() if step["status"] == "completed"]
    return [each["receipt"] for each in outputs if isinstance(each, dict) and each.get("receipt")]


def _most_at_once(spans: Sequence[tuple[int, int]]) -> int:
    changes: list[tuple[float, int]] = sorted(
        [(first, 1) for first, _ in spans] + [(last + 0.5, -1) for _, last in spans]
    )
    most = now = 0
    for _, change in changes:
        now += change
        most = max(most, now)
    return most


def _milliseconds(moment: Any) -> float:
    return datetime.fromisoformat(moment).timestamp() * 1000
