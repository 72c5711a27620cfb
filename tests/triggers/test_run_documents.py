"""The documents of a run of any length: bounded, with the steps to look at first, and nothing out of reach."""

from collections.abc import AsyncIterator, Iterable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from durable.history.entries import (
    AnyEntry,
    AttemptFailed,
    BlockStarted,
    BranchEnded,
    BranchStarted,
    ChildCalled,
    MainEnded,
    RunFinished,
    StepCompleted,
    StepFailed,
    StepScheduled,
    StepUncertain,
    WaitStarted,
)
from durable.history.words import Await, Failure
from durable.journal.folds import BYTES_LIMIT, KEPT_FROM, TRIES_LIMIT, Fold, Folds
from durable.journal.journal import Journal
from durable.values import JSON, Value
from tests.journal import samples
from triggers.not_found import StepNotFound
from triggers.runs.run import encode_run, encode_run_part
from triggers.runs.steps import StepQuery, encode_step, encode_steps

pytestmark = pytest.mark.anyio

ITEMS = 2_000
FAILED = (7, 1_900)
LONG_TEXT = "é\x00" * 5_000
BROKEN = Failure.of("server", "503", LONG_TEXT, "each[7].do", 1, details=Value.of({"body": "x" * 8_000}))


def _fail(error: BaseException) -> None:
    raise error


@pytest.fixture
async def journal(tmp_path: Path) -> AsyncIterator[Journal]:
    opened = await Journal.open(tmp_path / "data", node="node-1", on_fatal=_fail)
    yield opened
    await opened.close()


class Writer:
    """Appends to the history of a run."""

    def __init__(self, journal: Journal, run: str) -> None:
        self._journal = journal
        self.run = run
        self.sequence = 1

    @classmethod
    async def start(cls, journal: Journal, name: str = "long") -> "Writer":
        return cls(journal, await samples.a_run(journal, name))

    async def append(self, *entries: AnyEntry) -> None:
        for first in range(0, len(entries), 200):
            part = entries[first : first + 200]
            await self._journal.append(self.run, 1, self.sequence, part, samples.RUNNING)
            self.sequence += len(part)


def _perform(path: str, output: str | None = None) -> list[AnyEntry]:
    return [
        StepScheduled(at=1_000, path=path, input=Value.of({"n": path})),
        StepCompleted(at=1_001, path=path, attempt=1, started_at=1_000, output=Value.of({"done": path, "o": output})),
    ]


def _fail_step(path: str) -> list[AnyEntry]:
    return [
        StepScheduled(at=1_000, path=path, input=Value.of({"n": path})),
        AttemptFailed(at=1_001, path=path, attempt=1, error=BROKEN, ending="answered", started_at=1_000),
        StepFailed(at=1_001, path=path, error=BROKEN),
    ]


def _perform_loop() -> Iterable[AnyEntry]:
    yield BlockStarted(at=1_000, path="each", kind="foreach", items=Value.of(list(range(ITEMS))), count=ITEMS)
    for number in range(ITEMS):
        yield BranchStarted(at=1_000, path="each", branch="steps", index=number)
        if number in FAILED:
            yield from _fail_step(f"each[{number}].do")
            yield BranchEnded(at=1_001, path="each", branch="steps", index=number, status="failed", error=BROKEN)
        else:
            yield from _perform(f"each[{number}].do", output="y" * 300)
            yield BranchEnded(at=1_001, path="each", branch="steps", index=number, status="completed")
    yield StepCompleted(at=1_002, path="each")


async def _start_long_run(journal: Journal) -> Writer:
    writer = await Writer.start(journal)
    await writer.append(*_perform("first"), *_perform_loop(), *_perform("last", output="z" * 5_000))
    return writer


async def _read(journal: Journal, run: str) -> dict[str, Any]:
    document: dict[str, Any] = msgspec.json.decode((await encode_run(journal, run)).text)
    return document


async def _list(journal: Journal, run: str, **query: Any) -> list[dict[str, Any]]:
    """All pages."""
    found: list[dict[str, Any]] = []
    after: str | None = None
    while True:
        page, after = await encode_steps(journal, run, StepQuery(**query, after=after))
        assert len(page) < 65_000
        found += msgspec.json.decode(page)
        if after is None:
            return found


def _paths(steps: Iterable[dict[str, Any]]) -> list[str]:
    return [step["path"] for step in steps]


async def test_a_long_run_shows_what_failed_first_then_what_is_outside_of_loops(journal: Journal) -> None:
    run = (await _start_long_run(journal)).run
    document = await _read(journal, run)
    assert _paths(document["steps"])[:5] == ["each[7].do", "each[1900].do", "first", "each", "last"]
    assert document["step_counts"] == {"completed": ITEMS + 1, "failed": 2}
    loop = document["steps"][3]
    assert loop["items"] == {"total": ITEMS, "counts": {"completed": ITEMS - 2, "failed": 2}, "failed": list(FAILED)}
    assert document["steps_after"] is not None


async def test_the_document_of_any_run_has_less_than_100_kilobytes(journal: Journal) -> None:
    writer = await _start_long_run(journal)
    big = Value.of("x" * 9_900)
    await writer.append(
        *(entry for number in range(300) for entry in _fail_step(f"f{number}")),
        *(
            entry
            for number in range(300)
            for entry in (
                StepScheduled(at=1_000, path=f"w{number}", input=Value.of({"title": "\x00" * 900})),
                WaitStarted(at=1_000, path=f"w{number}", awaits=(Await("approval"),)),
            )
        ),
        *(entry for number in range(300) for entry in _perform(f"c{number}", output="\x00" * 600)),
        *(ChildCalled(at=1_000, path=f"c{number}", run=f"run_{number:026}") for number in range(300)),
        StepCompleted(at=1_000, path="w1", output=big, is_answer=True),
        MainEnded(at=1_003, status="failed", outputs=big, error=BROKEN, reason="\x00" * 9_000, cleanup_error=BROKEN),
        RunFinished(at=1_004, status="failed", cleanup_error=BROKEN),
    )
    text, _ = await encode_run(journal, writer.run)
    document = msgspec.json.decode(text)
    assert len(text) < 85_000, "with room for the reasons of whoever repeated or retried it"
    assert document["omitted"].keys() == {"error", "cleanup_error", "reason"}
    assert (document["children_count"], len(document["children"])) == (300, 20)
    assert len(await _list(journal, writer.run, only="calls")) == 300


async def test_the_pages_of_steps_have_each_step_once_in_either_order(journal: Journal) -> None:
    run = (await _start_long_run(journal)).run
    by_time = _paths(await _list(journal, run, order="time"))
    assert by_time == ["first", "each", *(f"each[{number}].do" for number in range(ITEMS)), "last"]
    by_attention = _paths(await _list(journal, run))
    assert sorted(by_attention) == sorted(by_time)
    first = await _read(journal, run)
    page, _ = await encode_steps(journal, run, StepQuery(after=first["steps_after"]))
    shown = len(first["steps"])
    assert _paths(msgspec.json.decode(page))[:3] == by_attention[shown : shown + 3]


async def test_steps_are_selected_by_status_and_by_place(journal: Journal) -> None:
    run = (await _start_long_run(journal)).run
    assert _paths(await _list(journal, run, status="failed")) == [f"each[{number}].do" for number in FAILED]
    assert _paths(await _list(journal, run, under="each[12]")) == ["each[12].do"]
    inside = [f"each[{number}].do" for number in range(ITEMS)]
    assert _paths(await _list(journal, run, under="each", order="time")) == inside
    by_attention = [inside[number] for number in FAILED] + [inside[n] for n in range(ITEMS) if n not in FAILED]
    assert _paths(await _list(journal, run, under="each")) == by_attention
    assert _paths(await _list(journal, run, outline=True)) == ["first", "each", "last"]
    assert len(await _list(journal, run, outline=True, under="each")) == ITEMS
    assert await _list(journal, run, under="eac") == []


async def test_nested_loops_are_one_row_in_the_outline_of_the_loop_around_them(journal: Journal) -> None:
    writer = await Writer.start(journal)
    for item in ("outer[0]", "outer[1]"):
        await writer.append(*_perform(f"{item}.inner[0].do"), *_perform(f"{item}.plain"), *_perform(f"{item}.inner"))
    shown = _paths(await _list(journal, writer.run, outline=True, under="outer", order="time"))
    assert shown == ["outer[0].plain", "outer[0].inner", "outer[1].plain", "outer[1].inner"]
    inside = _paths(await _list(journal, writer.run, outline=True, under="outer[1].inner"))
    assert inside == ["outer[1].inner[0].do"]


async def test_what_is_left_out_is_named_and_can_be_read_whole(journal: Journal) -> None:
    writer = await _start_long_run(journal)
    outputs: dict[str, JSON] = {"text": "o" * 20_000}
    await writer.append(
        MainEnded(at=1_003, status="failed", outputs=Value.of(outputs), error=BROKEN),
        RunFinished(at=1_004, status="failed"),
    )
    run = writer.run
    document = await _read(journal, run)
    last = next(step for step in document["steps"] if step["path"] == "last")
    url = f"/api/runs/{run}/steps/last"
    assert (last["output"], last["omitted"]["output"]["url"], last["omitted"]["output"]["size"] > 5_000) == (
        None,
        url,
        True,
    )
    whole = msgspec.json.decode(await encode_step(journal, run, "last"))
    assert whole["output"] == {"done": "last", "o": "z" * 5_000}
    assert whole["omitted"] == {}
    assert document["outputs"] is None
    assert document["omitted"]["outputs"]["url"] == f"/api/runs/{run}/values/outputs"
    assert msgspec.json.decode(await encode_run_part(journal, run, "outputs")) == outputs
    assert document["error"]["details"] is None
    assert len(document["error"]["message"]) < 600
    error = msgspec.json.decode(await encode_run_part(journal, run, "error"))
    assert error["message"].startswith(LONG_TEXT[:4_000])
    assert error["details"] == {"body": "x" * 8_000}
    failed = msgspec.json.decode(await encode_step(journal, run, "each[7].do"))
    assert failed["error"] == error == failed["tries"][0]["error"]


async def test_a_step_that_was_not_reached_is_not_found(journal: Journal) -> None:
    writer = await Writer.start(journal)
    with pytest.raises(StepNotFound):
        await encode_step(journal, writer.run, "nowhere")


async def test_a_decision_comes_before_all_failures(journal: Journal) -> None:
    writer = await Writer.start(journal)
    entries = [entry for number in range(200) for entry in _fail_step(f"f{number}")]
    scheduled = StepScheduled(at=1_000, path="pay", input=Value.of({}))
    await writer.append(*entries, scheduled, StepUncertain(at=1_001, path="pay", attempt=1, error=BROKEN))
    assert (await _read(journal, writer.run))["steps"][0]["path"] == "pay"
    assert _paths(await _list(journal, writer.run, only="decisions")) == ["pay"]


async def test_only_the_last_attempts_of_a_step_are_kept(journal: Journal) -> None:
    writer = await Writer.start(journal)
    failure = Failure.of("server", "503", "no", "retried", 1)
    attempts = (AttemptFailed(at=n, path="retried", attempt=n, error=failure, ending="answered") for n in range(1, 100))
    await writer.append(StepScheduled(at=1, path="retried"), *attempts)
    tries = msgspec.json.decode(await encode_step(journal, writer.run, "retried"))["tries"]
    assert [each["attempt"] for each in tries] == list(range(100 - TRIES_LIMIT, 100))


# -- folds ------------------------------------------------------------------------------------------------------


async def test_a_second_read_replays_only_what_was_appended(journal: Journal) -> None:
    writer = await _start_long_run(journal)
    run = writer.run
    row = await journal.find_run(run)
    assert row
    first = await journal.scan_fold(row, lambda scan, fold: (id(fold), fold.state.entries))
    await writer.append(*_perform("more"))
    row = await journal.find_run(run)
    assert row
    second = await journal.scan_fold(row, lambda scan, fold: (id(fold), fold.state.entries))
    assert second == (first[0], first[1] + 2)
    assert (await _read(journal, run))["step_counts"]["completed"] == ITEMS + 2


def test_folds_are_kept_only_if_they_are_long_and_as_far_as_there_is_room() -> None:
    folds = Folds()
    sizes = {"short": 10, "half": BYTES_LIMIT // 2, "other": BYTES_LIMIT // 2, "more": 10, "huge": BYTES_LIMIT + 1}
    kept: dict[str, Fold] = {}
    for run, weight in sizes.items():
        kept[run] = folds.take(run)
        kept[run].weight = weight
        kept[run].state.entries = 1 if run == "short" else KEPT_FROM
        folds.keep(kept[run])
    assert {run for run, fold in kept.items() if folds.take(run) is fold} == {"other", "more"}


# -- tags -------------------------------------------------------------------------------------------------------


async def test_a_document_that_did_not_change_is_not_sent_again(journal: Journal) -> None:
    writer = await Writer.start(journal)
    await writer.append(*_perform("one"))
    text, tag = await encode_run(journal, writer.run)
    assert text
    assert await encode_run(journal, writer.run, known=tag) == (b"", tag)
    assert (await encode_run(journal, writer.run, known='"another"')).text
    assert (await encode_run(journal, writer.run, known=tag, may_answer=False)).text
    await writer.append(*_perform("two"))
    changed = await encode_run(journal, writer.run, known=tag)
    assert changed.text
    assert changed.tag != tag


async def test_a_run_that_called_another_is_sent_each_time(journal: Journal) -> None:
    writer = await Writer.start(journal)
    await writer.append(StepScheduled(at=1, path="call"), ChildCalled(at=1, path="call", run="run_x"))
    assert (await encode_run(journal, writer.run)).tag is None


# -- waits ------------------------------------------------------------------------------------------------------


async def test_the_waits_of_a_run_are_counted_and_the_first_are_shown(journal: Journal) -> None:
    writer = await Writer.start(journal)
    for number in range(30):
        await writer.append(
            StepScheduled(at=1_000, path=f"w{number}", input=Value.of({"title": f"Question {number}"})),
            WaitStarted(at=1_000, path=f"w{number}", awaits=(Await("approval"),)),
        )
    document = await _read(journal, writer.run)
    assert document["waits_count"] == 30
    assert [wait["title"] for wait in document["waits"]] == [f"Question {number}" for number in range(20)]
