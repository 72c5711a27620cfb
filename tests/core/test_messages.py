"""Inbox messages: the stored form never changes, and reading returns what was written."""

from typing import get_args

import pytest

from durable.messages import (
    AnswerMessage,
    CancelMessage,
    ChildMessage,
    EventMessage,
    InboxMessage,
    ResolveMessage,
    ResumeMessage,
    RetryMessage,
    SlotMessage,
    TimerMessage,
    decode_message,
    encode_message,
)
from durable.values import JSON

STORED: dict[InboxMessage, tuple[str, str]] = {
    CancelMessage("enough", "me"): ("cancel", '{"reason":"enough","by":"me"}'),
    CancelMessage(): ("cancel", '{"reason":null,"by":null}'),
    SlotMessage(): ("slot", "null"),
    AnswerMessage("ask", "shop", None): ("answer", '{"path":"ask","name":"shop","data":null,"by":null}'),
    EventMessage("ask", "", "evt_1"): ("event", '{"path":"ask","name":"","event":"evt_1"}'),
    TimerMessage("ask"): ("timer", '{"path":"ask"}'),
    ChildMessage("call", "run_2", "failed", None, None): (
        "child",
        '{"path":"call","run":"run_2","status":"failed","outputs":null,"error":null}',
    ),
    ResolveMessage("pay", "retry", None, "me", None): (
        "resolve",
        '{"path":"pay","verdict":"retry","output":null,"by":"me","reason":null}',
    ),
    ResumeMessage(None, None): ("resume", '{"by":null,"reason":null}'),
    RetryMessage("me", "mended"): ("retry", '{"by":"me","reason":"mended"}'),
}


def test_every_kind_of_message_has_an_example() -> None:
    assert {type(each) for each in STORED} == set(get_args(InboxMessage))


@pytest.mark.parametrize("message", STORED, ids=lambda each: type(each).__name__)
def test_a_stored_message_keeps_its_bytes_and_is_read_as_written(message: InboxMessage) -> None:
    kind, data = encode_message(message)
    assert (kind, data.text) == STORED[message]
    assert decode_message(kind, data.load()) == message


@pytest.mark.parametrize(
    ("kind", "data", "expected"),
    [
        ("dream", None, "which this Waypost does not know"),
        ("answer", "yes", "is damaged"),
        ("answer", {"name": "x", "data": 1}, "`path`"),
        ("resolve", {"path": "x", "verdict": "maybe", "output": None, "by": None, "reason": None}, "'maybe'"),
        ("timer", None, "`path`"),
        ("cancel", {"reason": 7}, "is damaged"),
    ],
)
def test_a_message_of_an_unknown_kind_or_with_invalid_data_is_an_error(kind: str, data: JSON, expected: str) -> None:
    with pytest.raises(ValueError, match=expected):
        decode_message(kind, data)
