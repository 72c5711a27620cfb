"""How the versions of a pipeline are written and compared."""

import msgspec
import pytest

from durable.values import JSON
from triggers.versions import COMPARED, format_definition, make_diff


def _write(*steps: dict[str, JSON], timeout: int = 60_000) -> list[str]:
    return list(format_definition(msgspec.json.encode({"id": "p", "steps": list(steps), "timeout": timeout})))


def _step(id: str, message: JSON, timeout: int = 1_000) -> dict[str, JSON]:
    given: dict[str, JSON] = {"message": message, "timeout": 1_000, "condition": "kept"}
    return {"kind": "action", "id": id, "use": "log.write", "input": given, "condition": "1 == 1", "timeout": timeout}


def _compare(one: list[str], other: list[str]) -> str:
    return make_diff("1" * 64, one, "2" * 64, other, lambda: None)


def test_a_definition_is_written_with_the_words_of_files_and_inputs_as_they_are() -> None:
    assert "".join(_write(_step("a", "one\ntwo\n"))) == (
        "id: p\n"
        "steps:\n"
        "- id: a\n  use: log.write\n"
        "  with:\n    message: |\n      one\n      two\n    timeout: 1000\n    condition: kept\n"
        "  if: 1 == 1\n  timeout: 1s\n"
        "timeout: 1m\n"
    )


def test_a_hunk_is_named_after_its_step() -> None:
    one = _write(_step("a", "x"), _step("b", "y"), _step("c", "z"))
    other = _write(_step("a", "x"), _step("b", "changed"), _step("d", "z"), timeout=120_000)
    diff = _compare(one, other)
    assert diff.startswith("--- 111111111111\n+++ 222222222222\n@@ id: b @@\n")
    assert "-    message: y\n+    message: changed\n" in diff
    assert "-- id: c\n+- id: d\n" in diff
    assert diff.endswith("@@ timeout: 1m @@\n-timeout: 1m\n+timeout: 2m\n")
    assert "id: a" not in diff
    assert _compare(one, one) == ""


@pytest.mark.parametrize("is_longer", [True, False])
def test_a_step_that_only_one_version_has_is_shown_as_a_whole(is_longer: bool) -> None:
    long, short = _write(_step("a", "x"), _step("b", "y")), _write(_step("a", "x"))
    diff = _compare(*((long, short) if is_longer else (short, long)))
    sign = "-" if is_longer else "+"
    assert f"@@ id: b @@\n{sign}- id: b\n" in diff


def test_a_very_long_step_is_not_compared_line_by_line() -> None:
    one, other = (_write(_step("a", [f"{text} {number}" for number in range(COMPARED)])) for text in ("x", "y"))
    diff = _compare(one, other)
    assert diff.index("+- id: a") > diff.index(f"-    - x {COMPARED - 1}\n")
