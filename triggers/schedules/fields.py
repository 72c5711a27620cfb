"""The fields of a cron line: their values, and corrections for what people write instead."""

import re
from dataclasses import dataclass

from durable.wording import quote

DAYS = ("SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT")
MONTHS = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")


@dataclass(frozen=True, slots=True)
class CronField:
    """One field. `unit` is that of an interval which can replace it; `names` stand for the numbers from `least` on."""

    name: str
    values: str
    least: int
    most: int
    unit: str = ""
    names: tuple[str, ...] = ()

    def number(self, word: str) -> int | None:
        """The number that a word of the field means; None if it means none."""
        if word in self.names:
            return self.least + self.names.index(word)
        return int(word) if word.isascii() and word.isdigit() and len(word) < 4 else None


FIELDS = (
    CronField("second", "0 to 59", 0, 59, "s"),
    CronField("minute", "0 to 59", 0, 59, "m"),
    CronField("hour", "0 to 23", 0, 23, "h"),
    CronField("day of the month", "1 to 31, or L for the last", 1, 31, "d"),
    CronField("month", "1 to 12, or JAN to DEC", 1, 12, "", MONTHS),
    CronField("day of the week", "0 to 7 or SUN to SAT, 5L for the last Friday", 0, 7, "", DAYS),
)

_RANGE = re.compile(r"(\w+)-(\w+)(/\w+)?")


def normalize(field: CronField, text: str) -> str:
    """The text with ranges of days that end on Sunday in cronsim's spelling: FRI-SUN is 5-7."""
    if field.names is not DAYS:
        return text
    return ",".join(_normalize_sunday(field, part) for part in text.split(","))


def _normalize_sunday(field: CronField, part: str) -> str:
    found = _RANGE.fullmatch(part)
    if found is None or field.number(found[2]) != 0 or not field.number(found[1]):
        return part
    return f"{field.number(found[1])}-7{found[3] or ''}"


def check_steps(field: CronField, text: str) -> None:
    """Refuse a step that is larger than its range: cron would use the first value only."""
    for part in text.split(","):
        span, slash, step = part.partition("/")
        if not slash or not step.isdigit():
            continue
        size = field.most - field.least + 1
        if span != "*":
            first, _, last = span.partition("-")
            start, end = field.number(first), field.number(last) if last else field.most
            if start is None or end is None or end < start:
                continue  # the range itself is refused
            size = end - start + 1
        if field.names is DAYS and span == "*":
            size = len(DAYS)
        if int(step) > size:
            what = f"the step of {quote(part)} goes past the end of the {field.name}"
            raise ValueError(f"{what}; {_suggest_step(field, span, step)}")


def _suggest_step(field: CronField, span: str, step: str) -> str:
    if span != "*":
        return f"write {span.partition('-')[0]}, which means the same"
    if field.unit:
        return f"write 'every: {step}{field.unit}' instead of 'cron'"
    return "write the values themselves, such as 1,7"


def suggest_field(field: CronField, text: str) -> str:
    """A correction for a field that is invalid."""
    if "?" in text:
        return "write * for any"
    if text.startswith("H"):
        return "write a number, and 'window: 10m' to spread the fires"
    if "-" in text:
        return f"a range goes up, within {field.values.partition(',')[0]}"
    return f"write {field.values}; also *, 1,15 or 1-5 or */10"
