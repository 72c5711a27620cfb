"""Logs: one JSON object a line for collectors, or a readable line for people, on the standard library's logging.

`run`, `step` and `attempt` come from `extra`, as any other field does. Whatever
a stranger may have written is redacted once it is text, and can neither break its line nor command a terminal.
"""

import json
import logging
import re
import sys
import traceback
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime
from functools import lru_cache
from typing import TextIO, TypeAlias

import msgspec

from durable.links import hide_links
from durable.redactor import Redactor
from durable.values import JSON
from triggers.setting_kinds import LogFormat, LogLevel

Fields: TypeAlias = dict[str, JSON]

CONTEXT = ("run", "step", "attempt")
"""The fields that say what a line is about; they come first."""

CHATTY = ("alembic", "apscheduler", "httpcore", "httpx", "httpx2", "mcp", "uvicorn", "watchfiles")
"""Libraries that report every call at `info`."""

FLOODED = ("uvicorn.error", "waypost.http")
"""Loggers of events on connections whose sender is not authenticated yet."""

RECORDS_A_MINUTE = 60

_OWN = frozenset(vars(logging.makeLogRecord({}))) | {
    *("message", "asctime", "taskName", "color_message", "redactor", "secrets")
}
_UNSAFE = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


class FloodFilter(logging.Filter):
    """Lets so many records of a kind pass in a minute: strangers cause some as often as they like."""

    def __init__(self, most: int = RECORDS_A_MINUTE) -> None:
        super().__init__()
        self._most = most
        self._minute = 0
        self._counts: Counter[str] = Counter()

    def filter(self, record: logging.LogRecord) -> bool:
        if (minute := int(record.created // 60)) != self._minute:
            self._minute = minute
            self._counts.clear()
        kind = str(record.msg)
        self._counts[kind] += 1
        if self._counts[kind] == self._most:
            record.msg = f"{kind}; further lines like this are left out for the rest of the minute"
        return self._counts[kind] <= self._most


_flood_filter = FloodFilter()


def configure(format: LogFormat, level: LogLevel, redactor: Redactor, stream: TextIO | None = None) -> None:
    """Send all loggers' records, uvicorn's too, to the stream (standard error); a second call replaces the first."""
    stream = stream or sys.stderr
    is_for_people = format == "text" or (format == "auto" and stream.isatty())
    handler = LogHandler(stream)
    handler.setFormatter(LogFormatter(redactor, format_text_line if is_for_people else format_json_line))
    root = logging.getLogger()
    _disable_unused_fields()
    for former in [each for each in root.handlers if isinstance(each, LogHandler)]:
        root.removeHandler(former)
    root.addHandler(handler)
    root.setLevel(level.upper())
    for name in ("uvicorn", "uvicorn.error", "uvicorn.access"):
        logger = logging.getLogger(name)
        logger.handlers, logger.propagate = [], True
    for name in FLOODED:
        logging.getLogger(name).addFilter(_flood_filter)
    for name in CHATTY:
        logging.getLogger(name).setLevel(logging.WARNING if level == "info" else logging.NOTSET)
    if level != "debug":
        logging.getLogger("apscheduler").setLevel(logging.ERROR)  # a sweep that is left out is made up for by the next


def _disable_unused_fields() -> None:
    """The library's own switches: who calls, and in which thread and process, is a fifth of what a record costs."""
    logging._srcfile = None
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False


def flush() -> None:
    """Put out what is still buffered: for the last words of a process."""
    for handler in logging.getLogger().handlers:
        handler.flush()


class LogHandler(logging.StreamHandler[TextIO]):
    """Writes each record at once. One that cannot be written is lost: the library's own report would show secrets."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802  # the library's name
        pass


class LogFormatter(logging.Formatter):
    """Makes a line of a record's fields, redacted."""

    def __init__(self, redactor: Redactor, write: Callable[[logging.LogRecord, Fields], str]) -> None:
        super().__init__()
        self._redactor = redactor
        self._write = write

    def format(self, record: logging.LogRecord) -> str:
        fields = _to_json(_collect_fields(record))
        if isinstance(redactor := getattr(record, "redactor", None), Redactor):
            fields = {name: redactor.redact(value) for name, value in hide_links(fields).items()}
        if isinstance(secrets := getattr(record, "secrets", None), Redactor):  # those of an attempt
            fields = {name: secrets.redact(value) for name, value in fields.items()}
        return self._write(record, {name: self._redactor.redact(value) for name, value in fields.items()})


def format_json_line(record: logging.LogRecord, fields: Fields) -> str:
    """`time level logger message`, then `run step attempt`, further fields, and `error` with the traceback."""
    head: Fields = {"time": _format_time(record), "level": record.levelname.lower(), "logger": record.name}
    try:
        line = msgspec.json.encode(head | fields).decode()
    except UnicodeEncodeError:  # a lone surrogate; NaN, which msgspec writes as null, must become that here too
        line = json.dumps(json.loads(json.dumps(head | fields), parse_constant=lambda _: None))
    return _escape_controls(line)


def format_text_line(record: logging.LogRecord, fields: Fields) -> str:
    """`time level logger: message`, fields as `name=value`, and a traceback indented below."""
    head = f"{_format_time(record)} {record.levelname.lower():<8} {record.name}: {_format_value(fields['message'])}"
    rest = "".join(
        f"  {name}={_format_value(value)}" for name, value in fields.items() if name not in {"message", "error"}
    )
    below = "".join(f"\n    {_escape_controls(line)}" for line in str(fields.get("error", "")).splitlines())
    return head + rest + below


# -- the fields of a record --------------------------------------------------------------------------------------


def _collect_fields(record: logging.LogRecord) -> dict[str, object]:
    given = vars(record)
    more = {name: value for name, value in given.items() if name not in _OWN}
    fields: dict[str, object] = {"message": _format_message(record)}
    for name in CONTEXT:
        if (value := more.pop(name, None)) is not None:
            fields[name] = value
    fields |= more
    if error := _format_error(record):
        fields["error"] = error
    return fields


def _format_message(record: logging.LogRecord) -> str:
    try:
        return record.getMessage()
    except Exception:  # noqa: BLE001  # a line whose arguments do not fit is better shown badly than lost
        return f"{record.msg} {record.args!r}"


def _format_error(record: logging.LogRecord) -> str:
    """The traceback, formatted here each time: `exc_text` would keep it unredacted for other handlers."""
    trace = "".join(traceback.format_exception(*record.exc_info)) if record.exc_info and record.exc_info[1] else ""
    return trace + (record.stack_info or "")


def _to_json(fields: dict[str, object]) -> Fields:
    """As JSON. A value that is not JSON becomes its text, or the name of its type if that fails."""
    try:
        plain: Fields = msgspec.to_builtins(fields, str_keys=True, enc_hook=str)
    except Exception:  # noqa: BLE001  # a field can be anything, and its text can fail in any way
        return {
            name: value if isinstance(value, str) else f"<{type(value).__name__}>" for name, value in fields.items()
        }
    return plain


def _format_time(record: logging.LogRecord) -> str:
    second, millisecond = divmod(int(record.created * 1000), 1000)
    return f"{_format_second(second)}.{millisecond:03}Z"


@lru_cache(maxsize=4)
def _format_second(at: int) -> str:
    """Kept, as many lines are of the same second."""
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%S")


def _format_value(value: JSON) -> str:
    return _escape_controls(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False))


def _escape_controls(text: str) -> str:
    return text if text.isprintable() else _UNSAFE.sub(_escape, text)


def _escape(match: re.Match[str]) -> str:
    return {"\n": "\\n", "\r": "\\r", "\t": "\\t"}.get(match[0], f"\\u{ord(match[0]):04x}")
