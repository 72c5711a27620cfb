"""When schedules fire: a cron line, an interval, or one date. Moments are milliseconds since 1970, in UTC."""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo
from itertools import takewhile
from typing import Protocol, Self
from zoneinfo import ZoneInfo, available_timezones

from durable.durations import parse_duration
from durable.wording import quote, suggest


class Timing(Protocol):
    """What computes the fires of a schedule."""

    def find_fires(self, after: int) -> Iterator[int]:
        """The fires after a moment, in order."""
        ...


@dataclass(frozen=True, slots=True)
class Interval:
    """An interval (ms), counted from 1970-01-01T00:00Z, so that a restart does not shift it."""

    interval: int

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a duration of whole seconds; raises `ValueError`."""
        interval = parse_duration(text)
        if not interval or interval % 1_000:
            raise ValueError(f"{quote(text)} is not supported; write whole seconds, at least 1s")
        return cls(interval)

    def find_fires(self, after: int) -> Iterator[int]:
        fire = after // self.interval * self.interval
        while True:
            fire += self.interval
            yield fire


@dataclass(frozen=True, slots=True)
class SingleMoment:
    """One moment."""

    at: int

    @classmethod
    def parse(cls, text: str, zone: tzinfo | None = None) -> Self:
        """Read a date and a time of day. Its own offset takes precedence over `zone`. Raises `ValueError`."""
        moment = _parse_moment(text)
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=zone or UTC)
            shown = moment.astimezone(UTC).astimezone(moment.tzinfo)
            if shown.replace(tzinfo=None) != moment.replace(tzinfo=None):
                raise ValueError(
                    f"there is no {quote(text)} in {zone}, where clocks are put forward then; "
                    f"write {shown.replace(tzinfo=None).isoformat()}"
                )
        return cls(round(moment.timestamp()) * 1_000)

    def find_fires(self, after: int) -> Iterator[int]:
        if self.at > after:
            yield self.at


def _parse_moment(text: str) -> datetime:
    help = "write a date and a time of day, such as 2026-12-24T18:00:00"
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError(f"{quote(text)} is not a date and time; {help}") from None
    if ":" not in text:
        raise ValueError(f"{quote(text)} has no time of day; {help}")
    if not 1971 <= moment.year <= 9998:
        raise ValueError(f"{quote(text)} is outside the supported years; {help}")
    return moment


def format_moment(moment: int) -> str:
    """A moment as ISO 8601 in UTC, in seconds, which is the precision of fires."""
    return datetime.fromtimestamp(moment // 1_000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def parse_fire(text: str) -> int:
    """The moment that `format_moment` wrote; raises `ValueError`."""
    return round(datetime.fromisoformat(text).timestamp()) * 1_000


def find_zone(name: str) -> ZoneInfo:
    """A time zone of the IANA database; case does not matter, and `Z` is UTC. Raises `ValueError`."""
    try:
        return ZoneInfo(name)
    except (LookupError, ValueError, OSError):  # looked for in any case only now: listing all zones takes 20 ms
        pass
    try:
        return ZoneInfo(_find_canonical_name(name))
    except (LookupError, ValueError, OSError):  # a folder of the database, or a name that is no path
        raise ValueError(f"there is no time zone {quote(name)}; {_suggest_zone(name)}") from None


def _find_canonical_name(name: str) -> str:
    if name in {"Z", "z"}:
        return "UTC"
    return next((each for each in available_timezones() if each.lower() == name.lower()), name)


def _suggest_zone(name: str) -> str:
    near = suggest(name.replace(" ", "_"), available_timezones()) if len(name) > 5 and name.isascii() else None
    return near or "write an IANA name, such as Europe/Berlin, or for an offset such as UTC+02:00 Etc/GMT-2"


def find_fires_between(timing: Timing, after: int, until: int) -> Iterator[int]:
    """The fires after `after`, up to and including `until`."""
    return takewhile(lambda fire: fire <= until, timing.find_fires(after))


def find_latest_between(timing: Timing, after: int, until: int, limit: int) -> list[int]:
    """The latest of these fires, at most `limit`. They are searched from the end, since there may be millions before
    them."""
    span = limit * 1_000
    while True:
        start = max(after, until - span)
        found = deque(find_fires_between(timing, start, until), maxlen=limit)
        if start == after or len(found) == limit:
            return list(found)
        span *= 2
