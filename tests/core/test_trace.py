"""Span ids, and the header `traceparent` of W3C Trace Context."""

import pytest

from durable.trace import make_span_id, make_trace_id, make_traceparent, parse_traceparent

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"


@pytest.mark.parametrize(
    ("given", "parsed"),
    [
        (f"00-{TRACE}-{SPAN}-01", f"00-{TRACE}-{SPAN}-01"),
        (f"  00-{TRACE}-{SPAN}-00\t", f"00-{TRACE}-{SPAN}-00"),
        (f"00-{TRACE}-{SPAN}-03", f"00-{TRACE}-{SPAN}-01"),
        (f"cc-{TRACE}-{SPAN}-01-what-the-future-brings", f"00-{TRACE}-{SPAN}-01"),
        (f"00-{TRACE}-{SPAN}-01-more", None),
        (f"ff-{TRACE}-{SPAN}-01", None),
        (f"00-{'0' * 32}-{SPAN}-01", None),
        (f"00-{TRACE}-{'0' * 16}-01", None),
        (f"00-{TRACE.upper()}-{SPAN}-01", None),
        (f"00-{TRACE}-{SPAN}-01\n", f"00-{TRACE}-{SPAN}-01"),
        (f"00-{TRACE}-{SPAN}", None),
        ("٠٠" + f"-{TRACE}-{SPAN}-01", None),
        ("", None),
        ([f"00-{TRACE}-{SPAN}-01"] * 2, None),
        (None, None),
    ],
)
def test_a_traceparent_is_read_as_the_standard_says(given: object, parsed: str | None) -> None:
    assert parse_traceparent(given) == parsed


def test_a_span_below_a_sender_keeps_its_trace_and_its_decision() -> None:
    sent = make_traceparent("run_1", "run_1:a[2].b", "a[2].b", 3, f"00-{TRACE}-{SPAN}-00")
    assert sent == f"00-{TRACE}-{make_span_id('run_1:a[2].b', 'a[2].b', 3)}-00"


def test_a_span_without_a_sender_is_in_the_trace_of_its_run() -> None:
    sent = make_traceparent("run_1", "run_1:a", "a", 1, None)
    assert sent == f"00-{make_trace_id('run_1')}-{make_span_id('run_1:a', 'a', 1)}-01"
    assert parse_traceparent(sent) == sent
