"""Cron lines in a time zone: each fire happens once, also when clocks are set forward or back.

cronsim finds the times of the wall clock; this module maps them to moments in UTC. A line whose minute and hour are
fixed means a time of day: if that time is skipped, it fires at the first moment after the gap; if it occurs twice, it
fires the first time. Any other line counts elapsed time, so a repeated hour counts twice and a skipped one not at all.
This is Debian's rule (https://manpages.debian.org/cron), for lines of five and of six fields.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Self

from cronsim import CronSim, CronSimError

from durable.wording import quote, suggest
from triggers.schedules.fields import FIELDS, CronField, check_steps, normalize, suggest_field

ALIASES = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}

FORMS = "five fields (minute, hour, day of the month, month, day of the week), or six with the second before them"

LENGTH_LIMIT = 200
"""The characters of a line."""

WEEK = 7 * 86_400
"""Seconds in which no zone changes its offset and changes it back."""

_ORIGIN = datetime(1970, 1, 1)
_SAMPLE = datetime(2000, 1, 1)


@dataclass(frozen=True, slots=True)
class Cron:
    """A line in a time zone. `line` has its alias resolved."""

    text: str
    line: str
    zone: tzinfo

    @classmethod
    def parse(cls, text: str, zone: tzinfo = UTC) -> Self:
        """Read a line; raises `ValueError` with a correction."""
        return cls(text, _check_line(text), zone)

    @property
    def is_time_of_day(self) -> bool:
        """Whether its minute and its hour are fixed."""
        return not any(field.startswith("*") for field in self.line.split()[-5:-3])

    def find_fires(self, after: int) -> Iterator[int]:
        """The fires (ms) after a moment (ms), in order."""
        second = after // 1_000
        found = self._find_times_of_day(second) if self.is_time_of_day else self._find_in_passing_time(second)
        return (fire * 1_000 for fire in found)

    def _find_times_of_day(self, after: int) -> Iterator[int]:
        for wall in CronSim(self.line, _to_wall(after + self._find_offset(after))):
            fire = self._find_moment(wall)
            if fire > after:  # those of one gap fall on one moment, and an hour that comes again was there before
                after = fire
                yield fire

    def _find_in_passing_time(self, after: int) -> Iterator[int]:
        """Between two changes of the offset the wall clock runs evenly, so go from one change to the next."""
        offset = self._find_offset(after)
        while True:
            turn = None
            for wall in CronSim(self.line, _to_wall(after + offset)):
                fire = _to_seconds(wall) - offset
                if turn := self._find_offset_change(after, fire, offset):
                    break
                after = fire
                yield fire
            if turn is None:
                return
            after, offset = turn - 1, self._find_offset(turn)

    def _find_moment(self, wall: datetime) -> int:
        """When a wall clock first shows this time or a later one."""
        moment = int(wall.replace(tzinfo=self.zone).timestamp())
        if _to_wall(moment + self._find_offset(moment)) == wall:
            return moment
        skipped = int(wall.replace(tzinfo=self.zone, fold=1).timestamp())
        return self._find_offset_change(skipped, moment, self._find_offset(skipped)) or moment

    def _find_offset(self, second: int) -> int:
        offset = datetime.fromtimestamp(second, self.zone).utcoffset()
        return int(offset.total_seconds()) if offset else 0

    def _find_offset_change(self, after: int, until: int, offset: int) -> int | None:
        """The first second with another offset, after `after` and not after `until`."""
        while after < until:
            step = min(after + WEEK, until)
            if self._find_offset(step) != offset:
                return self._bisect(after, step, offset)
            after = step
        return None

    def _bisect(self, before: int, turned: int, offset: int) -> int:
        while turned - before > 1:
            middle = (before + turned) // 2
            if self._find_offset(middle) == offset:
                before = middle
            else:
                turned = middle
        return turned


def _to_wall(seconds: int) -> datetime:
    return _ORIGIN + timedelta(seconds=seconds)


def _to_seconds(wall: datetime) -> int:
    return round((wall - _ORIGIN).total_seconds())


def _check_line(text: str) -> str:
    """The line for cronsim, with its alias resolved; raises `ValueError`."""
    if len(text) > LENGTH_LIMIT:
        raise ValueError(f"a cron expression has at most {LENGTH_LIMIT} characters; split it into several triggers")
    if text.startswith("@"):
        return _resolve_alias(text)
    fields = text.upper().split()
    if len(fields) not in (5, 6):
        raise ValueError(f"{quote(text)} has {_count_fields(len(fields))}; a cron expression has {FORMS}")
    kinds = FIELDS[-len(fields) :]
    line = " ".join(normalize(kind, field) for kind, field in zip(kinds, fields, strict=True))
    for kind, field in zip(kinds, line.split(), strict=True):
        check_steps(kind, field)
    for kind, field, written in zip(kinds, line.split(), fields, strict=True):
        _check_field(kind, field, written)
    try:
        comes = next(CronSim(line, _SAMPLE), None)
    except CronSimError:
        comes = None
    if comes is None:
        raise ValueError(
            f"{quote(text)} never occurs: none of its months has such a day; write L for the last day of a month"
        )
    return line


def _count_fields(fields: int) -> str:
    return "one field" if fields == 1 else f"{fields} fields"


def _resolve_alias(text: str) -> str:
    if line := ALIASES.get(text.strip().lower()):
        return line
    if text.lower().startswith("@every"):
        raise ValueError(f"{quote(text)} is not a cron expression; write for example 'every: 15m' instead of 'cron'")
    raise ValueError(f"there is no {quote(text)}; {suggest(text.lower(), ALIASES)}")


def _check_field(kind: CronField, field: str, written: str) -> None:
    """Refuse a field that is wrong by itself, by testing it with stars for all others."""
    alone = ["*"] * len(FIELDS)
    alone[FIELDS.index(kind)] = field
    try:
        CronSim(" ".join(alone), _SAMPLE)
    except (CronSimError, ValueError):
        raise ValueError(f"the {kind.name} cannot be {quote(written)}; {suggest_field(kind, written)}") from None
