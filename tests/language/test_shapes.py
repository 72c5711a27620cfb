"""Keys, actions, triggers and structures from other tools: each is reported with what to write instead."""

import pytest

from tests.docs.mistakes import load_text

LAST = "steps: [{id: z, use: flow.stop}]\n"


def _step(text: str) -> str:
    return f"steps:\n  - {text}\n"


@pytest.mark.parametrize(
    ("text", "place", "expected"),
    [
        (_step("{id: a, switch: {cases: []}}"), "2:21", "write for example 'switch: [{when: inputs.total > 100, "),
        (_step("{id: a, switch: [{when: run.id, then: []}]}"), "2:37", "unknown key 'then'; did you mean 'steps'"),
        (_step("{id: a, switch: [{if: run.id, steps: []}]}"), "2:23", "unknown key 'if'; did you mean 'when'"),
        (_step("{id: a, wait: 10s}"), "2:13", "waiting is a step of its own: {id: pause, use: wait.delay, with: {for:"),
        (_step("{id: a, use: sleep}"), "2:18", "'sleep' is not the name of an action; did you mean 'wait.delay'"),
        (_step("{id: a, use: wait.sleep}"), "2:18", "has no action 'sleep'; did you mean 'wait.delay'"),
        (_step("{id: a, use: email.send}"), "2:18", "use 'http.post' to call a service that has an HTTP API"),
        (
            _step("{id: a, use: acme}"),
            "2:18",
            "known: flow, github, http, log, slack, stripe, transform, wait; use 'http.post' to call a service",
        ),
        (_step("{id: a, use: curl}"), "2:18", "did you mean 'http.request'"),
        (_step("{id: a, use: python}"), "2:18", "pipelines contain no code; 'transform.set' computes values"),
        (_step("{id: a, use: foreach}"), "2:18", "write 'foreach: …' instead of 'use'"),
        (_step("{id: a, parallel: [{id: b, use: flow.stop}]}"), "2:23", "write for example 'parallel: {mail: [{id: "),
        (_step("{id: a, if: true, use: flow.stop}"), "2:17", "remove it: a step without 'if' is always performed"),
        (_step("{id: a, if: false, use: flow.stop}"), "2:17", "quote it: 'if: \"false\"' skips the step"),
        (_step("{id: a, if: [x], use: flow.stop}"), "2:17", "write for example 'if: inputs.total > 100'"),
        (_step("{id: a, foreach: inputs.x, use: flow.stop}"), "2:13", "put the steps to repeat under 'steps'"),
        (
            _step("{id: a, while: run.id}"),
            "2:13",
            "a loop is 'foreach: inputs.lines', or 'repeat: {until: …",
        ),
        (_step("{id: a, try: {steps: []}, catch: [{steps: []}]}"), "2:18", "write for example 'try: [{id: note, use: "),
        (_step("http.get"), "2:5", "write for example '- {id: note, use: log.write, with: {message: …}}'"),
        ("steps: {a: {use: flow.stop}}\n", "1:8", "begin each of its items with '- '"),
        ("triggers: {id: a, use: webhook}\n" + LAST, "1:11", "begin each of its items with '- '"),
        ("triggers: [webhook]\n" + LAST, "1:12", "write for example '- {id: shop, use: webhook, with: {path: /orders"),
        ("triggers: [{id: a, use: cron}]\n" + LAST, "1:25", "write 'use: schedule' and 'with: {cron: …}' or '{every"),
        ("triggers: [{id: a, use: manual}]\n" + LAST, "1:25", "every pipeline can be started through the API and with"),
        ("inputs: [order]\n" + LAST, "1:9", "write for example 'inputs: {order: {type: object}}'"),
        ("inputs: {order: object}\n" + LAST, "1:10", "write for example 'order: {type: object}'"),
        ("on_failure: {id: b, use: flow.stop}\n" + LAST, "1:13", "write for example 'on_failure: [{id: note, use: "),
        ("on_failure: notify\n" + LAST, "1:13", "write for example 'on_failure: [{id: note, use: log.write"),
        ("defaults: 3\n" + LAST, "1:11", "write for example 'defaults: {timeout: 10s, retry: {max_attempts: 5}}'"),
        (_step("{id: a, use: http.get, with: {url: x, expect: 200}}"), "2:51", "write 'expect: [200]'"),
        (_step("{id: a, use: http.get, with: {url: x, headers: [y]}}"), "2:52", "write 'headers: {name: value}'"),
        (_step("{id: a, use: http.get, with: {url: x}, retry: {max_attempts: '3'}}"), "2:66", "write 3 without quotes"),
        (_step("{id: a, type: io.kestra.plugin.core.log.Log}"), "2:13", "unknown key 'type'; did you mean 'use'"),
        (_step("{id: a, operator: BashOperator}"), "2:13", "unknown key 'operator'; did you mean 'use'"),
        (_step("{id: a, use: flow.call, inputs: {x: 1}}"), "2:29", "write the inputs of an action under 'with'"),
        (_step("{id: a, use: http.get, retries: 3}"), "2:28", "did you mean 'retry', for example 'retry: {max_attem"),
        (_step("{id: a, use: http.get, retry: {delay: 5s}}"), "2:36", "did you mean 'min_delay', for example 'min_de"),
        (_step("{id: a, use: http.get, retry: {interval: 5s}}"), "2:36", "did you mean 'min_delay', for example"),
        (_step("{id: a, use: http.get, retry: {max: 3}}"), "2:36", "unknown key 'max'; did you mean 'max_attempts'"),
        (_step("{id: a, use: http.get, retry: {type: constant}}"), "2:36", "delays begin with 'min_delay' and grow by"),
        ("triggers: [{id: a, type: webhook}]\n" + LAST, "1:20", "unknown key 'type'; did you mean 'use'"),
        ("nodes: []\n" + LAST, "1:1", "unknown key 'nodes'; did you mean 'steps'"),
        ("dag_id: a\n" + LAST, "1:1", "unknown key 'dag_id'; did you mean 'id'"),
        ("concurrency: {group: x}\n" + LAST, "1:15", "unknown key 'group'; did you mean 'key'"),
        ("concurrency: {cancel-in-progress: true}\n" + LAST, "1:15", "did you mean 'overflow', for example 'overflow"),
        (
            "inputs: {a: {type: string, required: true}}\n" + LAST,
            "1:38",
            "an input without a 'default' is required",
        ),
        ("inputs: {a: {type: text}}\n" + LAST, "1:20", "'text' is not a type; did you mean 'string'"),
        ("inputs: {a: {type: float}}\n" + LAST, "1:20", "'float' is not a type; did you mean 'number'"),
        (
            _step("{id: a, use: flow.stop, retry: {min_delay: 10m}}"),
            "2:48",
            "'min_delay' is longer than 'max_delay', which is 5m by default; give 'max_delay' here as well",
        ),
        ("defaults: {retry: {min_delay: 1h}}\n" + LAST, "1:31", "which is 5m by default; give 'max_delay'"),
        ("steps: []\n", "1:8", "'steps' is empty; write for example 'steps: [{id: note, use: log.write, with: "),
    ],
)
def test_a_foreign_structure_is_reported_with_an_example_of_the_right_one(text: str, place: str, expected: str) -> None:
    problems = [f"{each.line}:{each.column} {each.message}; {each.hint}" for each in load_text(text).problems]
    assert any(each.startswith(f"{place} ") and expected in each for each in problems), problems


HOOK = "triggers: [{{id: a, use: webhook, with: {{path: {}, verify: {}}}}}]\nsteps: [{{id: z, use: flow.stop}}]\n"


@pytest.mark.parametrize(
    ("path", "verify", "expected"),
    [
        ("orders", "none", "'path': a path begins with '/'; write 'path: /orders'"),
        ("https://a.example/hooks/x", "none", "'path': a path begins with '/'; write 'path: /x'"),
        ("/x", "github", "'verify' must be a mapping or 'none', not the text 'github'; write for example 'verify: "),
        ("/x", "{preset: githb}", "verify.preset: `githb` is not a preset; did you mean 'github'"),
    ],
)
def test_a_wrong_value_of_a_webhook_is_reported_once_in_words(path: str, verify: str, expected: str) -> None:
    (problem,) = load_text(HOOK.format(path, verify)).problems
    assert expected in f"{problem.message}; {problem.hint}"


def test_steps_in_a_mapping_under_on_timeout_are_a_warning() -> None:
    wait = "{id: a, use: wait.approval, with: {to: x, title: y}, timeout: 2d, on_timeout: {steps: []}}"
    (problem,) = load_text(_step(wait)).problems
    assert (problem.severity, problem.hint) == ("warning", "to perform steps, write the list itself")


@pytest.mark.parametrize(
    ("given", "severity", "expected"),
    [
        (
            "{path: '/a/:id', verify: none}",
            "warning",
            "':id' is text in this path; write a variable segment as {n",
        ),
        (
            "{path: '/<id>', verify: none}",
            "warning",
            "'<id>' is text in this path; write a variable segment as {n",
        ),
        (
            "{path: '/a/*', verify: none}",
            "warning",
            "'*' is text in this path; write a variable segment as {name}",
        ),
        ("{path: '/{a}/{a}', verify: none}", "error", "two segments have the same name; give each {name} a different"),
        ("{path: '/{a:b}', verify: none}", "error", "a segment has an unknown type; write each variable segment"),
        (
            "{path: /a, verify: {github: x}}",
            "error",
            "write for example 'verify: {preset: github, secret: \"{{ secrets.",
        ),
        ("{path: /a, verify: none, secret: x}", "error", "unknown key 'secret'; did you mean 'verify', for example"),
        ("{url: /a, verify: none}", "error", "unknown key 'url'; did you mean 'path'"),
        ("{path: /a, verify: none, dedupe: {key: ''}}", "error", "'key' is empty; write an expression, such as"),
        ("{path: /a, verify: none, dedupe: {key: x}}", "warning", "'x' is the same for every delivery, so that all"),
        ("{path: /a, verify: none, dedupe: {key: trigger.body.id}}", "warning", "'trigger.body.id' is text here, so"),
    ],
)
def test_a_likely_mistake_in_a_webhook_is_reported_with_what_to_write(given: str, severity: str, expected: str) -> None:
    text = f"triggers: [{{id: a, use: webhook, with: {given}}}]\nsteps: [{{id: z, use: flow.stop}}]\n"
    problems = load_text(text).problems
    assert any(each.severity == severity and expected in f"{each.message}; {each.hint}" for each in problems), problems


@pytest.mark.parametrize("path", ["/a:b", "/a*", "/{id}", "/a/{id}/b", "/[a", "/v1.0/<"])
def test_a_path_of_common_characters_is_accepted(path: str) -> None:
    text = f"triggers: [{{id: a, use: webhook, with: {{path: '{path}', verify: none}}}}]\n{LAST}"
    assert load_text(text).problems == ()
