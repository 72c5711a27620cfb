"""Damaged pipelines: the loader never raises, and what it accepts can be served and is valid for editors.

`python -m tests.bench.fuzz` does the same for a given time.
"""

import json
import random

import pytest

from tests.bench.fuzz import ensure_sound, list_pipelines, make_damaged_bytes, make_damaged_data

FLOW = "steps: [{id: a, use: flow.stop}]\n"


def test_there_are_enough_valid_pipelines_to_damage() -> None:
    assert sum(ensure_sound(json.dumps(data)).pipeline is not None for data in list_pipelines().valid) > 40


@pytest.mark.parametrize("seed", range(4))
def test_damaged_data_never_breaks_the_loader(seed: int) -> None:
    chance = random.Random(seed)
    for _ in range(300):
        ensure_sound(json.dumps(make_damaged_data(chance, list_pipelines()), indent=1))


def test_damaged_bytes_never_break_the_loader() -> None:
    chance = random.Random(1)
    for _ in range(200):
        ensure_sound(make_damaged_bytes(chance, list_pipelines()))


# -- regressions ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("key", ["cron", "every", "at"])
def test_a_schedule_without_a_time_is_an_error_at_its_position(key: str) -> None:
    text = f"triggers:\n- id: t\n  use: schedule\n  with:\n    {key}:\n{FLOW}"
    problems = ensure_sound(text).problems

    assert [(each.line, each.column, each.message) for each in problems] == [(5, 5, f"'{key}': it is empty")]


@pytest.mark.parametrize("subject", ["5", "-1.5", "order-7", '"{{ run.id }}"'])
def test_a_correlation_key_may_be_a_number(subject: str) -> None:
    emit = f"{{id: a, use: flow.emit, with: {{type: x, subject: {subject}}}}}"
    wait = f"{{id: b, use: wait.event, with: {{type: x, match: {subject}}}, timeout: 1d, on_timeout: fail}}"

    assert ensure_sound(f"steps:\n- {emit}\n- {wait}\n").problems == ()


@pytest.mark.parametrize("detach", ["yes", "'true'", "off", "'1'"])
def test_the_editor_schema_accepts_what_the_loader_reads_as_text(detach: str) -> None:
    assert ensure_sound(f"steps: [{{id: a, use: flow.call, with: {{pipeline: b, detach: {detach}}}}}]").pipeline


def test_a_problem_of_verify_is_one_line_at_its_position() -> None:
    given = "{preset: hmac, prefix: [a], kv: 1, secret: '{{ secrets.Z }}'}"
    found = ensure_sound(f"triggers:\n- id: t\n  use: webhook\n  with: {{path: /a, verify: {given}}}\n{FLOW}")

    assert [(each.column, each.message) for each in found.problems] == [
        (28, "'header' is missing"),
        (51, "'prefix' must be text, not a list"),
        (56, "unknown key 'kv'"),
    ]


def test_the_hint_for_a_missing_key_is_one_line() -> None:
    found = ensure_sound(f"triggers: [{{id: t, use: webhook, with: {{path: /a, verify: {{scheme: {{}}}}}}}}]\n{FLOW}")

    assert [each.hint for each in found.problems] == ["add 'sig: …' (the format of the signature header)"]
