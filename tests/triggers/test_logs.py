"""Log lines (no secrets, one line per record) and metrics."""

import io
import json
import logging
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.parser import text_string_to_metric_families

from durable import metrics
from durable.redactor import Redactor
from durable.values import JSON
from triggers import logs
from triggers.setting_kinds import LogFormat, LogLevel

CANARY = 'canary/7+Q "é"\\n&<=%'
log = logging.getLogger("waypost.test")


@pytest.fixture(autouse=True)
def restore_logging() -> Iterator[None]:
    loggers = [logging.getLogger(name) for name in ("", "uvicorn", "uvicorn.error", "uvicorn.access", *logs.CHATTY)]
    before = [(logger, logger.handlers[:], logger.level, logger.propagate) for logger in loggers]
    yield
    for logger, handlers, level, propagate in before:
        logger.handlers, logger.level, logger.propagate = handlers, level, propagate


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def configure_logs(format: LogFormat, *secrets: str, level: LogLevel = "info") -> io.StringIO:
    stream = io.StringIO()
    logs.configure(format, level, Redactor(secrets), stream)
    root = logging.getLogger()
    root.handlers = [
        each for each in root.handlers if isinstance(each, logs.LogHandler)
    ]  # pytest's own setting raises what we keep
    return stream


def read_only_line(stream: io.StringIO) -> dict[str, JSON]:
    (line,) = stream.getvalue().splitlines()
    fields: dict[str, JSON] = json.loads(line)
    return fields


class Unprintable:
    def __repr__(self) -> str:
        raise RuntimeError(CANARY)


# -- floods -----------------------------------------------------------------------------------------------------


def test_repeated_warnings_are_rate_limited() -> None:
    stream = configure_logs("text")
    flooded = logging.getLogger("waypost.http")
    for number in range(10_000):
        flooded.warning("a request from %s was refused", number)
    for number in range(10):
        flooded.warning("another kind: %s", number)
    lines = stream.getvalue().splitlines()
    assert 70 <= len(lines) <= 130  # a minute may end during the loop
    assert sum("further lines like this are left out" in line for line in lines) in (1, 2)


# -- lines ------------------------------------------------------------------------------------------------------


def test_a_record_is_one_json_object() -> None:
    stream = configure_logs("json")
    log.info("run %s", "completed", extra={"pipeline": "orders", "attempt": 2, "step": "a[1].b", "run": "r1"})
    fields = read_only_line(stream)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", str(fields.pop("time")))
    assert list(fields.items()) == [
        ("level", "info"),
        ("logger", "waypost.test"),
        ("message", "run completed"),
        ("run", "r1"),
        ("step", "a[1].b"),
        ("attempt", 2),
        ("pipeline", "orders"),
    ]


def test_an_adapter_adds_run_step_and_attempt_to_a_line() -> None:
    stream = configure_logs("json")
    logging.LoggerAdapter(log, {"run": "r1", "step": "a", "attempt": 1}).warning("slow")
    fields = read_only_line(stream)
    assert (fields["level"], fields["run"], fields["step"], fields["attempt"]) == ("warning", "r1", "a", 1)


def test_a_record_is_one_readable_line() -> None:
    stream = configure_logs("text")
    log.info("run completed", extra={"run": "r1", "tags": ["a", None]})
    time, line = stream.getvalue().split(" ", 1)
    assert time.endswith("Z")
    assert line == 'info     waypost.test: run completed  run=r1  tags=["a", null]\n'


def test_auto_is_text_on_a_terminal_and_json_elsewhere() -> None:
    for stream, is_json in ((Terminal(), False), (io.StringIO(), True)):
        logs.configure("auto", "info", Redactor(), stream)
        log.info("hello")
        assert stream.getvalue().startswith("{") is is_json


def test_records_below_the_level_are_not_logged() -> None:
    stream = configure_logs("json", level="warning")
    log.info("no")
    logging.getLogger("httpx").info("no")
    assert stream.getvalue() == ""


def test_chatty_libraries_are_logged_only_at_debug() -> None:
    stream = configure_logs("json")
    logging.getLogger("httpx").info("HTTP Request")
    assert stream.getvalue() == ""
    stream = configure_logs("json", level="debug")
    logging.getLogger("httpx").info("HTTP Request")
    assert read_only_line(stream)["logger"] == "httpx"


def test_the_server_logs_in_the_same_format() -> None:
    logging.getLogger("uvicorn").addHandler(logging.StreamHandler(io.StringIO()))
    logging.getLogger("uvicorn").propagate = False
    stream = configure_logs("json", CANARY)
    logging.getLogger("uvicorn.error").error("cannot answer %s", CANARY, extra={"color_message": CANARY})
    assert read_only_line(stream)["message"] == "cannot answer ***"
    assert "color_message" not in stream.getvalue()


def test_configuring_twice_does_not_duplicate_lines() -> None:
    configure_logs("json")
    stream = configure_logs("json")
    log.info("once")
    assert read_only_line(stream)["message"] == "once"


@pytest.mark.parametrize("format", ["json", "text"])
def test_line_breaks_and_terminal_controls_are_escaped(format: LogFormat) -> None:
    stream = configure_logs(format)
    hostile = "a\r\nb\x1b[2J\x00\x85\x9b\u2028\u202e\udc80\x7f\t"
    log.info("%s", hostile, extra={"field": hostile, "deep": [{hostile: hostile}]})
    text = stream.getvalue()
    assert text.count("\n") == 1
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028\u202e\udc80]", text)
    assert len(text.splitlines()) == 1


def test_an_indented_traceback_cannot_imitate_a_line() -> None:
    stream = configure_logs("text")
    try:
        int("1\n2026-01-01 info waypost: all is well\x1b[2J")
    except ValueError:
        log.exception("it failed")
    first, *below = stream.getvalue().splitlines()
    assert first.endswith("waypost.test: it failed")
    assert all(line.startswith("    ") for line in below)
    assert "\x1b" not in stream.getvalue()


def test_values_that_are_not_json_are_logged_as_text() -> None:
    stream = configure_logs("json")
    log.info("odd", extra={"path": Path("/x"), "nan": float("nan"), "big": 2**70, "keys": {1: {"a"}}, "text": "\ud800"})
    fields = read_only_line(stream)
    assert (fields["path"], fields["nan"], fields["big"], fields["keys"]) == ("/x", None, 2**70, {"1": ["a"]})


# -- secrets ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("format", ["json", "text"])
def test_a_secret_is_redacted_from_every_part_of_a_record(format: LogFormat) -> None:
    stream = configure_logs(format, CANARY)
    try:
        try:
            raise KeyError(CANARY)
        except KeyError as error:
            raise RuntimeError(json.dumps({"key": CANARY})) from error
    except RuntimeError:
        log.exception("failed with %s and %r", CANARY, CANARY, extra={"run": CANARY, "deep": {CANARY: [CANARY]}})
    text = stream.getvalue()
    assert "canary" not in text
    assert "RuntimeError" in text
    assert "KeyError: '***'" in text


@pytest.mark.parametrize("format", ["json", "text"])
def test_a_record_that_cannot_be_formatted_shows_no_secret(
    format: LogFormat, capsys: pytest.CaptureFixture[str]
) -> None:
    stream = configure_logs(format, CANARY)
    log.info("%d things", CANARY)
    log.info("seen", extra={"password": CANARY, "odd": Unprintable()})
    log.info(Unprintable())
    text = stream.getvalue() + "".join(capsys.readouterr())
    assert "canary" not in text
    assert "things" in text
    assert "<Unprintable>" in text


def test_redacting_a_number_or_a_field_name_leaves_a_line_valid_json() -> None:
    stream = configure_logs("json", "8400", "message", "info")
    log.info("message at %d", 8400, extra={"port": 8400, "deep": {"port": [8400]}})
    fields = read_only_line(stream)
    assert (fields["message"], fields["port"], fields["deep"]) == ("*** at ***", "***", {"port": ["***"]})


def test_secrets_learned_after_configuration_are_redacted() -> None:
    stream, redactor = io.StringIO(), Redactor()
    logs.configure("json", "info", redactor, stream)
    redactor.learn(CANARY)
    log.info("%s", CANARY)
    assert read_only_line(stream)["message"] == "***"


# -- metrics ----------------------------------------------------------------------------------------------------


def read_metric(name: str, **labels: str) -> float:
    families = text_string_to_metric_families(metrics.render_metrics().decode())
    samples = [sample for family in families for sample in family.samples]
    return sum(sample.value for sample in samples if sample.name == name and labels.items() <= sample.labels.items())


def test_runs_deliveries_and_commits_are_counted() -> None:
    metrics.count_run_started("counted")
    metrics.count_run_finished("counted", "failed", 0.7)
    metrics.count_delivery("p/hook", "filtered")
    metrics.count_acceptance("p/hook", "accepted", 0.002)
    metrics.count_start_of_fire("p/nightly", "started", 0.2)
    metrics.count_commit(3, 0.002)
    metrics.LIVE_RUNS.set_function(lambda: 7)
    assert read_metric("waypost_runs_started_total", pipeline="counted") == 1
    assert read_metric("waypost_runs_finished_total", pipeline="counted", status="failed") == 1
    assert read_metric("waypost_run_seconds_sum", pipeline="counted") == 0.7
    assert read_metric("waypost_deliveries_total", outcome="filtered", webhook="p/hook") == 1
    assert read_metric("waypost_deliveries_total", outcome="accepted", webhook="p/hook") == 1
    assert read_metric("waypost_accept_seconds_count") >= 1
    assert read_metric("waypost_schedule_lateness_seconds_bucket", schedule="p/nightly", le="1.0") == 1
    assert read_metric("waypost_commits_total") == read_metric("waypost_commit_seconds_count") >= 1
    assert read_metric("waypost_commit_units_sum") >= 3
    assert read_metric("waypost_live_runs") == 7


def test_an_attempt_is_timed_and_counted_by_how_it_ended() -> None:
    for seconds in (0.005, 0.006, 400):
        metrics.count_attempt("test.timed", "failed", seconds)
    assert read_metric("waypost_attempts_total", action="test.timed", outcome="failed") == 3
    assert read_metric("waypost_attempt_seconds_count", action="test.timed") == 3
    assert read_metric("waypost_attempt_seconds_sum", action="test.timed") == pytest.approx(400.011)
    bounds = ("0.005", "0.01", "300.0", "+Inf")
    buckets = {bound: read_metric("waypost_attempt_seconds_bucket", action="test.timed", le=bound) for bound in bounds}
    assert buckets == {"0.005": 1, "0.01": 2, "300.0": 2, "+Inf": 3}


def test_label_values_are_bounded() -> None:
    counter = metrics.LabelledCounter("bounded", "A counter of this test.", ["name"], CollectorRegistry())
    for number in range(metrics.MOST_CHILDREN + 100):
        counter.add((f"name-{number}",))
    [family] = counter.collect()
    assert len(family.samples) == metrics.MOST_CHILDREN + 1
    assert {"other": 100.0}.items() <= {each.labels["name"]: each.value for each in family.samples}.items()
