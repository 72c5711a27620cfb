"""JSON inside a text: a warning where any data is allowed, an error where a mapping or a list is required."""

import pytest

from tests.docs.mistakes import load_text

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


def _list_problems(text: str) -> list[str]:
    return [
        f"{each.severity}: {'; '.join(filter(None, (each.message, each.hint)))}" for each in load_text(text).problems
    ]


AS_TEXT = "is text here, not the data that is written in it; write it without quotes or '|'"


@pytest.mark.parametrize(
    "written",
    [
        """json: '{"a": "{{ inputs.x }}"}'""",
        """json: '{"a": 1}'""",
        "json: '[1, {{ inputs.x }}]'",
        'json: |\n        {"a": 1}',
    ],
)
def test_json_inside_a_text_is_a_warning(written: str) -> None:
    assert _list_problems(POST.format(written)) == [f"warning: 'json' {AS_TEXT}"]


def test_json_text_as_the_data_of_an_event_is_a_warning() -> None:
    emit = "steps: [{id: a, use: flow.emit, with: {type: t, data: '{\"a\": 1}'}}]\n"
    assert _list_problems(emit) == [f"warning: 'data' {AS_TEXT}"]


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        (
            """headers: '{"a": "{{ inputs.x }}"}'""",
            'must be a mapping, not the text \'{"a": "{{ inputs.x }}"}\'; it is JSON in a text',
        ),
        (
            "params: '{{ inputs.a }} '",
            "must be a mapping, not the text '{{ inputs.a }} '; with text around the expression",
        ),
        (
            "form: 'a={{ inputs.x }}'",
            "must be a mapping, not the text 'a={{ inputs.x }}'; with text around the expression",
        ),
        ("expect: '[200, {{ inputs.x }}]'", "must be a list, not the text '[200, {{ inputs.x }}]'; it is JSON"),
    ],
)
def test_a_text_around_an_expression_is_neither_a_mapping_nor_a_list(written: str, expected: str) -> None:
    [message] = _list_problems(POST.format(written))
    assert message.startswith("error: ")
    assert expected in message


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
def test_a_text_or_a_single_expression_is_accepted(written: str) -> None:
    assert _list_problems(POST.format(written)) == []


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
def test_a_text_from_a_trigger_for_an_input_of_another_type_is_rejected(schema: str, is_refused: bool) -> None:
    result = _list_problems(HOOK.format("'n {{ trigger.body.n }}'", schema))
    assert ["is a text, and the input 'order' is of type" in each for each in result] == [True] * is_refused
    assert _list_problems(HOOK.format("'{{ trigger.body.n }}'", schema)) == []
