"""Error keys: one outage has one key, and another failure has another."""

import pytest

from durable.error_key import generalize_message, make_error_key
from durable.history.words import Failure


@pytest.mark.parametrize(
    ("message", "common"),
    [
        ("POST https://api.example.com/orders/81723 answered 503", "post api.example.com/orders/# answered #"),
        ("GET http://127.0.0.1:8099/health?at=7#now answered 500", "get 127.0.0.1:8099/health answered #"),
        ("GET https://x.io/v2/users/jane@example.com/cards/c_1: it failed", "get x.io/#/users/# it failed"),
        ("no customer 'Ada O.' in \"EU\"", "no customer # in #"),
        ("it's wrong, isn't it", "it's wrong, isn't it"),
        ("order ord_8f7a is locked by run_01kd3xk5v1s1v5nd4bq2n6y8f2", "order # is locked by #"),
        ("7f9c2ba4-e88f-827d-a016-045507605571 is gone", "# is gone"),
        ("the token deadbeef is old", "the token # is old"),
        ("nothing arrived within 30 s", "nothing arrived within # s"),
        ("a: 'x', 'y' and 'z' are missing", "a: # are missing"),
        ("two\n lines\tof  text", "two lines of text"),
    ],
)
def test_what_differs_from_run_to_run_is_left_out(message: str, common: str) -> None:
    assert generalize_message(message) == common


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("POST https://pay.example.com/charges/17 answered 503", "POST https://pay.example.com/charges/9 answered 503"),
        ("no customer 'Ada'", "no customer 'Grace Hopper'"),
        ("inputs.total: must be a number, not 'x'", "inputs.total: must be a number, not 'yy'"),
        ("could not reach 10.0.0.7:443 within 5 s", "could not reach 10.0.0.19:443 within 5 s"),
        ("duplicate key (id)=(17)", "duplicate key (id)=(4711)"),
    ],
)
def test_one_outage_has_one_key(one: str, other: str) -> None:
    keys = {make_error_key(Failure("server", "503", each), "http.post") for each in (one, other)}
    assert len(keys) == 1


def test_another_class_code_action_host_or_text_is_another_failure() -> None:
    text = "POST https://pay.example.com/charges answered 503"
    failures = [
        (Failure("server", "503", text), "http.post"),
        (Failure("client", "503", text), "http.post"),
        (Failure("server", "502", text), "http.post"),
        (Failure("server", "503", text), "http.put"),
        (Failure("server", "503", text), None),
        (Failure("server", "503", text.replace("pay", "mail")), "http.post"),
        (Failure("server", "503", text.replace("charges", "refunds")), "http.post"),
        (Failure("server", "503", "the card was declined"), "http.post"),
        (Failure(), None),
    ]
    keys = [make_error_key(*each) for each in failures]
    assert len(set(keys)) == len(keys)
    assert all(len(key) == 12 for key in keys)


def test_a_message_of_any_length_takes_a_bounded_time() -> None:
    for text in ("'" * 4_000, "a@" * 2_000, "1" * 4_000, "http://" * 600, "#," * 2_000, "a/" * 2_000):
        assert len(generalize_message(text)) <= 500
