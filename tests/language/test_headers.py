"""Header names in expressions: any case matches, and what can never match is refused when the file is loaded."""

import pytest

from durable.expressions.expression import Expression, UndefinedName
from durable.values import JSON
from tests.docs.mistakes import loaded

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
def test_a_header_is_found_in_any_case(expression: str, value: JSON) -> None:
    assert Expression.parse(expression).evaluate(SCOPE) == value


def test_a_whole_mapping_of_headers_is_plain_data() -> None:
    assert type(Expression.parse("trigger.headers").evaluate(SCOPE)) is dict
    assert type(Expression.parse("[trigger.headers][0]").evaluate(SCOPE)) is dict


def test_what_a_body_calls_headers_is_data_and_matches_exactly() -> None:
    assert Expression.parse("trigger.body.headers.Subject").evaluate(SCOPE) == "Hello"
    assert Expression.parse("'subject' in trigger.body.headers").evaluate(SCOPE) is False
    with pytest.raises(UndefinedName, match="did you mean 'Subject'"):
        Expression.parse("trigger.body.headers.subject").evaluate(SCOPE)


def test_a_header_that_did_not_come_is_told_with_those_that_did() -> None:
    with pytest.raises(UndefinedName, match=r"no 'X-Absent' in trigger\.headers; known: x-github-event, etag"):
        Expression.parse("trigger.headers['X-Absent']").evaluate(SCOPE)


def _told(when: str, trigger: str = "") -> list[tuple[str, str]]:
    """What is said of a webhook's `when`."""
    kind = trigger or 'use: webhook, with: {path: /hub, verify: {preset: github, secret: "{{ secrets.HOOK }}"}}'
    text = f'triggers:\n  - {{id: hub, {kind}, when: "{when}"}}\nsteps:\n  - {{id: note, use: flow.stop}}\n'
    return [(problem.severity, f"{problem.message}; {problem.hint}") for problem in loaded(text).problems]


@pytest.mark.parametrize(
    ("when", "message"),
    [
        (
            "trigger.headers['X GitHub Event'] == 'push'",
            "no header is called 'X GitHub Event'; did you mean trigger.headers['x-github-event']",
        ),
        (
            "trigger.headers['X-GitHub-Event:'] == 'push'",
            "no header is called 'X-GitHub-Event:'; did you mean trigger.headers['x-github-event']",
        ),
        (
            "trigger.headers[' x-github-event'] == 'push'",
            "no header is called ' x-github-event'; did you mean trigger.headers['x-github-event']",
        ),
        (
            "trigger.headers['']",
            "no header is called ''; write the header's name",
        ),
        (
            "trigger.headers.x_github_event == 'push'",
            "headers are rarely called 'x_github_event', with '_'; did you mean trigger.headers['x-github-event']; "
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
            "no header is called 'X GitHub'; did you mean trigger.headers['x-github']",
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
def test_a_key_that_no_header_matches_is_refused(when: str, message: str) -> None:
    assert _told(when) == [("error", message)]


def test_a_header_that_is_rarely_sent_is_doubted_and_taken() -> None:
    assert _told("trigger.headers['x_token'] == '1'") == [
        ("warning", "headers are rarely called 'x_token', with '_'; did you mean trigger.headers['x-token']")
    ]


def test_a_header_is_text_and_never_a_number() -> None:
    assert _told("trigger.headers['X-Count'] == 5") == [
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
def test_what_can_never_be_equal_is_doubted(when: str, message: str) -> None:
    assert _told(when) == [("warning", message)]


def test_headers_of_an_event_that_are_not_in_lower_case_are_doubted() -> None:
    event = "use: event, with: {type: pushed}"
    assert _told("trigger.body.headers['X-GitHub-Event'] == 'push'", event) == [
        (
            "warning",
            "headers that another pipeline sends with an event are in lower case, and a body matches exactly; "
            "write trigger.body.headers['x-github-event'], unless the event has 'X-GitHub-Event'",
        )
    ]
    assert _told("trigger.body.headers['x-github-event'] == 'push'", event) == []
    assert _told("trigger.body.headers['X-GitHub-Event'] == 'push'") == []


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
def test_a_name_that_a_header_can_have_is_taken(when: str) -> None:
    assert _told(when) == []


@pytest.mark.parametrize(
    ("trigger", "part"),
    [("use: schedule, with: {every: 1h}", "headers"), ("use: schedule, with: {every: 1h}", "body")]
    + [("use: event, with: {type: order.paid}", part) for part in ("headers", "query", "path")],
)
def test_a_trigger_that_brings_no_such_part_is_told_so(trigger: str, part: str) -> None:
    [(severity, message)] = _told(f"trigger.{part}['x'] == 'y'", trigger)
    assert severity == "error"
    assert message.startswith(f"this kind of trigger has no '{part}'; it has ")


def test_an_answers_header_that_can_never_match_is_refused() -> None:
    text = """\
steps:
  - {id: fetch, use: http.get, with: {url: "https://a.example"}, keep: {type: "{{ output.headers['content type'] }}"}}
  - {id: loop, foreach: "[1]", steps: [{id: inner, use: http.get, with: {url: "https://a.example"}}]}
  - {id: read, use: log.write, with: {message: "{{ steps.loop.output[0].steps.inner.output.headers['e tag'] }}"}}
"""
    assert [problem.message for problem in loaded(text).problems] == [
        "no header is called 'content type'",
        "no header is called 'e tag'",
    ]


def test_headers_that_an_input_takes_over_match_in_any_case_only_where_it_is_called_headers() -> None:
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
    assert [str(problem) for problem in loaded(text).problems] == [
        "config/pipelines/orders.yaml:8:52: warning: the headers in 'inputs.h' are in lower case; "
        "write inputs.h['x-github-event'], or call the input 'headers', where any case matches"
    ]
