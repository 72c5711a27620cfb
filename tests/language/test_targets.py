"""An expression that determines where a secret is sent is a warning when the file is loaded."""

import pytest

from tests.language.test_load import load_text

TOKEN = 'headers: {authorization: "Bearer {{ secrets.KEY }}"}'


def warnings(step: str) -> list[str]:
    problems = load_text(f"inputs: {{x: {{}}}}\nsteps: [{{id: a, {step}}}]").problems
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
def test_a_secret_sent_to_a_target_from_an_expression_is_a_warning(url: str, column: int) -> None:
    hint = "write the address without expressions: https://api.example.com/{{ … }}"
    expected = [f"2:{column}: warning: 'inputs.x' determines where a secret is sent; {hint}"]
    assert warnings(f"use: http.get, with: {{url: '{url}', {TOKEN}}}") == expected


def test_a_secret_in_an_undo_is_checked() -> None:
    undo = f"use: http.delete, with: {{url: '{{{{ output.body.link }}}}', {TOKEN}}}"
    [result] = warnings(f"use: http.get, with: {{url: https://a.example.com/}}, undo: {{{undo}}}")
    assert "warning: 'output.body.link' determines where a secret is sent" in result


def test_the_credentials_of_a_connection_count_as_a_secret() -> None:
    [result] = warnings("use: http.get, connection: crm, with: {url: '{{ inputs.x }}/a'}")
    assert "warning: 'inputs.x' determines what the connection's credentials are used for" in result


@pytest.mark.parametrize(
    "given",
    [
        f"url: 'https://{{{{ inputs.x }}}}.example.com/', {TOKEN}",
        f"url: 'https://example.com/{{{{ inputs.x }}}}', {TOKEN}",
        f"url: '{{{{ run.url }}}}', {TOKEN}",
        "url: '{{ inputs.x }}', headers: {a: '{{ inputs.x }}'}",
    ],
)
def test_a_fixed_target_or_a_request_without_a_secret_is_not_a_warning(given: str) -> None:
    assert warnings(f"use: http.get, with: {{{given}}}") == []
