"""Header names in expressions: any case matches; names that can never match are rejected when a file is loaded."""

import pytest

from durable.expressions.expression import Expression, UndefinedName
from durable.values import JSON
from tests.docs.mistakes import load_text

SCOPE: dict[str, JSON] = {
    "trigger": {
        "headers": {"x-github-event": "push", "etag": "1"},
        "body": {"headers": {"Subject": "Hello"}},
    },
    "steps": {"fetch": {"output": {"headers": {"Content-Type": "text/plain"}}}, "headers": {"output": 5}},
    "inputs": {"name": "X-GitHub-EVENT", "answers": [{"headers": {"etag": "2"}}, {"headers": {"ETag": "3"}}]},
}


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("trigger.headers['X-GitHub-Event']", "push"),
        ("trigger['headers']['x-github-event']", "push"),
        ("trigger.headers.ETag", "1"),
        ("trigger.headers[inputs.name]", "push"),
        ("trigger.headers['X-GitHub-' ~ 'Event']", "push"),
        ("'X-GitHub-Event' in trigger.headers", True),
        ("'X-GitHub-Event' not in trigger.headers", False),
        ("'X-Absent' in trigger.headers", False),
        ("inputs.name is in trigger.headers", True),
        ("trigger.headers['X-GitHub-Event'] is defined", True),
        ("trigger.headers['X-Absent'] | default('none')", "none"),
        ("trigger.headers['ETAG'] | default('none')", "1"),
        ("(trigger.headers or {})['ETag']", "1"),
        ("(trigger.headers | default({}))['ETag']", "1"),
        ("(trigger.headers if true else {})['ETag']", "1"),
        ("{'sent': trigger.headers}.sent['ETag']", "1"),
        ("[trigger.headers] | map(attribute='ETag') | first", "1"),
        ("inputs.answers | map(attribute='headers.Etag') | list", ["2", "3"]),
        ("steps.fetch.output.headers['content-type']", "text/plain"),
        ("steps.headers.output", 5),
        ("trigger.headers", {"x-github-event": "push", "etag": "1"}),
        ("trigger.headers | keys", ["x-github-event", "etag"]),
        ("trigger.headers | length", 2),
        ("trigger.headers == {'x-github-event': 'push', 'etag': '1'}", True),
    ],
)
def test_a_header_is_found_by_its_name_in_any_case(expression: str, value: JSON) -> None:
    assert Expression.parse(expression).evaluate(SCOPE) == value


def test_a_mapping_of_headers_as_a_whole_is_plain_data() -> None:
    assert type(Expression.parse("trigger.headers").evaluate(SCOPE)) is dict
    assert type(Expression.parse("[trigger.headers][0]").evaluate(SCOPE)) is dict


def test_headers_inside_a_body_are_data_and_match_exactly() -> None:
    assert Expression.parse("trigger.body.headers.Subject").evaluate(SCOPE) == "Hello"
    assert Expression.parse("'subject' in trigger.body.headers").evaluate(SCOPE) is False
    with pytest.raises(UndefinedName, match="did you mean 'Subject'"):
        Expression.parse("trigger.body.headers.subject").evaluate(SCOPE)


def test_an_error_about_a_missing_header_lists_those_that_are_present() -> None:
    with pytest.raises(UndefinedName, match=r"no 'X-Absent' in trigger\.headers; known: x-github-event, etag"):
        Expression.parse("trigger.headers['X-Absent']").evaluate(SCOPE)


def _list_problems(when: str, trigger: str = "") -> list[tuple[str, str]]:
    """The problems of a webhook's `when`."""
    kind = trigger or 'use: webhook, with: {path: /hub, verify: {preset: github, secret: "{{ secrets.HOOK }}"}}'
    text = f'triggers:\n  - {{id: hub, {kind}, when: "{when}"}}\nsteps:\n  - {{id: note, use: flow.stop}}\n'
    return [(problem.severity, f"{problem.message}; {problem.hint}") for problem in load_text(text).problems]


@pytest.mark.parametrize(
    ("when", "message"),
    [
        (
            "trigger.headers['X GitHub Event'] == 'push'",
            "there is no header 'X GitHub Event'; did you mean trigger.headers['x-github-event']",
        ),
        (
            "trigger.headers['X-GitHub-Event:'] == 'push'",
            "there is no header 'X-GitHub-Event:'; did you mean trigger.headers['x-github-event']",
        ),
        (
            "trigger.headers[' x-github-event'] == 'push'",
            "there is no header ' x-github-event'; did you mean trigger.headers['x-github-event']",
        ),
        (
            "trigger.headers['']",
            "there is no header ''; write the header's name",
        ),
        (
            "trigger.headers.x_github_event == 'push'",
            "'x_github_event' is an unusual header name, because of '_'; "
            "did you mean trigger.headers['x-github-event']; "
            "otherwise write trigger.headers['x_github_event']",
        ),
        (
            "trigger.headers.Authorization is defined",
            "the header 'authorization' is a credential, which Waypost checks but does not store; "
            "'verify' checks the request; remove this",
        ),
        (
            "trigger.headers['X-Hub-Signature-256'] is defined",
            "the header 'x-hub-signature-256' is a credential, which Waypost checks but does not store; "
            "'verify' checks the request; remove this",
        ),
        (
            "'X GitHub' in trigger.headers",
            "there is no header 'X GitHub'; did you mean trigger.headers['x-github']",
        ),
        (
            "not ('Authorization' in trigger.headers)",
            "the header 'authorization' is a credential, which Waypost checks but does not store; "
            "'verify' checks the request; remove this",
        ),
        (
            "true and 'x-hub-signature-256' not in trigger['headers']",
            "the header 'x-hub-signature-256' is a credential, which Waypost checks but does not store; "
            "'verify' checks the request; remove this",
        ),
    ],
)
def test_a_key_that_no_header_can_match_is_rejected(when: str, message: str) -> None:
    assert _list_problems(when) == [("error", message)]


def test_a_rarely_sent_header_is_a_warning() -> None:
    assert _list_problems("trigger.headers['x_token'] == '1'") == [
        ("warning", "'x_token' is an unusual header name, because of '_'; did you mean trigger.headers['x-token']")
    ]


def test_comparing_a_header_with_a_number_is_a_warning() -> None:
    assert _list_problems("trigger.headers['X-Count'] == 5") == [
        ("warning", "'trigger.headers.X-Count' is a text, and never 5; write '5' in quotes")
    ]


@pytest.mark.parametrize(
    ("when", "message"),
    [
        ("trigger.query.page == 5", "'trigger.query.page' is a text, and never 5; write '5' in quotes"),
        ("trigger.query == 'a=1'", "'trigger.query' is a mapping, and never 'a=1'; read a part: trigger.query['name']"),
        ("trigger.path == '/hub'", "'trigger.path' is a mapping, and never '/hub'; read a part: trigger.path['name']"),
        ("trigger.path in ['/a']", "'trigger.path' is a mapping, and never '/a'; read a part: trigger.path['name']"),
        ("1 == trigger.headers", "'trigger.headers' is a mapping, and never 1; read a part: trigger.headers['name']"),
    ],
)
def test_a_comparison_that_can_never_be_equal_is_a_warning(when: str, message: str) -> None:
    assert _list_problems(when) == [("warning", message)]


def test_header_names_of_an_event_in_upper_case_are_a_warning() -> None:
    event = "use: event, with: {type: pushed}"
    assert _list_problems("trigger.body.headers['X-GitHub-Event'] == 'push'", event) == [
        (
            "warning",
            "headers in an event from another pipeline are in lower case, and keys of a body are case-sensitive; "
            "write trigger.body.headers['x-github-event'], unless the event has 'X-GitHub-Event'",
        )
    ]
    assert _list_problems("trigger.body.headers['x-github-event'] == 'push'", event) == []
    assert _list_problems("trigger.body.headers['X-GitHub-Event'] == 'push'") == []


@pytest.mark.parametrize(
    "when",
    [
        "trigger.headers['X-GitHub-Event'] == 'push'",
        "trigger.headers.ETag is defined",
        "'X-GitHub-Event' in trigger.headers",
        "'a b' in trigger.headers['x-list']",
        "'a b' in trigger.body.headers",
        "trigger.query.page == '5' and trigger.path != null",
    ],
)
def test_a_valid_header_name_is_accepted(when: str) -> None:
    assert _list_problems(when) == []


@pytest.mark.parametrize(
    ("trigger", "part"),
    [("use: schedule, with: {every: 1h}", "headers"), ("use: schedule, with: {every: 1h}", "body")]
    + [("use: event, with: {type: order.paid}", part) for part in ("headers", "query", "path")],
)
def test_an_expression_on_a_part_that_the_trigger_lacks_is_reported(trigger: str, part: str) -> None:
    [(severity, message)] = _list_problems(f"trigger.{part}['x'] == 'y'", trigger)
    assert severity == "error"
    assert message.startswith(f"this kind of trigger has no '{part}'; it has ")


def test_a_response_header_that_can_never_match_is_rejected() -> None:
    text = """\
steps:
  - {id: fetch, use: http.get, with: {url: "https://a.example"}, keep: {type: "{{ output.headers['content type'] }}"}}
  - {id: loop, foreach: "[1]", steps: [{id: inner, use: http.get, with: {url: "https://a.example"}}]}
  - {id: read, use: log.write, with: {message: "{{ steps.loop.output[0].steps.inner.output.headers['e tag'] }}"}}
"""
    assert [problem.message for problem in load_text(text).problems] == [
        "there is no header 'content type'",
        "there is no header 'e tag'",
    ]


def test_headers_copied_to_an_input_match_in_any_case_only_if_it_is_named_headers() -> None:
    text = """\
triggers:
  - id: hub
    use: webhook
    with: {path: /hub, verify: none}
    inputs: {h: "{{ trigger.headers }}", headers: "{{ trigger.headers }}"}
steps:
  - {id: note, if: "inputs.headers['X-GitHub-Event'] == 'push'", use: flow.stop}
  - {id: more, use: log.write, with: {message: "{{ inputs.h['X-GitHub-Event'] }}"}}
"""
    assert [str(problem) for problem in load_text(text).problems] == [
        "config/pipelines/orders.yaml:8:52: warning: the headers in 'inputs.h' are in lower case; "
        "write inputs.h['x-github-event'], or name the input 'headers', where case does not matter"
    ]
