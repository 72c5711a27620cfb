"""An expression that decides where a secret is sent is warned of when the file is loaded."""

import pytest

from tests.language.test_load import loaded

TOKEN = 'headers: {authorization: "Bearer {{ secrets.KEY }}"}'


def warnings(step: str) -> list[str]:
    problems = loaded(f"inputs: {{x: {{}}}}\nsteps: [{{id: a, {step}}}]").problems
    return [f"{each.line}:{each.column}: {each.severity}: {each.message}; {each.hint}" for each in problems]


@pytest.mark.parametrize(
    ("url", "column"),
    [
        ("{{ inputs.x }}", 48),
        ("{{ inputs.x }}/a/{{ inputs.x }}", 48),
        ("https://{{ inputs.x }}/a", 56),
        ("https://api.{{ inputs.x }}:8443/a", 60),
    ],
)
def test_a_secret_that_is_sent_where_an_expression_says_is_a_warning(url: str, column: int) -> None:
    hint = "write the address out: https://api.example.com/{{ … }}"
    expected = [f"2:{column}: warning: 'inputs.x' decides where a secret is sent; {hint}"]
    assert warnings(f"use: http.get, with: {{url: '{url}', {TOKEN}}}") == expected


def test_a_secret_in_an_undo_is_looked_at_too() -> None:
    undo = f"use: http.delete, with: {{url: '{{{{ output.body.link }}}}', {TOKEN}}}"
    [said] = warnings(f"use: http.get, with: {{url: https://a.example.com/}}, undo: {{{undo}}}")
    assert "warning: 'output.body.link' decides where a secret is sent" in said


def test_the_credentials_of_a_connection_count() -> None:
    [said] = warnings("use: http.get, connection: crm, with: {url: '{{ inputs.x }}/a'}")
    assert "warning: 'inputs.x' decides what the connection's credentials are used for" in said


@pytest.mark.parametrize(
    "given",
    [
        f"url: 'https://{{{{ inputs.x }}}}.example.com/', {TOKEN}",
        f"url: 'https://example.com/{{{{ inputs.x }}}}', {TOKEN}",
        f"url: '{{{{ run.url }}}}', {TOKEN}",
        "url: '{{ inputs.x }}', headers: {a: '{{ inputs.x }}'}",
    ],
)
def test_what_leads_where_the_file_says_or_carries_no_secret_is_none(given: str) -> None:
    assert warnings(f"use: http.get, with: {{{given}}}") == []
