"""Damaged pipelines: nothing makes the loader raise, and what it takes can be set up and is refused by no editor.

`python -m tests.bench.fuzz` does the same for as long as it is given.
"""

import json
import random

import pytest

from tests.bench.fuzz import damaged, damaged_bytes, ensure_sound, sound

FLOW = "steps: [{id: a, use: flow.stop}]\n"


def test_there_is_much_to_damage() -> None:
    assert sum(ensure_sound(json.dumps(data)).pipeline is not None for data in sound()) > 40


@pytest.mark.parametrize("seed", range(4))
def test_no_damage_to_the_data_is_too_much(seed: int) -> None:
    chance = random.Random(seed)
    for _ in range(300):
        ensure_sound(json.dumps(damaged(chance), indent=1))


def test_no_damage_to_the_bytes_is_too_much() -> None:
    chance = random.Random(1)
    for _ in range(200):
        ensure_sound(damaged_bytes(chance))


# -- what was found so ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("key", ["cron", "every", "at"])
def test_a_schedule_without_its_time_is_a_mistake_at_its_place(key: str) -> None:
    text = f"triggers:\n- id: t\n  use: schedule\n  with:\n    {key}:\n{FLOW}"
    problems = ensure_sound(text).problems

    assert [(each.line, each.column, each.message) for each in problems] == [(5, 5, f"'{key}': it is empty")]


@pytest.mark.parametrize("subject", ["5", "-1.5", "order-7", '"{{ run.id }}"'])
def test_a_correlation_key_may_be_a_number(subject: str) -> None:
    emit = f"{{id: a, use: flow.emit, with: {{type: x, subject: {subject}}}}}"
    wait = f"{{id: b, use: wait.event, with: {{type: x, match: {subject}}}, timeout: 1d, on_timeout: fail}}"

    assert ensure_sound(f"steps:\n- {emit}\n- {wait}\n").problems == ()


@pytest.mark.parametrize("detach", ["yes", "'true'", "off", "'1'"])
def test_what_is_taken_as_text_is_refused_by_no_editor(detach: str) -> None:
    assert ensure_sound(f"steps: [{{id: a, use: flow.call, with: {{pipeline: b, detach: {detach}}}}}]").pipeline


def test_what_is_wrong_with_a_verify_is_told_where_it_stands_on_one_line() -> None:
    given = "{preset: hmac, prefix: [a], kv: 1, secret: '{{ secrets.Z }}'}"
    found = ensure_sound(f"triggers:\n- id: t\n  use: webhook\n  with: {{path: /a, verify: {given}}}\n{FLOW}")

    assert [(each.column, each.message) for each in found.problems] == [
        (28, "'header' is missing"),
        (51, "'prefix' must be text, not a list"),
        (56, "unknown key 'kv'"),
    ]


def test_the_hint_for_what_is_missing_is_one_line() -> None:
    found = ensure_sound(f"triggers: [{{id: t, use: webhook, with: {{path: /a, verify: {{scheme: {{}}}}}}}}]\n{FLOW}")

    assert [each.hint for each in found.problems] == ["add 'sig: …' (how the signature's header is written)"]
