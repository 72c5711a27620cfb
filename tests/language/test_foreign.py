"""Syntax from other template languages: each mistake is reported at its position with what to write instead."""

import pytest

from tests.docs.mistakes import load_text

MESSAGE = "steps:\n  - id: note\n    use: log.write\n    with:\n      message: |-\n        {}\n"
CONDITION = "inputs: {{a: {{}}, x: {{}}}}\nsteps:\n  - id: note\n    use: flow.stop\n    if: |-\n      {}\n"


def _list_problems(file: str, text: str) -> list[tuple[int, str, str]]:
    """The columns within the text, severities and messages of the problems."""
    written = file.format(text)
    indent = len(written.splitlines()[-1]) - len(text)
    return [
        (problem.column - indent, problem.severity, "; ".join(filter(None, (problem.message, problem.hint))))
        for problem in load_text(written).problems
    ]


ONE_BRACE = "unexpected '}'; an expression ends with two: '}}'"


@pytest.mark.parametrize(
    ("text", "column", "expected"),
    [
        ("{{ inputs.x }", 13, ONE_BRACE),
        ("{{inputs.x}", 11, ONE_BRACE),
        ("{{ inputs.x } and more", 13, ONE_BRACE),
        ("{{ inputs.x }} {{ inputs.y }", 28, ONE_BRACE),
        ("{{ inputs.x } {{ inputs.y }}", 13, ONE_BRACE),
        ("{{ inputs['x'] }", 16, ONE_BRACE),
        ("{{ inputs.x } }", 13, "unexpected '} }'; an expression ends with '}}', without a space"),
        ("{{ inputs.x %}", 13, "unexpected '%}'; an expression ends with '}}'"),
        ("{{ inputs.x", 1, "the braces '{{' are never closed; write '}}' after the expression; "),
        ("{{{inputs.x}}}", 3, "a third brace; write expressions in two: '{{ … }}'"),
        ("{{{{ inputs.x }}}}", 3, "an expression inside an expression; remove the inner braces"),
        ("{{ {{ inputs.x }} }}", 4, "an expression inside an expression; remove the inner braces"),
        ("{{ inputs.'x' }}", 11, "a quoted key after a dot; write it in brackets: a['b']"),
        ("{{#if inputs.x}}", 3, "unexpected '#'; comments and statements are not supported in expressions"),
        ("{{ (inputs.x }}", 14, "unexpected '}'; the '(' before it is not closed"),
        ("{{ [1, 2 }}", 10, "unexpected '}'; the '[' before it is not closed"),
        ("{{ inputs['x }}", 11, "the text that begins here is not closed; end it with the quote that it begins with"),
        ('{{ "abc }}', 4, "the text that begins here is not closed; end it with the quote that it begins with"),
        ("{{ 'it's' }}", 9, "the text that begins here is not closed; end it with the quote that it begins with"),
        ("{{ “abc” }}", 4, "unexpected '“'; write texts in ' or \""),
        ("{{ inputs.x && inputs.y }}", 13, "unexpected '&&'; write 'and'"),
        ("{{ inputs.x || inputs.y }}", 13, "unexpected '||'; write 'or'"),
        ("{{ !inputs.x }}", 4, "unexpected '!'; write 'not'"),
        ("{{ inputs.x === 1 }}", 13, "unexpected '==='; write '=='"),
        ("{{ inputs.x !== 1 }}", 13, "unexpected '!=='; write '!='"),
        ("{{ inputs.x <> 1 }}", 13, "unexpected '<>'; write '!='"),
        ("{{ inputs.x = 1 }}", 13, "unexpected '='; '==' compares"),
        ("{{ inputs?.x }}", 10, "unexpected '?.'; write '.'; 'a.b | default(none)' is null where there is no 'b'"),
        ("{{ inputs.x ?? 1 }}", 13, "unexpected '??'; write 'a | default(b)'"),
        ("{{ inputs.x ? 1 : 2 }}", 13, "unexpected '?'; write 'a if condition else b'"),
        ("{{ inputs.x; }}", 12, "unexpected ';'; an expression has no ';'; remove it"),
        ("{{ inputs.x, inputs.y }}", 12, "unexpected ','; an expression has one value; a list is [a, b]"),
        ("{{ inputs.x AND inputs.y }}", 13, "unexpected 'AND'; write 'and'"),
        ("{{ inputs.x contains 'a' }}", 13, "unexpected 'contains'; write 'b in a'"),
        ("{{ if inputs.x }}", 4, "unexpected 'if'; statements are not supported; write 'a if condition else b'"),
        ("{{ inputs.x|default:5 }}", 20, "unexpected ':'; write the arguments of a filter in parentheses: default(…)"),
        ("{{ inputs.x | upcase }}", 15, "there is no filter 'upcase'; write '|upper'"),
        ("{{ inputs.x | date('Y') }}", 15, "there is no filter 'date'; times are texts, such as 2026-12-24T18:00:00Z"),
        ("{{ inputs.x | slice(2) }}", 15, "there is no filter 'slice'; write a[start:end]"),
        (
            "{{ inputs.x | zzz }}",
            15,
            "there is no filter 'zzz'; known: abs, b64decode, b64encode, capitalize, count, d,",
        ),
        (
            "{{ inputs.x is zzz }}",
            13,
            "there is no test 'zzz'; known: boolean, divisibleby, endswith, eq, equalto, even,",
        ),
        ("{{ inputs.x =~ 'a' }}", 13, "unexpected '=~'; patterns are not supported; compare parts of a text"),
        ("{{ inputs.x like 'a' }}", 13, "unexpected 'like'; patterns are not supported; compare parts of a text"),
        ("{{ [y for y in inputs.x] }}", 7, "unexpected 'for', expected ','; '|map' and '|select' work on lists"),
        (
            "{{ $json.body.name }}",
            4,
            "unexpected '$'; names have no prefix; remove it; read the request's body as trigger.body",
        ),
        ("{{ inputs.x is empty }}", 13, "there is no test 'empty'; write 'not a', which is true of an empty text"),
        ("{{ inputs.x.toLowerCase() }}", 24, "functions cannot be called; write '|lower'"),
        ("{{ len(inputs.x) }}", 7, "functions cannot be called; write '|length'"),
        ("{{ NULL }}", 4, "there is no name 'NULL'; write null"),
        ("{{ inputs.order-id }}", 4, "'order-id' is a subtraction here; write inputs['order-id']"),
        ("{{ trigger.body.a-b-c.x }}", 4, "'a-b-c' is a subtraction here; write trigger.body['a-b-c']"),
        (
            "{{ trigger.headers.x-github-event }}",
            4,
            "'x-github-event' is a subtraction here; write trigger.headers['x-github-event']",
        ),
        ("{{ steps.look-up.output }}", 4, "'look-up' is a subtraction here; write steps.look_up"),
    ],
)
def test_a_mistake_in_an_expression_is_reported_with_what_to_write(text: str, column: int, expected: str) -> None:
    [(found, severity, message)] = _list_problems(MESSAGE, text)
    assert (found, severity) == (column, "error")
    assert expected in message


@pytest.mark.parametrize(
    ("text", "column", "expected"),
    [
        ("{ { inputs.x } }", 1, "'{ { inputs.x }' is text here; write an expression in two braces: '{{ inputs.x }}'"),
        ("Hi {inputs.x}!", 4, "'{inputs.x}' is text here; write an expression in two braces: '{{ inputs.x }}'"),
        ("${inputs.x}", 1, "'${inputs.x}' is text here; write an expression in two braces: '{{ inputs.x }}'"),
        ("{secrets.CRM}", 1, "'{secrets.CRM}' is text here; write an expression in two braces: '{{ secrets.CRM }}'"),
        ("<%= inputs.x %>", 1, "'<%= inputs.x %>' is text here; write an expression in two braces"),
        ("{{ 1 }} {inputs['x'].y}", 9, "'{inputs['x'].y}' is text here; write an expression in two braces"),
        ("inputs.x }}", 10, "'}}' is text here: nothing opens it; an expression begins with '{{'"),
        ("{{ inputs.x }}}", 15, "'}' is text here: nothing opens it; remove it, unless it is intended"),
        ("{% if inputs.x %}a{% endif %}", 1, "'{% if' is text here; write '{{ a if condition else b }}'"),
        ("{%- for x in inputs.x %}", 1, "'{%- for' is text here; filters such as '|map' and '|join' work on lists"),
        ("a {# note #}", 3, "'{#' is text here; write comments outside the text, after '#'"),
        ("{{ inputs.x.length }}", 4, "'length' is read as a key here; write inputs.x | length; or inputs.x['length']"),
    ],
)
def test_a_text_that_looks_like_an_expression_is_a_warning(text: str, column: int, expected: str) -> None:
    [(found, severity, message)] = _list_problems(MESSAGE, text)
    assert (found, severity) == (column, "warning")
    assert expected in message


@pytest.mark.parametrize(
    "text",
    [
        "{{ {'a': {'b': 1}}}}",
        "{{ {'a': {'b': 1}}['a'] }}",
        "{{ '{{' }} and {{ '}}' }}",
        '{"a": {"b": "{{ inputs.x }}"}}',
        '{"a": {"b": 1}}',
        "/orders/{id}/{inputs}",
        "100 {%} and {#1}",
        "a smile :}",
        "{{ inputs.a-1 }} {{ inputs.a-inputs.x }} {{ 'inputs.a-b' }}",
        "{{ inputs.x['length'] }}",
        "{{ None }} {{ True }}",
    ],
)
def test_text_that_only_looks_like_a_mistake_is_accepted(text: str) -> None:
    assert _list_problems(MESSAGE, text) == []


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{ inputs.x }", "write an expression without braces here; write inputs.x"),
        ("${inputs.x}", "write an expression without braces here; write inputs.x"),
        ("{ { inputs.x } }", "write an expression without braces here; write inputs.x"),
        ("inputs.x }}", "write an expression without braces here; write inputs.x"),
        ("inputs.a == {{ inputs.x }}", "write an expression without braces here; write inputs.a == inputs.x"),
        ("{{ inputs.a }} == {{ inputs.x }}", "without text around it; write inputs.a == inputs.x"),
        (
            "{% if inputs.x %}",
            "write an expression without braces here; statements are not supported: write the condition",
        ),
        ("{{ inputs.x }", ONE_BRACE),
    ],
)
def test_braces_around_a_condition_are_reported_with_the_condition(text: str, expected: str) -> None:
    [(_, severity, message)] = _list_problems(CONDITION, text)
    assert severity == "error"
    assert expected in message
