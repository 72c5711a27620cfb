"""The settings of a schedule: each invalid one is reported with its position and a fix."""

from itertools import islice

import pytest

from durable.language.catalogue import Catalogue
from durable.language.load import LoadResult, load_pipeline
from tests.triggers.schedule_world import ms
from triggers.config.catalogue import load_connectors
from triggers.kinds import list_models
from triggers.schedules.timing import Interval, SingleMoment, find_fires_between, find_latest_between
from triggers.schedules.trigger import ScheduleSpec

ACTIONS = load_connectors().actions


def load_schedule(given: str) -> LoadResult:
    steps = "steps:\n  - {id: n, use: log.write, with: {message: x}}\n"
    text = f"triggers:\n  - id: t\n    use: schedule\n    with: {given}\n{steps}"
    return load_pipeline(text, file="p.yaml", catalogue=Catalogue(actions=ACTIONS, triggers=list_models()))


@pytest.mark.parametrize(
    "given",
    [
        '{cron: "@daily"}',
        '{cron: "0 9 * * MON-FRI", timezone: Australia/Lord_Howe, window: 1h}',
        "{every: 15m, window: 15m, missed: all, overlap: queue}",
        "{at: 2026-12-24T18:00:00, timezone: Europe/Berlin}",
        "{at: 2026-12-24 18:00:00+01:00}",
        '{cron: "0 0 29 2 *", window: 7d}',
    ],
)
def test_a_valid_schedule_is_loaded(given: str) -> None:
    found = load_schedule(given)
    assert found.pipeline, found.problems


@pytest.mark.parametrize(
    ("given", "column", "expected"),
    [
        ('{cron: "0 0 31 2 *"}', 18, "'0 0 31 2 *' never occurs"),
        ('{cron: "0 25 * * *"}', 18, "'cron': the hour cannot be '25'; write 0 to 23"),
        ('{cron: "@daily", timezone: Europe/berlyn}', 38, "did you mean 'Europe/Berlin'"),
        ('{cron: "@daily", timezone: Europe}', 38, "there is no time zone 'Europe'"),
        ('{cron: "@daily", timezone: ../etc/passwd}', 38, "there is no time zone '../etc/passwd'"),
        ('{cron: "@daily", every: 5m}', 5, "one of 'cron', 'every' and 'at', not 'cron' and 'every'"),
        ("{missed: all}", 5, "a schedule needs a time; add 'cron: …'"),
        ("{every: 15}", 19, "'15' has no unit; write 15s"),
        ("{every: 1500ms}", 19, "write whole seconds, at least 1s"),
        ("{every: 0s}", 19, "write whole seconds, at least 1s"),
        ("{every: 5m, timezone: Europe/Berlin}", 5, "'timezone' has no effect on 'every'"),
        ("{every: 5m, window: 10m}", 5, "the window of 10m is longer than the 300s between two fires"),
        ('{cron: "0 9,10 * * *", window: 2h}', 5, "longer than the 3600s between two fires"),
        ('{cron: "@hourly", window: 0s}', 5, "'window' is too short"),
        ("{at: 2026-12-24}", 16, "has no time of day; write a date and a time of day"),
        ("{at: tomorrow}", 16, "'tomorrow' is not a date and time"),
        (
            "{at: 2027-03-28T02:30:00, timezone: Europe/Berlin}",
            5,
            "clocks are put forward then; write 2027-03-28T03:30:00",
        ),
        ('{cron: "{{ trigger.id }}"}', 18, "has 3 fields"),
        ('{cron: "@daily", missed: last}', 36, "'missed' must be skip, latest or all"),
        ('{cron: "@daily", overlap: wait}', 37, "'overlap' must be allow, skip or queue"),
    ],
)
def test_an_invalid_schedule_is_reported_with_its_position_and_a_fix(given: str, column: int, expected: str) -> None:
    found = load_schedule(given)
    assert found.pipeline is None
    problem = found.problems[0]
    assert expected in str(problem)
    assert (problem.line, problem.column) == (4, column)


def test_an_interval_counts_from_1970_not_from_the_start() -> None:
    fires = islice(Interval.parse("7h").find_fires(ms("2026-05-04T12:34:56")), 3)
    assert [fire % (7 * 3_600_000) for fire in fires] == [0, 0, 0]


def test_an_ambiguous_local_time_is_the_first_one_unless_an_offset_is_given() -> None:
    given = ScheduleSpec(at="2026-10-25T02:30:00", timezone="Europe/Berlin")
    assert next(given.timing.find_fires(0)) == ms("2026-10-25T00:30:00")
    assert SingleMoment.parse("2026-10-25T02:30:00+01:00").at == ms("2026-10-25T01:30:00")


@pytest.mark.parametrize("limit", [1, 7, 1_000])
@pytest.mark.parametrize("until", ["1970-01-01T00:00:00", "1970-01-01T00:00:30", "1970-01-01T04:00:00"])
def test_the_latest_fires_are_the_tail_of_all_fires(limit: int, until: str) -> None:
    timing = Interval(10_000)
    assert find_latest_between(timing, 0, ms(until), limit) == list(find_fires_between(timing, 0, ms(until)))[-limit:]
