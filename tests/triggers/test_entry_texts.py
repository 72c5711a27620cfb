"""Histories as sentences: one for every kind of entry, with what matters in it."""

from typing import get_args

import pytest

from durable.history import entries
from durable.history.entries import AnyEntry
from durable.history.words import Await, Failure
from tests.histories import names, read
from triggers.runs.entry_text import SENTENCES, describe_entry
from triggers.runs.version_steps import NO_PIPELINE, VersionSteps, load_version_steps

BARE = VersionSteps(NO_PIPELINE)
DEFINITION = b"""{"id": "p", "steps": [{"kind": "switch", "id": "large", "cases": [
    {"when": "inputs.total > 500", "steps": [{"kind": "action", "id": "note", "use": "log.write"}]}]}]}"""


def test_every_kind_of_entry_has_a_sentence() -> None:
    assert set(SENTENCES) == {*get_args(entries.Fact), *get_args(entries.Decision)}


@pytest.mark.parametrize("name", names())
def test_each_entry_of_a_recorded_history_is_a_sentence_in_one_line(name: str) -> None:
    for entry in read(name).entries:
        text = describe_entry(entry, BARE)
        assert text
        assert "None" not in text or "None" in str(entry), text


@pytest.mark.parametrize(
    ("entry", "text"),
    [
        (
            entries.BranchStarted(at=1, path="large", branch="case 1"),
            "large takes case 1, because inputs.total > 500",
        ),
        (entries.StepScheduled(at=1, path="large.note"), "large.note is due: log.write"),
        (
            entries.StepCompleted(at=2_500, path="a", attempt=2, started_at=500),
            "a completed in attempt 2 after 2.0 s",
        ),
        (
            entries.AttemptFailed(
                at=1, path="a", attempt=1, error=Failure.of("timeout", None, "no answer"), ending="unknown"
            ),
            "Attempt 1 of a failed: timeout: no answer; it is not known whether it had its effect",
        ),
        (entries.RetryScheduled(at=0, path="a", attempt=2, due=1_500), "Attempt 2 of a follows in 1.5 s"),
        (
            entries.WaitStarted(at=0, path="a", awaits=(Await("event", type="paid", match="7"),), due=60_000),
            "a waits for an event paid 7, for 1 min at most",
        ),
        (
            entries.StepResolved(at=0, path="a", verdict="retry", by="Ada", reason="not on the bill"),
            "It was decided that a did not happen and is attempted again by Ada: not on the bill",
        ),
    ],
)
def test_a_sentence_says_what_happened_and_why(entry: AnyEntry, text: str) -> None:
    assert describe_entry(entry, load_version_steps(DEFINITION)) == text
