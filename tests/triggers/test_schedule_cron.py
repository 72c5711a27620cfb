"""Cron lines fire as Unix means them, in every zone, also where clocks are put forward or back."""

import random
from bisect import bisect_right
from datetime import UTC, datetime, timedelta
from itertools import islice
from zoneinfo import ZoneInfo

import pytest

from tests.triggers.schedule_year import LINES, ZONES, Oracle, compare, foretold, minutes
from triggers.schedules.cron import ALIASES, Cron

MIDNIGHT_ZONES = ("America/Santiago", "Africa/Casablanca", "Antarctica/Troll")
"""Clocks that change at midnight, for Ramadan, and by two hours."""

TURNS = {
    "Europe/Berlin": ("2028-03-26", "2028-10-29"),
    "Australia/Lord_Howe": ("2028-04-02", "2028-10-01"),
    "Asia/Kathmandu": ("2028-02-29", "2028-12-31"),
    "America/Santiago": ("2028-04-02", "2028-09-03"),
    "Africa/Casablanca": ("2027-02-07", "2027-03-14"),
    "Antarctica/Troll": ("2028-03-26", "2028-10-29"),
}


def around(day: str) -> tuple[int, int]:
    """Three days around one (seconds)."""
    start = datetime.fromisoformat(day).replace(tzinfo=UTC) - timedelta(days=1)
    return round(start.timestamp()), round((start + timedelta(days=3)).timestamp())


@pytest.mark.parametrize("name", [*ZONES, *MIDNIGHT_ZONES])
def test_cron_agrees_with_an_oracle_where_clocks_change(name: str) -> None:
    zone = ZoneInfo(name)
    for day in TURNS[name]:
        passed = minutes(zone, *around(day))
        for line in LINES:
            _, wrong = compare(line, zone, passed)
            assert not wrong, f"{line} in {name}: {datetime.fromtimestamp(wrong[0], UTC)}"


def test_cron_agrees_with_an_oracle_through_a_month_and_the_new_year() -> None:
    zone = ZoneInfo("Europe/Berlin")
    start = datetime(2027, 12, 15, tzinfo=UTC)
    passed = minutes(zone, *(round((start + timedelta(days=days)).timestamp()) for days in (0, 30)))
    for line in LINES[1:]:
        assert compare(line, zone, passed)[1] == [], line


@pytest.mark.parametrize("name", [*ZONES, *MIDNIGHT_ZONES])
def test_wherever_one_begins_the_fires_that_follow_are_the_same(name: str) -> None:
    zone, chance = ZoneInfo(name), random.Random(name)
    start, end = around(TURNS[name][1])
    passed = minutes(zone, start, end)
    for line in LINES[3:]:
        expected, cron = list(foretold(Oracle.of(line), passed)), Cron.parse(line, zone)
        for _ in range(20):
            after = chance.randrange(start * 1_000, end * 1_000)
            rest = expected[bisect_right(expected, after // 1_000) :]
            found = [fire // 1_000 for fire in islice(cron.fires(after), len(rest))]
            assert found == rest, f"{line} in {name} after {after}"


def first(line: str, zone: str, after: str, count: int) -> list[str]:
    """The first fires after a local time, as the wall clock shows them, with the offset from UTC."""
    where = ZoneInfo(zone)
    fires = Cron.parse(line, where).fires(
        round(datetime.fromisoformat(after).replace(tzinfo=where).timestamp()) * 1_000
    )
    return [datetime.fromtimestamp(fire / 1_000, where).strftime("%d %H:%M %z") for fire in islice(fires, count)]


@pytest.mark.parametrize(
    ("line", "after", "fires"),
    [
        ("30 2 * * *", "2026-03-28T12:00", ["29 03:00 +0200", "30 02:30 +0200"]),
        ("30 2 * * *", "2026-10-24T12:00", ["25 02:30 +0200", "26 02:30 +0100"]),
        ("0,30 2 * * *", "2026-03-28T12:00", ["29 03:00 +0200", "30 02:00 +0200"]),
        ("*/30 2 * * *", "2026-03-28T12:00", ["30 02:00 +0200", "30 02:30 +0200"]),
        ("*/30 2 * * *", "2026-10-24T12:00", ["25 02:00 +0200", "25 02:30 +0200", "25 02:00 +0100", "25 02:30 +0100"]),
        ("0 * * * *", "2026-03-29T00:30", ["29 01:00 +0100", "29 03:00 +0200", "29 04:00 +0200"]),
        ("0 * * * *", "2026-10-25T01:30", ["25 02:00 +0200", "25 02:00 +0100", "25 03:00 +0100"]),
        ("0 30 2 * * *", "2026-03-28T12:00", ["29 03:00 +0200", "30 02:30 +0200"]),
    ],
)
def test_a_time_of_day_comes_once_a_day_and_what_counts_hours_counts_those_that_pass(
    line: str, after: str, fires: list[str]
) -> None:
    assert first(line, "Europe/Berlin", after, len(fires)) == fires


def test_both_days_restricted_means_either() -> None:
    assert first("0 0 13 * 5", "UTC", "2026-03-01T00:00", 5) == [f"{day:02} 00:00 +0000" for day in (6, 13, 20, 27, 3)]


def test_l_is_the_last_day_of_the_month() -> None:
    assert first("0 0 L * *", "UTC", "2028-01-15T00:00", 3) == ["31 00:00 +0000", "29 00:00 +0000", "31 00:00 +0000"]


@pytest.mark.parametrize(("alias", "line"), ALIASES.items())
def test_an_alias_means_its_line(alias: str, line: str) -> None:
    assert list(islice(Cron.parse(alias.upper()).fires(0), 3)) == list(islice(Cron.parse(line).fires(0), 3))


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("0 0 31 2 *", "'0 0 31 2 *' never comes: none of its months"),
        ("0 0 30 2 */2", "never comes"),
        ("0 0 */31 * 1#5", "never comes"),
        ("61 * * * *", "the minute cannot be '61'; write 0 to 59"),
        ("0 0 ? * *", "the day of the month cannot be '?'; write * for any"),
        ("0 22-4 * * *", "a range goes up, within 0 to 23; one that goes past the end is two: 22-23,0-4"),
        ("H * * * *", "'window: 10m'"),
        ("0 9 * * 8", "the day of the week cannot be '8'"),
        ("* * * *", "has 4 fields; a cron line has five fields"),
        ("0 0 12 * * ? 2027", "has 7 fields"),
        ("", "has 0 fields"),
        ("*/0 * * * *", "the minute cannot be '*/0'"),
        ("@dayly", "there is no '@dayly'; did you mean '@daily'"),
        ("@every 5m", "write 'every: 15m'"),
        ("@reboot", "there is no '@reboot'; known: @annually"),
        ("1," * 150 + "1 * * * *", "at most 200 characters"),
        ("٣ * * * *", "the minute cannot be"),
    ],
)
def test_a_line_that_is_none_says_what_to_write(line: str, said: str) -> None:
    with pytest.raises(ValueError) as refused:
        Cron.parse(line)
    assert said in str(refused.value)
