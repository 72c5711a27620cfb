"""Rates and limits are read as people write them, and described in their words."""

import pytest

from durable.language.validation import find_data_problems
from durable.limit import Limit, Rate
from durable.values import JSON


@pytest.mark.parametrize(
    ("text", "rate", "words"),
    [
        ("50/m", Rate(50, 60_000), "50 requests a minute"),
        ("10/s", Rate(10, 1_000), "10 requests a second"),
        ("1000/h", Rate(1000, 3_600_000), "1000 requests an hour"),
        ("1/d", Rate(1, 86_400_000), "1 request a day"),
        ("100/10s", Rate(100, 10_000), "100 requests in 10s"),
        ("600/1m", Rate(600, 60_000), "600 requests a minute"),
    ],
)
def test_a_rate_is_a_number_and_a_period(text: str, rate: Rate, words: str) -> None:
    assert Rate.parse(text) == rate
    assert rate.describe() == words


@pytest.mark.parametrize(
    "text",
    ["", "600", "0/1m", "-1/1m", "1/0s", "1/y", "1/1y", "1e3/1m", "600 / 1m", "1/", "1/999999d", "9" * 10 + "/1m"],
)
def test_an_invalid_rate_is_rejected(text: str) -> None:
    with pytest.raises(ValueError, match="write a number and a period: 50/m"):
        Rate.parse(text)


def test_a_limit_is_read_from_data_and_overridden_key_by_key() -> None:
    declared = Limit.model_validate({"rate": ["50/m", "1000/h"], "at_once": 5})
    assert declared == Limit.parse("50/m", "1000/h", at_once=5)
    assert declared.describe() == ["50 requests a minute", "1000 requests an hour", "5 at once"]
    assert declared.override(Limit.model_validate({"at_once": "none"})) == Limit.parse("50/m", "1000/h")
    assert declared.override(Limit.model_validate({"rate": "none", "breaker": "off"})).describe() == ["5 at once"]


@pytest.mark.parametrize(
    ("data", "key", "words"),
    [
        ({"rate": 50}, "rate", "must be a rate, such as 50/m"),
        ({"rate": "50"}, "rate", "write a number and a period"),
        ({"rate": ["1/s"] * 5}, "rate", "must have at most 4 entries"),
        ({"at_once": 0}, "at_once", "must be at least 1"),
        ({"at_once": "5"}, "at_once", "must be a whole number"),
        ({"breaker": "never"}, "breaker", "must be on or off"),
        ({"rates": "50/m"}, "rates", "did you mean 'rate'"),
    ],
)
def test_what_is_wrong_with_a_limit_is_said_at_its_key(data: dict[str, JSON], key: str, words: str) -> None:
    (problem,) = find_data_problems(Limit, data)
    assert problem.pointer == (key,)
    assert words in f"{problem.message} {problem.hint}"
