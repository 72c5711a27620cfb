"""Cron lines fire as in Unix cron, in every zone, also when clocks are set forward or back."""

import random
import re
from bisect import bisect_right
from datetime import UTC, datetime, timedelta
from itertools import islice, takewhile
from zoneinfo import ZoneInfo

import pytest

from tests.triggers.schedule_year import LINES, ZONES, Oracle, compare, minutes, predict_fires
from triggers.schedules.cron import ALIASES, Cron
from triggers.schedules.timing import Interval, find_zone

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
    """The three days around a day (seconds)."""
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


@pytest.mark.slow
def test_cron_agrees_with_an_oracle_through_a_month_and_the_new_year() -> None:
    zone = ZoneInfo("Europe/Berlin")
    start = datetime(2027, 12, 15, tzinfo=UTC)
    passed = minutes(zone, *(round((start + timedelta(days=days)).timestamp()) for days in (0, 30)))
    for line in LINES[1:]:
        assert compare(line, zone, passed)[1] == [], line


@pytest.mark.parametrize("name", [*ZONES, *MIDNIGHT_ZONES])
def test_the_next_fires_do_not_depend_on_the_starting_point(name: str) -> None:
    zone, chance = ZoneInfo(name), random.Random(name)
    start, end = around(TURNS[name][1])
    passed = minutes(zone, start, end)
    for line in LINES[3:]:
        expected, cron = list(predict_fires(Oracle.of(line), passed)), Cron.parse(line, zone)
        for _ in range(20):
            after = chance.randrange(start * 1_000, end * 1_000)
            rest = expected[bisect_right(expected, after // 1_000) :]
            found = [fire // 1_000 for fire in islice(cron.find_fires(after), len(rest))]
            assert found == rest, f"{line} in {name} after {after}"


def first(line: str, zone: str, after: str, count: int) -> list[str]:
    """The first fires after a local time, as wall-clock times with their UTC offsets."""
    where = ZoneInfo(zone)
    fires = Cron.parse(line, where).find_fires(
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
def test_a_time_of_day_fires_once_a_day_and_hourly_lines_fire_every_elapsed_hour(
    line: str, after: str, fires: list[str]
) -> None:
    assert first(line, "Europe/Berlin", after, len(fires)) == fires


def test_restricting_both_day_fields_means_either() -> None:
    assert first("0 0 13 * 5", "UTC", "2026-03-01T00:00", 5) == [f"{day:02} 00:00 +0000" for day in (6, 13, 20, 27, 3)]


def test_l_is_the_last_day_of_the_month() -> None:
    assert first("0 0 L * *", "UTC", "2028-01-15T00:00", 3) == ["31 00:00 +0000", "29 00:00 +0000", "31 00:00 +0000"]


@pytest.mark.parametrize(("alias", "line"), ALIASES.items())
def test_an_alias_equals_its_cron_line(alias: str, line: str) -> None:
    assert list(islice(Cron.parse(alias.upper()).find_fires(0), 3)) == list(islice(Cron.parse(line).find_fires(0), 3))


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("0 0 31 2 *", "'0 0 31 2 *' never occurs: none of its months"),
        ("0 0 30 2 */2", "never occurs"),
        ("0 0 */31 * 1#5", "never occurs"),
        ("61 * * * *", "the minute cannot be '61'; write 0 to 59"),
        ("0 0 ? * *", "the day of the month cannot be '?'; write * for any"),
        ("0 22-4 * * *", "a range goes up, within 0 to 23"),
        ("H * * * *", "'window: 10m'"),
        ("0 9 * * 8", "the day of the week cannot be '8'"),
        ("* * * *", "has 4 fields; a cron expression has five fields"),
        ("0 0 12 * * ? 2027", "has 7 fields"),
        ("", "has 0 fields"),
        ("*/0 * * * *", "the minute cannot be '*/0'"),
        ("@dayly", "there is no '@dayly'; did you mean '@daily'"),
        ("@every 5m", "write for example 'every: 15m'"),
        ("@reboot", "there is no '@reboot'; known: @annually"),
        ("1," * 150 + "1 * * * *", "at most 200 characters"),
        ("٣ * * * *", "the minute cannot be"),
    ],
)
def test_an_invalid_line_is_rejected_with_what_to_write(line: str, expected: str) -> None:
    with pytest.raises(ValueError) as refused:
        Cron.parse(line)
    assert expected in str(refused.value)


# -- accepted variations, and rejected lines with their fixes ---------------------------------------------------------


def _days(line: str) -> str:
    """The days on which a line fires in the week from Monday 2026-05-04."""
    after = int(datetime(2026, 5, 3, 23, 59, tzinfo=UTC).timestamp()) * 1_000
    week = takewhile(lambda fire: fire < after + 7 * 86_400_000, Cron.parse(line).find_fires(after))
    return " ".join(datetime.fromtimestamp(fire / 1_000, UTC).strftime("%a") for fire in week)


@pytest.mark.parametrize(
    ("field", "days"),
    [
        ("MON-SUN", "Mon Tue Wed Thu Fri Sat Sun"),
        ("FRI-SUN", "Fri Sat Sun"),
        ("fri-sun", "Fri Sat Sun"),
        ("5-0", "Fri Sat Sun"),
        ("5-7", "Fri Sat Sun"),
        ("SAT-SUN,WED", "Wed Sat Sun"),
        ("MON-SUN/2", "Mon Wed Fri Sun"),
        ("FRI-SUN/2", "Fri Sun"),
        ("SUN-TUE", "Mon Tue Sun"),
        ("0-7", "Mon Tue Wed Thu Fri Sat Sun"),
        ("7", "Sun"),
        ("SUN", "Sun"),
    ],
)
def test_a_week_may_end_on_sunday(field: str, days: str) -> None:
    assert _days(f"0 9 * * {field}") == days


@pytest.mark.parametrize("line", ["\t0  9\t* * mon-fri ", "0 9 * * Mon-Fri", "0 9 * * 1-5"])
def test_spaces_and_lower_case_change_nothing(line: str) -> None:
    assert _days(line) == "Mon Tue Wed Thu Fri"


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("*/90 * * * *", "goes past the end of the minute; write 'every: 90m' instead of 'cron'"),
        ("0 */36 * * *", "write 'every: 36h' instead of 'cron'"),
        ("*/90 * * * * *", "write 'every: 90s' instead of 'cron'"),
        ("0 0 */32 * *", "write 'every: 32d' instead of 'cron'"),
        ("0 0 1 */13 *", "write the values themselves, such as 1,7"),
        ("0-30/40 * * * *", "write 0, which means the same"),
        ("5/90 * * * *", "write 5, which means the same"),
        ("0 9 * * FRI-MON", "a range goes up, within 0 to 7 or SUN to SAT"),
        ("0 9 * * 5-1", "a range goes up, within 0 to 7 or SUN to SAT"),
        ("0 9 * * 7-2", "a range goes up, within 0 to 7 or SUN to SAT"),
        ("0 22-4 * * *", "a range goes up, within 0 to 23"),
        ("0 9 * NOV-JAN *", "a range goes up, within 1 to 12"),
        ("0 9 * * MONDAY", "write 0 to 7 or SUN to SAT"),
        ("0 0 ? * MON", "write * for any"),
        ("@every 1h30m", "instead of 'cron'"),
        ("9:00", "'9:00' has one field; a cron expression has five fields"),
    ],
)
def test_unsupported_cron_syntax_is_rejected_with_an_equivalent(line: str, expected: str) -> None:
    with pytest.raises(ValueError, match=re.escape(expected)):
        Cron.parse(line)


@pytest.mark.parametrize("line", ["*/60 * * * *", "0 */24 * * *", "*/59 * * * *", "0-30/30 * * * *", "0 0 * * */7"])
def test_a_step_within_its_field_is_accepted(line: str) -> None:
    assert Cron.parse(line).line == line


@pytest.mark.parametrize("line", ["*/90 * * * *", "0 0 1 1/40 *"])
def test_a_suggested_fix_can_be_loaded(line: str) -> None:
    with pytest.raises(ValueError, match="write") as caught:
        Cron.parse(line)
    interval = re.search(r"every: (\w+)", str(caught.value))
    assert interval is None or Interval.parse(interval[1]).interval == 90 * 60_000


@pytest.mark.parametrize(
    ("name", "zone"),
    [("Z", "UTC"), ("utc", "UTC"), ("europe/berlin", "Europe/Berlin"), ("EUROPE/ROME", "Europe/Rome"), ("CET", "CET")],
)
def test_a_time_zone_is_found_in_any_case(name: str, zone: str) -> None:
    assert str(find_zone(name)) == zone


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("GMT+1", "such as UTC+02:00 Etc/GMT-2"),
        ("PST", "write an IANA name, such as Europe/Berlin"),
        ("Berlin", "did you mean 'Europe/Berlin'"),
        ("new york", "did you mean 'America/New_York'"),
        ("", "write an IANA name, such as Europe/Berlin"),
    ],
)
def test_an_unknown_time_zone_is_rejected_with_a_suggestion(name: str, expected: str) -> None:
    with pytest.raises(ValueError, match=re.escape(expected)):
        find_zone(name)
