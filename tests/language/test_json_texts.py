"""Data that is written inside a text: doubted where any data may stand, refused where a mapping or a list has to."""

import pytest

from tests.docs.mistakes import loaded

POST = "steps:\n  - id: a\n    use: http.post\n    with:\n      url: https://a.example\n      {}\n"
HOOK = """\
triggers:
  - id: t
    use: webhook
    with: {{path: /x, verify: none}}
    inputs: {{order: {}}}
inputs: {{order: {}}}
steps: [{{id: a, use: flow.stop}}]
"""


def _told(text: str) -> list[str]:
    return [f"{each.severity}: {'; '.join(filter(None, (each.message, each.hint)))}" for each in loaded(text).problems]


AS_TEXT = "is a text here, and not the data that is written in it; write it without quotes or '|'"


@pytest.mark.parametrize(
    "written",
    [
        """json: '{"a": "{{ inputs.x }}"}'""",
        """json: '{"a": 1}'""",
        "json: '[1, {{ inputs.x }}]'",
        'json: |\n        {"a": 1}',
    ],
)
def test_json_inside_a_text_is_doubted(written: str) -> None:
    assert _told(POST.format(written)) == [f"warning: 'json' {AS_TEXT}"]


def test_the_data_of_an_event_is_doubted_in_the_same_way() -> None:
    emit = "steps: [{id: a, use: flow.emit, with: {type: t, data: '{\"a\": 1}'}}]\n"
    assert _told(emit) == [f"warning: 'data' {AS_TEXT}"]


@pytest.mark.parametrize(
    ("written", "said"),
    [
        (
            """headers: '{"a": "{{ inputs.x }}"}'""",
            'must be a mapping, not the text \'{"a": "{{ inputs.x }}"}\'; it is JSON inside a text',
        ),
        ("params: '{{ inputs.a }} '", "must be a mapping, not the text '{{ inputs.a }} '; text around an expression"),
        ("form: 'a={{ inputs.x }}'", "must be a mapping, not the text 'a={{ inputs.x }}'; text around an expression"),
        ("expect: '[200, {{ inputs.x }}]'", "must be a list, not the text '[200, {{ inputs.x }}]'; it is JSON"),
    ],
)
def test_a_text_around_an_expression_is_no_mapping_and_no_list(written: str, said: str) -> None:
    [message] = _told(POST.format(written))
    assert message.startswith("error: ")
    assert said in message


@pytest.mark.parametrize(
    "written",
    [
        "json: '{{ inputs.x }}'",
        "json: '{{ {\"a\": 1} }}'",
        "json: plain",
        "json: {a: '{\"x\": 1}'}",
        """body: '{"a": "{{ inputs.x }}"}'""",
        "params: '{{ inputs.p }}'",
    ],
)
def test_what_is_meant_as_text_or_as_one_value_is_taken(written: str) -> None:
    assert _told(POST.format(written)) == []


@pytest.mark.parametrize(
    ("schema", "is_refused"),
    [
        ("{type: object}", True),
        ("{type: integer}", True),
        ("{type: [array, 'null']}", True),
        ("{type: string}", False),
        ("{type: [string, object]}", False),
        ("{}", False),
    ],
)
def test_a_text_that_a_trigger_gives_to_an_input_of_another_type_is_refused(schema: str, is_refused: bool) -> None:
    told = _told(HOOK.format("'n {{ trigger.body.n }}'", schema))
    assert ["is a text, and the input 'order' is of type" in each for each in told] == [True] * is_refused
    assert _told(HOOK.format("'{{ trigger.body.n }}'", schema)) == []
