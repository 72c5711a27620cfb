"""Values as texts for people: durations, sizes, numbers, times, short ids, JSON."""

from datetime import UTC, datetime
from typing import Any

import msgspec

from durable.wording import format_size

SHORT_ID = 6
"""The last characters of an id that lists show. The first ones are its time, equal for ids of the same hour."""

BROWSERS = {"Edg/": "Edge", "OPR/": "Opera", "Firefox/": "Firefox", "Chrome/": "Chrome", "Safari/": "Safari"}
SYSTEMS = {
    "Android": "Android",
    "iPhone": "iOS",
    "iPad": "iPadOS",
    "Windows": "Windows",
    "Mac OS X": "macOS",
    "Linux": "Linux",
}
"""What a `User-Agent` contains. The first counts: most browsers also name the ones below."""


def format_span(milliseconds: float | None) -> str:
    """A duration with the precision that matters: `7 ms`, `2.1 s`, `2 min 14 s`, `3 d 4 h`."""
    if milliseconds is None:
        return "–"
    if milliseconds < 1_000:
        return f"{milliseconds:.0f} ms"
    seconds = milliseconds / 1_000
    if seconds < 60:
        return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    parts = [(days, "d"), (hours, "h"), (minutes, "min"), (rest, "s")]
    first = next(index for index, (number, _) in enumerate(parts) if number)
    return " ".join(f"{number} {unit}" for number, unit in parts[first : first + 2] if number)


def parse_time(text: str | None) -> datetime | None:
    """A time of a document."""
    return datetime.fromisoformat(text) if text else None


def measure_span(start: str | None, end: str | None) -> float | None:
    """The milliseconds between two times of a document; None unless both are known."""
    first, last = parse_time(start), parse_time(end)
    return (last - first).total_seconds() * 1_000 if first and last else None


def format_moment(text: str | None) -> str:
    """A time of a document in UTC, to the second: what a page shows where no script makes it local."""
    at = parse_time(text)
    return at.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S UTC") if at else "–"


def show_size(size: int | None) -> str:
    """A number of bytes; a dash if it is not known."""
    return "–" if size is None else format_size(size)


def format_number(number: int | None) -> str:
    """A number with separators of thousands."""
    return "–" if number is None else f"{number:,}"


def format_share(share: float | None) -> str:
    """A share as percents: `96.2 %`. What is not all is never shown as 100 %."""
    if share is None:
        return "–"
    return "100 %" if share == 1 else f"{min(share * 100, 99.9):.1f} %"


def shorten_id(id: str) -> str:
    """The end of an id, as `…cde5s`: what distinguishes it from its neighbours."""
    return id if len(id) <= SHORT_ID + 2 else f"…{id[-SHORT_ID:]}"


def clip_text(text: str, limit: int = 300) -> str:
    """The beginning of a text whose length a stranger chose."""
    return text if len(text) <= limit else f"{text[:limit]}… ({len(text):,} characters)"


def format_json(value: Any) -> str:
    """A value as JSON for people, with two spaces for each level."""
    return msgspec.json.format(msgspec.json.encode(value), indent=2).decode()


def indent_json(text: str) -> str:
    """A text as JSON for people if it is JSON, else as it is."""
    try:
        return msgspec.json.format(text, indent=2)
    except msgspec.DecodeError:
        return text


def name_browser(agent: str | None) -> str:
    """The browser and the system that a `User-Agent` names, as `Firefox on Linux`; else its beginning."""
    if not agent:
        return "an unnamed browser"
    browser = next((name for part, name in BROWSERS.items() if part in agent), None)
    system = next((name for part, name in SYSTEMS.items() if part in agent), None)
    if browser is None:
        return agent[:60]
    return f"{browser} on {system}" if system else browser
