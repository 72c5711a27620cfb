"""Spans built from histories."""

import pytest

from durable.blocks.core_actions import CORE_ACTIONS
from durable.history.entries import AttemptFailed, AttemptLost, PageCompleted, RunFinished, RunForked, StepCompleted
from durable.trace import make_trace_id
from tests.histories import Recorded, names, read
from triggers.runs.version_steps import load_version_steps
from triggers.traces.builder import SpanBuilder, TracedRun
from triggers.traces.span import Span

RECORDED = {name: read(name) for name in names()}


def build(recorded: Recorded, sent: int = 0) -> list[Span]:
    steps = load_version_steps(recorded.compiled().data)
    started = recorded.started
    run = TracedRun(recorded.run, started.pipeline, started.version, "evt_1", started.trigger, steps, lambda use: False)
    builder = SpanBuilder(run, sent, lambda other: None)
    for entry in recorded.entries:
        builder.add(entry)
    return builder.spans


def find_own_part(recorded: Recorded) -> int:
    """The number of entries that a fork has copied."""
    return next((number for number, each in enumerate(recorded.entries) if isinstance(each, RunForked)), 0)


@pytest.mark.parametrize("name", RECORDED)
def test_the_spans_of_every_recorded_run_are_a_tree(name: str) -> None:
    recorded = RECORDED[name]
    built = build(recorded)
    spans = {span.place.span: span for span in built}
    assert len(spans) == len(built)
    assert {span.place.trace for span in built} <= {make_trace_id(recorded.run)}
    ends = [each for each in recorded.entries[find_own_part(recorded) :] if isinstance(each, RunFinished)]
    runs = [span for span in built if "waypost.run" in span.attributes]
    assert [span.attributes["waypost.status"] for span in runs] == [end.status for end in ends]
    for span in built:
        assert span.start <= span.end
        is_below = span in runs or not isinstance(recorded.entries[-1], RunFinished) or span.parent in spans
        assert is_below, f"{span.attributes} has no parent"
    if not find_own_part(recorded):
        assert {link.span for span in built for link in span.links} <= spans.keys()


@pytest.mark.parametrize("name", RECORDED)
def test_every_attempt_of_a_recorded_run_that_ended_is_a_span(name: str) -> None:
    recorded, steps = RECORDED[name], load_version_steps(RECORDED[name].compiled().data)
    ended = [
        (each.path, each.at)
        for each in recorded.entries[find_own_part(recorded) :]
        if isinstance(each, AttemptFailed | AttemptLost | PageCompleted)
        or (isinstance(each, StepCompleted) and each.started_at is not None)
    ]
    spans = [each for each in build(recorded) if each.attributes.get("waypost.outcome") != "cancelled"]
    assert sorted(at for path, at in ended if steps.find_use(path) not in CORE_ACTIONS) == sorted(
        span.end for span in spans if "waypost.attempt" in span.attributes
    )


@pytest.mark.parametrize("name", RECORDED)
def test_a_run_that_is_sent_in_parts_is_sent_once(name: str) -> None:
    recorded = RECORDED[name]
    spans = build(recorded)
    for sent in (1, len(recorded.entries) // 2, len(recorded.entries)):
        rest = build(recorded, sent)
        assert rest == spans[len(spans) - len(rest) :]
    assert not build(recorded, len(recorded.entries))
