"""Requests of steps as curl commands that a shell understands."""

import shlex
from typing import Any

import pytest

from triggers.dashboard.curl import make_curl


@pytest.mark.parametrize(
    ("use", "given", "words"),
    [
        (
            "http.get",
            {"url": "https://x.example/a?b=1", "params": {"c": ["2", "3 4"]}},
            ["-X", "GET", "https://x.example/a?b=1&c=2&c=3+4"],
        ),
        (
            "http.post",
            {"url": "https://x.example", "headers": {"a": "it's $HOME"}, "json": {"q": "'; rm -rf /"}},
            [
                *("-X", "POST", "https://x.example", "-H", "a: it's $HOME"),
                *("-H", "content-type: application/json", "-d", '{"q":"\'; rm -rf /"}'),
            ],
        ),
        ("http.request", {"url": "/a", "method": "PATCH", "form": {"a": "b c"}}, ["-X", "PATCH", "/a", "-d", "a=b+c"]),
        (
            "http.put",
            {"url": "https://x.example", "body": "a\nb"},
            ["-X", "PUT", "https://x.example", "--data-binary", "a\nb"],
        ),
    ],
)
def test_a_request_is_one_command_in_which_nothing_is_executed(
    use: str, given: dict[str, Any], words: list[str]
) -> None:
    command = make_curl(use, given)
    assert command is not None
    assert shlex.split(command.replace("\\\n", "")) == ["curl", *words]


@pytest.mark.parametrize(
    ("use", "given"), [("log.write", {"url": "x"}), (None, {}), ("http.get", None), ("http.get", {})]
)
def test_what_is_no_known_request_has_no_command(use: str | None, given: Any) -> None:
    assert make_curl(use, given) is None
