"""`defaults` and the settings of a step are merged key by key; other pipelines keep their version hash."""

import pytest

from durable.definition import Definition
from durable.language.resolve import resolve_pipeline
from durable.retry import RetryPolicy
from durable.steps.resolved import ActionStep
from tests.docs.mistakes import load_text
from triggers.config.catalogue import load_connectors

DEFAULTS = "defaults: {retry: {max_attempts: 7, min_delay: 2s, max_delay: 1m, errors: [network]}}\n"
STEP = "steps:\n  - {{id: a, use: http.get, with: {{url: 'https://a.example'}}{}}}\n"


def _definition(text: str) -> Definition:
    result = load_text(text)
    assert result.problems == ()
    assert result.pipeline is not None
    return resolve_pipeline(result.pipeline, load_connectors().actions.get)


def _step(text: str) -> ActionStep:
    (step,) = _definition(text).pipeline.steps
    assert isinstance(step, ActionStep)
    return step


@pytest.mark.parametrize(
    ("own", "policy"),
    [
        ("", RetryPolicy(7, 2_000, 60_000, errors=("network",))),
        (", retry: {max_attempts: 2}", RetryPolicy(2, 2_000, 60_000, errors=("network",))),
        (", retry: {min_delay: 5s}", RetryPolicy(7, 5_000, 60_000, errors=("network",))),
        (", retry: {max_delay: 3s, factor: 3}", RetryPolicy(7, 2_000, 3_000, 3.0, ("network",))),
        (", retry: {errors: [timeout]}", RetryPolicy(7, 2_000, 60_000, errors=("timeout",))),
        (", retry: {max_attempts: 3}", RetryPolicy(3, 2_000, 60_000, errors=("network",))),
    ],
)
def test_the_retry_of_a_step_is_merged_with_defaults_key_by_key(own: str, policy: RetryPolicy) -> None:
    assert _step(DEFAULTS + STEP.format(own)).retry == policy


def test_the_retry_of_a_step_without_defaults_is_completed_with_built_in_values() -> None:
    assert _step(STEP.format(", retry: {min_delay: 2s}")).retry == RetryPolicy(min_delay=2_000)


def test_an_undo_uses_the_defaults_and_not_the_settings_of_its_step() -> None:
    undo = ", retry: {max_attempts: 1}, timeout: 5s, undo: {use: http.delete, with: {url: 'https://a.example'}}"
    step = _step("defaults: {timeout: 20s, retry: {max_attempts: 7}}\n" + STEP.format(undo))
    assert (step.timeout, step.retry.max_attempts) == (5_000, 1)
    assert step.undo is not None
    assert (step.undo.timeout, step.undo.retry.max_attempts) == (20_000, 7)


@pytest.mark.parametrize(
    ("own", "column", "message"),
    [
        (
            "min_delay: 2m",
            81,
            "'min_delay' is longer than the 'max_delay' of 'defaults', which is 1m; give 'max_delay' here as well",
        ),
        (
            "max_delay: 1s",
            81,
            "'max_delay' is shorter than the 'min_delay' of 'defaults', which is 2s; give 'min_delay' here as well",
        ),
    ],
)
def test_delays_that_conflict_only_after_merging_are_rejected(own: str, column: int, message: str) -> None:
    (problem,) = load_text(DEFAULTS + STEP.format(f", retry: {{{own}}}")).problems
    assert (problem.line, problem.column) == (3, column)
    assert f"{problem.message}; {problem.hint}" == message


def test_the_version_of_a_pipeline_that_does_not_merge_defaults_is_unchanged() -> None:
    only_defaults = """\
defaults: {timeout: 20s, retry: {max_attempts: 7, min_delay: 2s, errors: [network]}}
steps:
  - {id: a, use: http.get, with: {url: https://a.example}}
  - {id: b, use: http.post, with: {url: https://a.example}, undo: {use: http.delete, with: {url: https://a.example}}}
"""
    only_own = """\
steps:
  - {id: a, use: http.get, with: {url: https://a.example}, retry: {max_attempts: 7}, timeout: 5s}
  - {id: b, use: http.get, with: {url: https://a.example}, retry: {min_delay: 2s, max_delay: 4s, factor: 3}}
  - {id: c, use: http.get, with: {url: https://a.example}}
"""
    hashes = [
        "a46053e2d8581ccf469ad88cffc096ed75d001c2d8d1c0a0bd7cf8d89c2c6a79",
        "f52f4d12e3d5c770fa008e3d936bc6d991fc724723dd5e7c05a1e660dc551711",
    ]
    assert [_definition(f"id: orders\n{text}").version for text in (only_defaults, only_own)] == hashes


HOOK = """\
triggers:
  - id: hub
    use: webhook
    with: {{path: /hub, verify: {}, dedupe: {{for: 1d}}}}
steps:
  - {{id: note, use: flow.stop}}
"""


def test_the_key_of_a_preset_stays_when_only_the_time_is_given() -> None:
    assert load_text(HOOK.format('{preset: github, secret: "{{ secrets.HOOK }}"}')).problems == ()
    (problem,) = load_text(HOOK.format("none")).problems
    assert problem.message == "'dedupe': the sender sends no id"
    assert problem.hint == "add 'key: …', such as \"{{ trigger.body.id }}\""
