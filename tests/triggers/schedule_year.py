"""Compare a year of fires with an independent oracle: `python -m tests.triggers.schedule_year`.

The oracle steps through the year minute by minute (second by second where a line has seconds), reads the wall clock
of the zone and compares it with fields that it parsed itself.
"""

import calendar
import sys
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from itertools import takewhile
from zoneinfo import ZoneInfo

from triggers.schedules.cron import Cron

ZONES = ("Europe/Berlin", "Australia/Lord_Howe", "Asia/Kathmandu")

LINES = (
    "* * * * *",
    "*/5 * * * *",
    "7-59/13 * * * *",
    "0 * * * *",
    "30 * * * *",
    "15 */2 * * *",
    "*/10 1-3 * * *",
    "* 2 * * *",
    "@hourly",
    "@daily",
    "@weekly",
    "@monthly",
    "@yearly",
    "30 2 * * *",
    "0 2 * * *",
    "15 2 * * *",
    "0,15,30,45 1,2,3 * * *",
    "0 0-6 * * *",
    "59 23 * * *",
    "0 9 * * 1-5",
    "0 9 * * MON,WED,fri",
    "0 12 1,15 * 5",
    "30 4 13 * FRI",
    "0 0 */2 * 1",
    "0 0 29 2 *",
    "0 0 31 * *",
    "45 23 L * *",
    "0 8 LW * *",
    "0 18 * * 5L",
    "0 7 * * 1#2",
    "0 6 * jan,JUL 7",
    "5/20 4 * * 0",
    "0 30 2 * * *",
    "*/20 59 1,2 * * 0",
    "30 */15 * 1 */3 *",
    "10,50 0 0 1 1-6 *",
)


# -- the oracle -------------------------------------------------------------------------------------------------

_MONTHS = ["JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"]
_DAYS = ["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"]
_WORDS = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
    "@yearly": "0 0 1 1 *",
}


@dataclass(frozen=True)
class Oracle:
    """A line's fields as sets, except the days, which are checked for a date."""

    seconds: frozenset[int]
    minutes: frozenset[int]
    hours: frozenset[int]
    months: frozenset[int]
    day: str
    weekday: str
    is_time_of_day: bool

    @classmethod
    def of(cls, line: str) -> "Oracle":
        fields = _WORDS.get(line, line).upper().split()
        seconds = {0} if len(fields) == 5 else _numbers(fields[0], 0, 59)
        minute, hour, day, month, weekday = fields[-5:]
        return cls(
            frozenset(seconds),
            frozenset(_numbers(minute, 0, 59)),
            frozenset(_numbers(hour, 0, 23)),
            frozenset(_numbers(month, 1, 12, _MONTHS, 1)),
            day,
            weekday,
            is_time_of_day=minute[0] != "*" and hour[0] != "*",
        )

    @lru_cache(maxsize=4_000)  # noqa: B019 - an oracle lives only as long as the comparison of its year
    def has(self, year: int, month: int, day: int) -> bool:
        """Whether the line fires on a date: both day fields must match, or either one where both are restricted."""
        if month not in self.months:
            return False
        fits = self._has_day(year, month, day), self._has_weekday(year, month, day)
        return all(fits) if self.day[0] == "*" or self.weekday[0] == "*" else any(fits)

    def _has_day(self, year: int, month: int, day: int) -> bool:
        last = calendar.monthrange(year, month)[1]
        if self.day == "L":
            return day == last
        if self.day == "LW":
            weekdays = [each for each in range(1, last + 1) if datetime(year, month, each).isoweekday() < 6]
            return day == weekdays[-1]
        return day in _numbers(self.day, 1, 31)

    def _has_weekday(self, year: int, month: int, day: int) -> bool:
        number = datetime(year, month, day).isoweekday() % 7
        if self.weekday.endswith("L"):
            return number == int(self.weekday[:-1]) % 7 and day + 7 > calendar.monthrange(year, month)[1]
        if "#" in self.weekday:
            wanted, nth = map(int, self.weekday.split("#"))
            return number == wanted % 7 and (day - 1) // 7 + 1 == nth
        return number in {each % 7 for each in _numbers(self.weekday, 0, 7, _DAYS, 0)}


def _numbers(field: str, low: int, high: int, names: list[str] | None = None, first: int = 0) -> set[int]:
    found: set[int] = set()
    for part in field.split(","):
        span, _, step = part.partition("/")
        ends = [
            names.index(word) + first if names and word in names else int(word)
            for word in span.split("-")
            if word != "*"
        ]
        if not ends:
            ends = [low, high]
        elif len(ends) == 1:
            ends.append(high if step else ends[0])
        found.update(range(ends[0], ends[1] + 1, int(step or 1)))
    return found


@dataclass(frozen=True)
class Minute:
    """A minute and its wall-clock time: `fold` for the second pass, `skipped` for local times that never occurred."""

    at: int
    wall: datetime
    fold: int
    skipped: tuple[datetime, ...]


def minutes(zone: ZoneInfo, start: int, end: int) -> list[Minute]:
    """Every minute from `start` up to but not including `end` (seconds)."""
    found = []
    before = datetime.fromtimestamp(start - 60, zone).replace(tzinfo=None)
    for at in range(start, end, 60):
        local = datetime.fromtimestamp(at, zone)
        wall = local.replace(tzinfo=None, fold=0)
        gap = range(1, round((wall - before).total_seconds()) // 60)
        found.append(Minute(at, wall, local.fold, tuple(before + timedelta(minutes=each) for each in gap)))
        before = wall
    return found


def predict_fires(oracle: Oracle, passed: Iterable[Minute]) -> Iterator[int]:
    """The times at which the line should fire (seconds)."""
    for minute in passed:
        fires = set()
        if oracle.is_time_of_day and any(_fits(oracle, wall) for wall in minute.skipped):
            fires.add(minute.at)
        if _fits(oracle, minute.wall) and not (oracle.is_time_of_day and minute.fold):
            fires |= {minute.at + second for second in range(60) if second in oracle.seconds}
        yield from sorted(fires)


def _fits(oracle: Oracle, wall: datetime) -> bool:
    return wall.minute in oracle.minutes and wall.hour in oracle.hours and oracle.has(wall.year, wall.month, wall.day)


# -- the comparison ---------------------------------------------------------------------------------------------


def compare(line: str, zone: ZoneInfo, passed: list[Minute]) -> tuple[int, list[int]]:
    """The number of fires, and the times (seconds) at which only one of the two fires."""
    start, end = passed[0].at, passed[-1].at + 60
    ours = [
        fire // 1_000
        for fire in takewhile(lambda fire: fire < end * 1_000, Cron.parse(line, zone).find_fires(start * 1_000 - 1))
    ]
    theirs = list(predict_fires(Oracle.of(line), passed))
    return len(theirs), sorted(set(ours) ^ set(theirs)) or ([start] if len(ours) != len(theirs) else [])


def year(name: str, number: int) -> list[Minute]:
    """The minutes of a UTC year in a zone."""
    start, end = (round(datetime(each, 1, 1, tzinfo=UTC).timestamp()) for each in (number, number + 1))
    return minutes(ZoneInfo(name), start, end)


def main(number: int = 2028) -> int:
    """Print what was compared, and return the number of differences."""
    fires = differences = 0
    for name in ZONES:
        passed = year(name, number)
        for line in LINES:
            began = time.perf_counter()
            compared, wrong = compare(line, ZoneInfo(name), passed)
            fires, differences = fires + compared, differences + len(wrong)
            shown = f", the first at {datetime.fromtimestamp(wrong[0], UTC)}" if wrong else ""
            print(
                f"{name:20} {line:24} {compared:7} fires, {len(wrong)} differences{shown}"
                f"  ({time.perf_counter() - began:.1f} s)"
            )
    print(f"{len(ZONES) * len(LINES)} years, {fires} fires compared, {differences} differences")
    return differences


if __name__ == "__main__":
    sys.exit(bool(main()))
