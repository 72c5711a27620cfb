"""A file becomes a checked pipeline, or every mistake in it is reported with its position and a fix."""

import json
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, Field, ValidationError

from durable.action import Action, Context, Inputs, Secret
from durable.durations import parse_duration
from durable.language.catalogue import Catalogue
from durable.language.load import LoadResult, load_pipeline
from durable.language.pipeline import PipelineSpec
from durable.language.resolve import resolve_pipeline
from durable.values import JSON
from durable.yaml.document import YamlDocument
from tests.language.mistakes import Mistake, list_said, read_mistakes
from tests.language.test_document import WELL_KNOWN_MISTAKES
from triggers.kinds import list_models

# -- stand-ins for connectors ------------------------------------------------------------------------


class Request(Inputs):
    url: str = Field(description="Where to", json_schema_extra={"url": True})
    headers: dict[str, Secret] | None = None
    json_: Any = Field(None, alias="json")


class Charge(Inputs):
    amount: int = Field(ge=1)
    currency: Literal["eur", "usd"]
    to: str | list[str] | None = None


class Statement(Inputs):
    sql: str
    params: dict[str, Any] | None = None


class Message(Inputs):
    channel: str
    text: str


class Mail(Inputs):
    to: str
    subject: str
    template: str | None = None


class Reply(BaseModel):
    status: int
    headers: dict[str, str]
    body: Any


async def do_nothing(context: Context, input: BaseModel) -> None:
    """Do nothing."""


MODELS: dict[str, type[BaseModel]] = {
    "http.get": Request,
    "http.post": Request,
    "http.delete": Request,
    "stripe.create_charge": Charge,
    "sql.execute": Statement,
    "slack.post_message": Message,
    "email.send": Mail,
}
CATALOGUE = Catalogue(
    actions={
        name: Action(name, do_nothing, model, Reply if name.startswith("http.") else None)
        for name, model in MODELS.items()
    },
    triggers=list_models(),
)
CONNECTIONS = {
    "crm": "http",
    "stock": "http",
    "bank": "http",
    "stripe_live": "stripe",
    "warehouse": "sql",
    "slack": "slack",
    "smtp": "email",
}


def load_text(text: str | bytes, **more: Any) -> LoadResult:
    around = {"catalogue": CATALOGUE, "connections": CONNECTIONS.get, "connection_names": CONNECTIONS, **more}
    return load_pipeline(text, file="pipelines/sample.yaml", **around)


# -- the complete example -----------------------------------------------------------------------------------------

DATA = Path(__file__).parent.parent / "data"
NEARLY_EVERYTHING = (DATA / "order_intake.yaml").read_text("utf-8")


def test_the_complete_example_loads_without_problems_and_can_be_performed() -> None:
    result = load_text(NEARLY_EVERYTHING)

    assert result.problems == ()
    assert result.pipeline is not None
    definition = resolve_pipeline(result.pipeline, CATALOGUE.actions.get)
    assert len(definition.places) == 19
    assert definition.has_links
    assert definition.actions["reserve.hold"].step.connection == "stock"


SMALL = """\
triggers:
  - id: hook
    use: webhook
    with: {path: /hello, verify: none}
    inputs: {name: "{{ trigger.body.name }}"}
inputs:
  name: {type: string}
  greeting: {type: string, default: Hello}
steps:
  - id: look
    use: http.get
    with:
      url: "http://example.com/{{ inputs.name }}"
      headers: {Authorization: "Bearer {{ secrets.TOKEN }}"}
    retry: {max_attempts: 5}
    timeout: 10s
  - id: tell
    if: "steps.look.output.status == 200"
    use: slack.post_message
    with: {channel: "#hello", text: "{{ inputs.greeting }} {{ steps.look.output.body.name }}"}
outputs: {said: "{{ steps.tell.output }}"}
on_failure:
  - {id: page, use: slack.post_message, with: {channel: "#oncall", text: "{{ error.message }} {{ steps.look.status }}"}}
"""


def test_a_pipeline_without_mistakes_is_loaded() -> None:
    result = load_text(SMALL, secrets=lambda name: name == "TOKEN")

    assert result.problems == ()
    assert result.pipeline is not None
    assert result.pipeline.id == "sample"
    assert [step.id for step in result.pipeline.steps] == ["look", "tell"]
    assert result.pipeline.steps[1].if_ == "steps.look.output.status == 200"


def test_a_secret_without_a_value_is_a_warning_and_the_pipeline_is_loaded() -> None:
    result = load_text(SMALL, secrets=lambda name: False)

    assert result.pipeline is not None
    assert [(each.severity, each.line, each.column) for each in result.problems] == [("warning", 14, 43)]
    assert result.problems[0].hint == "set WAYPOST_SECRET_TOKEN, or run `waypost secrets set TOKEN`"


def test_warnings_never_displace_an_error() -> None:
    headers = ", ".join(f"x{number}: '{{{{ secrets.S{number} }}}}'" for number in range(300))
    text = f"steps: [{{id: a, use: http.get, with: {{url: /, headers: {{{headers}}}}}}}, {{id: a, use: flow.stop}}]"

    result = load_text(text, secrets=lambda name: False)

    assert result.pipeline is None
    assert [each.message for each in result.problems if each.severity == "error"] == ["a second step with the id 'a'"]


def test_the_number_of_problems_is_bounded() -> None:
    text = "steps:\n" + "".join(f"  - {{id: s{number}, use: nothing.here}}\n" for number in range(3_000))

    assert len(load_text(text).problems) == 100


# -- mistakes -----------------------------------------------------------------------------------------------------

STEP = "steps:\n  - id: a\n    use: http.get\n    with: {url: /}\n"


def complete(text: str) -> str:
    """A text with a step, unless it is a whole file."""
    is_whole = "\nsteps:\n" in f"\n{text}" or text.startswith(("steps:", "description: x"))
    return text if is_whole else text + STEP


MISTAKES = read_mistakes(DATA / "mistakes.txt", complete)


@pytest.mark.parametrize("mistake", MISTAKES, ids=lambda mistake: mistake.said[0][2])
def test_a_mistake_is_reported_with_its_position_and_a_fix(mistake: Mistake) -> None:
    result = load_text(mistake.text)

    assert result.pipeline is None
    assert mistake.said == list_said(result.problems)


CALL = "with: {pipeline: sample}"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            'steps: [{id: a, use: http.get, with: {url: "/${{ inputs.x }}"}}]',
            "1:46: warning: the '$' before '{{' is text, and is sent with the value; write '{{' without it; "
            "for a literal dollar sign write {{ '$' }}",
        ),
        (
            "steps: [{id: a, use: http.get, with: {url: /}},\n"
            "{id: b, if: \"steps.a.output.status == '200'\", use: flow.stop}]",
            "2:14: warning: 'steps.a.output.status' is a number, and never '200'; write 200 without quotes",
        ),
        (
            "steps: [{id: a, use: http.get, with: {url: /}, keep: '{{ output.status in [none] }}'}]",
            "1:58: warning: 'output.status' is a number, and never null",
        ),
        (
            "steps: [{id: a, use: wait.any, with: {waits: {late: {use: wait.delay, with: {for: 1d}}}}}]",
            "1:39: warning: a wait.any of one wait; use that wait itself, or add another to 'waits'",
        ),
        (
            f"steps: [{{id: a, use: flow.call, {CALL}}}]",
            "1:50: warning: the pipeline calls itself without an end; give the step an 'if' that ends it",
        ),
        (
            "steps: [{id: a, use: http.get, with: {url: /}, undo: {use: http.delete, with: {url: /}}},\n"
            "{id: b, use: http.get, with: {url: /}}, {id: c, use: flow.undo, with: {steps: [a, b]}}]",
            "2:83: warning: neither the step 'b' nor anything in it has an 'undo'; those that have one: a",
        ),
        (
            "steps: [{id: a, use: flow.respond, with: {body: hi}}]",
            "1:22: warning: no request waits for its response; set 'respond: step' on the webhook whose request it "
            "answers",
        ),
        (
            f"concurrency: {{key: inputs.customer}}\ninputs: {{customer: {{}}}}\n{STEP}",
            "1:20: warning: 'inputs.customer' is text here, so that all runs share one limit; "
            'write "{{ inputs.customer }}"',
        ),
        (
            "triggers: [{id: t, use: webhook, with: {path: /, verify: none, dedupe: {key: trigger.body.id}}}]\n" + STEP,
            "1:78: warning: 'trigger.body.id' is text here, so that all deliveries count as duplicates of the first; "
            'write "{{ trigger.body.id }}"',
        ),
        (
            f"triggers: [{{id: t, use: webhook, with: {{path: /hooks/shop, verify: none}}}}]\n{STEP}",
            "1:47: warning: the webhook is served at /hooks/hooks/shop: paths are relative to /hooks; "
            "write /shop, unless this is intended",
        ),
        (
            "steps: [{id: a, try: [{id: b, use: flow.stop}], catch: [{when: error.class == 'clinet', steps: []}]}]",
            "1:64: warning: no error has the class 'clinet'; did you mean 'client'",
        ),
        (
            f"{STEP}on_failure: [{{id: b, if: \"steps.a.error.class in ['server', 'netwrk']\", use: flow.stop}}]",
            "5:27: warning: no error has the class 'netwrk'; did you mean 'network'",
        ),
    ],
)
def test_a_likely_mistake_is_a_warning_and_the_pipeline_is_loaded(text: str, expected: str) -> None:
    result = load_text(text)

    assert [str(each).partition(":")[2] for each in result.problems] == [expected]
    assert result.pipeline is not None


@pytest.mark.parametrize(
    "steps",
    [
        f"[{{id: a, if: run.id, use: flow.call, {CALL}}}]",
        f"[{{id: a, switch: [{{when: run.id, steps: [{{id: b, use: flow.call, {CALL}}}]}}]}}]",
        f"[{{id: a, foreach: '[]', steps: [{{id: b, use: flow.call, {CALL}}}]}}]",
        f"[{{id: a, if: run.id, use: flow.stop}}, {{id: b, use: flow.call, {CALL}}}]",
    ],
)
def test_a_conditional_call_of_itself_is_not_an_infinite_loop(steps: str) -> None:
    assert load_text(f"steps: {steps}").problems == ()


@pytest.mark.parametrize(
    "condition",
    [
        "steps.a.output.status == 200",
        "steps.a.output.status in [200, 201.5]",
        "steps.a.output.status == true",
        "steps.a.output.body == '200'",
        "steps.a.output.body.x.status == '200'",
        "steps.a.output.headers.x == 5",
        "steps.a.output.headers['x'] in 'a, b'",
        "'complete' in steps.a.status",
        "steps.a.status in 'completed, skipped'",
        "steps.a.status in ['completed', 'skipped']",
        "steps.a.output.status | string == '200'",
    ],
)
def test_a_comparison_that_may_be_equal_is_not_a_mistake(condition: str) -> None:
    text = f'steps: [{{id: a, use: http.get, with: {{url: /}}}}, {{id: b, if: "{condition}", use: flow.stop}}]'

    assert load_text(text).problems == ()


@pytest.mark.parametrize(
    "text",
    [
        "concurrency: {key: customers}",
        "concurrency: {key: steps.a}",
        "concurrency: {key: 'shop {{ inputs.a }}'}\ninputs: {a: {}}",
        "triggers: [{id: t, use: webhook, with: {path: '/{b}', verify: none}, when: trigger.path.b and trigger.path}]",
        "triggers: [{id: t, use: webhook, with: {path: '/{a:path}', verify: none}, when: \"trigger.path.a == 'b'\"}]",
        "inputs: {a: {type: [string, 'null'], default: null}, b: {default: 5}, c: {type: number, default: 1}}",
        "inputs: {a: {format: email, default: nobody}}",
        "inputs: {a: {x-type: b, label: c, note: d, example: e, form: f, nullable: true, readOnly: true, when: g}}",
        "inputs: {a: {properties: {typ: {}, defualt: {}}, default: {typ: 5}, examples: [{typ: 5}], const: {typ: 5}}}",
        "inputs: {a: {$defs: {typ: {}}, enum: [{itmes: 5, typ: 1}], default: {itmes: 5, typ: 1}, required: [typ]}}",
        "on_failure: [{id: b, if: \"error.class in ['server', 'crash'] or error.class == none\", use: flow.stop}]",
        "on_failure: [{id: b, if: \"error.code == 'clinet'\", use: flow.stop}]",
    ],
)
def test_text_that_only_looks_like_a_mistake_is_not_reported(text: str) -> None:
    assert load_text(f"{text}\n{STEP}").problems == ()


def test_several_waits_need_a_timeout_unless_one_is_a_delay() -> None:
    waits = "paid: {use: wait.event, with: {type: x}}, done: {use: wait.webhook}"
    [problem] = load_text(f"steps: [{{id: a, use: wait.any, with: {{waits: {{{waits}}}}}}}]").problems

    assert problem.message == "'wait.any' does not say what happens when nothing comes"
    late = "late: {use: wait.delay, with: {for: '{{ trigger.body.wait }}'}}"
    assert load_text(f"steps: [{{id: a, use: wait.any, with: {{waits: {{{waits}, {late}}}}}}}]").problems == ()


def test_outputs_of_blocks_and_waits_are_readable_after_them() -> None:
    text = """\
steps:
  - {id: ask, use: http.post, with: {url: "/ask/{{ run.links.approved }}/{{ run.links.first.yes }}"}}
  - id: approved
    use: wait.approval
    with: {to: [ops@example.com], title: Go, fields: {why: {type: string, enum: "{{ steps.ask.output.body }}"}}}
    timeout: 2d
    on_timeout: {approved: false, is_late: true}
  - id: first
    use: wait.any
    with: {waits: {yes: {use: wait.webhook}, late: {use: wait.until, with: {time: 2027-01-31T09:00:00Z}}}}
  - id: each
    foreach: trigger.body.lines
    steps:
      - {id: asked, use: wait.webhook, with: {title: "{{ run.links.asked }}"}, timeout: 1d, on_timeout: fail}
      - id: inner
        repeat: {until: steps.look.status == 'completed', max_times: 2}
        steps: [{id: look, use: http.get, with: {url: /}}]
  - {id: sent, use: flow.emit, with: {type: done}}
outputs:
  why: "{{ steps.approved.output.fields.why }} {{ steps.approved.output.is_late }}"
  which: "{{ steps.first.output.name }} {{ steps.first.output.output.body }}"
  item: "{{ steps.each.output[0].status }} {{ steps.each.output[-1].error.message }}"
  turn: "{{ steps.each.output[0].steps.inner.output.look.output.body.x }}"
  answer: "{{ steps.each.output[0].steps.asked.output.headers.x }}"
  runs: "{{ steps.sent.output.runs }}"
on_failure:
  - {id: tell, use: http.post, with: {url: "/{{ steps.ask.output.status }}", json: "{{ steps.each.output }}"}}
"""
    assert load_text(text).problems == ()


def test_a_connection_is_not_checked_when_connections_are_unknown() -> None:
    text = "steps: [{id: a, use: http.get, with: {url: /}, connection: unheard_of}]"

    assert load_text(text).pipeline is None
    assert load_text(text, connections=None).problems == ()


@pytest.mark.parametrize(
    ("step", "expected"),
    [
        (
            "use: slack.post_message, with: {channel: c, text: t}",
            ["'slack' needs a connection; add 'connection: slack'"],
        ),
        ("use: slack.post_message, connection: slack, with: {channel: c, text: t}", []),
        ("use: http.get, with: {url: https://a.example}", []),
        (
            "use: http.get, with: {url: https://a.example}, undo: {use: sql.execute, with: {sql: q}}",
            ["'sql' needs a connection; add 'connection: warehouse'"],
        ),
    ],
)
def test_a_step_or_undo_without_the_connection_that_its_connector_needs_is_an_error(
    step: str, expected: list[str]
) -> None:
    catalogue = replace(CATALOGUE, needs_connection={"slack", "sql"}.__contains__)

    problems = load_text(f"steps: [{{id: a, {step}}}]", catalogue=catalogue).problems

    assert [f"{problem.message}; {problem.hint}" for problem in problems] == expected


def test_the_message_about_an_invalid_connection_says_to_fix_it_not_to_add_it() -> None:
    text = "steps: [{id: a, use: http.get, with: {url: /}, connection: billing}]"
    [problem] = load_text(text, is_broken=lambda name: name == "billing").problems

    assert problem.message == "the connection 'billing' cannot be used"
    assert problem.hint == "connections.yaml has errors; run `waypost validate` to see them"


@pytest.mark.parametrize(
    ("text", "message"), [("", "the file is empty"), ("# x", "is empty"), ("- a", "not a mapping")]
)
def test_the_error_for_a_file_that_is_not_a_mapping_shows_how_a_pipeline_begins(text: str, message: str) -> None:
    [problem] = load_text(text).problems

    assert message in problem.message
    assert "steps:" in (problem.hint or "")


@pytest.mark.parametrize(
    ("line", "column", "text"),
    [
        (4, 9, "    if: {{ inputs.x }}\n    with: {url: /}\n"),
        (5, 16, "    with:\n      channel: */5 * * * *\n      url: /\n"),
        (5, 12, "    with:\n      url: #ops\n"),
        (4, 5, "    uses: http.get\n    with: {url: /}\n"),
    ],
)
def test_each_of_the_four_most_common_mistakes_is_reported_once(line: int, column: int, text: str) -> None:
    problems = load_text("steps:\n  - id: a\n    use: http.get\n" + text).problems

    assert [(each.line, each.column) for each in problems] == [(line, column)]
    assert problems[0].hint


def test_more_than_sixty_mistakes_are_known() -> None:
    count = len(MISTAKES) + len(WELL_KNOWN_MISTAKES)
    print(f"\n{count} mistakes are answered at their exact place with a cure")

    assert count >= 60


def test_all_mistakes_of_a_file_are_reported_at_once_in_text_order() -> None:
    text = """\
timeout: 30
on: push
steps:
  - id: a
    use: http.gte
    with: {url: /}
  - id: a
    use: slack.post_message
    with: {chanel: x, text: "{{ steps.b.output }} {{ nothing }}"}
  - uses: http.get
  - id: b
    if: "1 +"
    use: flow.stop
    with: {status: 007}
"""
    assert [(each.line, each.column) for each in load_text(text).problems] == [
        (1, 10),  # missing unit
        (2, 1),  # unknown key
        (5, 10),  # unknown action
        (7, 9),  # duplicate id
        (9, 11),  # missing input
        (9, 12),  # unknown input
        (9, 33),  # a later step
        (9, 54),  # unknown name
        (10, 5),  # missing id
        (10, 5),  # unknown key
        (12, 13),  # not an expression
        (14, 20),  # a leading zero
    ]


def test_a_value_from_an_expression_is_not_checked_before_it_is_known() -> None:
    given = 'amount: "{{ inputs.n }}", currency: "{{ inputs.c }}", to: "{{ inputs.t }}"'

    assert load_text(f"steps: [{{id: a, use: stripe.create_charge, with: {{{given}}}}}]").problems == ()


def test_a_secret_in_a_header_may_have_text_around_it() -> None:
    given = "url: /, headers: {X-Key: 'key {{ secrets.KEY }}'}"

    assert load_text(f"steps: [{{id: a, use: http.get, with: {{{given}}}}}]").problems == ()


def test_a_file_whose_name_is_not_a_valid_id_must_set_one() -> None:
    result = load_pipeline(STEP, file="/pipelines/My Flow.yaml", catalogue=CATALOGUE)

    assert [str(each) for each in result.problems] == [
        "/pipelines/My Flow.yaml:1:1: error: the file's name 'My Flow' cannot be the pipeline's id; "
        "add 'id: …' of lower-case letters, digits and '_', or rename the file"
    ]


def test_bytes_that_are_not_text_are_a_problem_not_a_crash() -> None:
    assert [(each.line, each.column) for each in load_text(b"steps:\n  - \xff").problems] == [(2, 5)]


def test_a_pipeline_is_frozen_and_checks_the_keys_of_its_steps() -> None:
    pipeline = PipelineSpec.model_validate({"id": "a", "steps": [{"id": "a", "use": "flow.stop"}]})

    with pytest.raises(ValidationError):
        pipeline.id = "b"  # type: ignore[misc]
    with pytest.raises(ValidationError, match="mixed"):
        PipelineSpec.model_validate(
            {
                "id": "a",
                "steps": [{"id": "a", "use": "flow.stop", "foreach": "x", "steps": [{"id": "b", "use": "flow.stop"}]}],
            }
        )


@pytest.mark.parametrize(
    ("text", "milliseconds"), [("500ms", 500), ("30s", 30_000), ("5m", 300_000), ("2h", 7_200_000), ("7d", 604_800_000)]
)
def test_durations_are_milliseconds(text: str, milliseconds: int) -> None:
    assert parse_duration(text) == milliseconds


@pytest.mark.parametrize("text", ["", "5", "s", "1.5h", "1h30m", "-5s", " 5s", "5 s", "5S", "٥s", "99999999999999999d"])
def test_an_invalid_duration_is_rejected_with_what_to_write(text: str) -> None:
    with pytest.raises(ValueError, match="write"):
        parse_duration(text)


# -- arbitrary input ----------------------------------------------------------------------------------------------

PIECES = [
    "{",
    "}",
    "[",
    "]",
    ": ",
    "- ",
    "\n",
    "  ",
    "#",
    "'",
    '"',
    "{{",
    "}}",
    "&a",
    "*a",
    "007",
    "null",
    "\t",
    "é",
    "\x00",
]
KEYS = [
    *("id", "use", "with", "steps", "triggers", "inputs", "outputs", "on_failure", "defaults", "retry", "concurrency"),
    *("if", "when", "switch", "else", "foreach", "as", "parallel", "try", "catch", "finally", "repeat", "until"),
    *("undo", "keep", "on_timeout", "timeout", "connection", "key", "url", "headers", "verify", "uses", "a"),
]
WORDS = [
    "a",
    "webhook",
    "http.get",
    "wait.event",
    "flow.stop",
    "{{ steps.a.output }}",
    "{{ secrets.A }}",
    "{{",
    "30s",
    "",
]
VALUES = st.recursive(
    st.sampled_from([*WORDS, None, True, 5, -1.5]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=5),
    max_leaves=40,
)


def is_consistent(text: str, result: LoadResult) -> bool:
    lines = text.split("\n")
    is_refused = any(each.severity == "error" for each in result.problems)
    are_placed = all(1 <= each.line <= len(lines) + 1 and each.column >= 1 for each in result.problems)
    return are_placed and (result.pipeline is None) == is_refused


@given(st.sampled_from([SMALL, NEARLY_EVERYTHING]), st.data())
@settings(max_examples=300, deadline=None)
def test_a_damaged_file_does_not_make_the_loader_raise(text: str, data: st.DataObject) -> None:
    for _ in range(data.draw(st.integers(1, 4))):
        start = data.draw(st.integers(0, len(text)))
        end = min(len(text), start + data.draw(st.integers(0, 30)))
        text = text[:start] + data.draw(st.sampled_from(["", *PIECES])) + text[end:]

    assert is_consistent(text, load_text(text))


@pytest.mark.slow
@given(st.dictionaries(st.sampled_from(KEYS), VALUES, max_size=8))
@settings(max_examples=500, deadline=None)
def test_arbitrary_data_does_not_make_the_loader_raise(data: dict[str, Any]) -> None:
    text = json.dumps(data)

    assert is_consistent(text, load_text(text))


def each_key(data: Any) -> Iterator[tuple[dict[str, Any], str]]:
    """Every mapping in the data, with each of its keys."""
    if isinstance(data, dict):
        yield from ((data, key) for key in data)
    for each in data.values() if isinstance(data, dict) else data if isinstance(data, list) else ():
        yield from each_key(each)


def test_a_broken_connector_is_not_reported_as_a_missing_undo() -> None:
    text = "steps:\n  - {id: ship, use: parcel.send}\non_failure:\n  - {id: back, use: flow.undo}\n"
    broken = replace(CATALOGUE, broken={"parcel": "parcel.yaml has errors"})
    found = load_pipeline(text, file="a.yaml", catalogue=broken).problems
    assert [each.message for each in found] == ["the connector 'parcel' cannot be used: parcel.yaml has errors"]


@pytest.mark.slow
@pytest.mark.parametrize("kind", [[], {}, 5], ids=repr)
def test_a_key_of_a_wrong_type_does_not_make_the_loader_raise(kind: JSON) -> None:
    """`use: []` is valid data, and a list cannot be looked up in a set."""
    data = YamlDocument.read(NEARLY_EVERYTHING, "sample.yaml").data
    for owner, key in list(each_key(data)):
        before, owner[key] = owner[key], kind
        text = json.dumps(data)
        assert is_consistent(text, load_text(text))
        owner[key] = before


@given(st.binary(max_size=300))
@settings(max_examples=200, deadline=None)
def test_arbitrary_bytes_do_not_make_the_loader_raise(data: bytes) -> None:
    assert load_text(data).pipeline is None


def test_a_thousand_small_pipelines_load_quickly() -> None:
    began = time.perf_counter()
    for number in range(1_000):
        assert load_text(SMALL.replace("/hello", f"/hello{number}")).pipeline
    seconds = time.perf_counter() - began
    print(f"\n1,000 small pipelines: {seconds:.2f} s")

    assert seconds < 30
