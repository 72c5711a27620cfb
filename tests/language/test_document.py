"""YAML text becomes data with positions; constructs with surprising meanings are rejected at their positions."""

import time

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from durable.problem import Problem
from durable.wording import find_nearest
from durable.yaml import document
from durable.yaml.document import DocumentLimits, YamlDocument

WELL_KNOWN_MISTAKES = [
    # text, line, column, part of the message, part of the fix
    ("if: {{ x }}", 1, 5, "'{{' begins a mapping", 'quote it: "{{ x }}"'),
    ("if: {{ x }} and y", 1, 5, "'{{' begins a mapping", 'quote it: "{{ x }} and y"'),
    ("- if: {{ steps.a['x'] }}", 1, 7, "'{{' begins a mapping", "quote it: \"{{ steps.a['x'] }}\""),
    ("a: {b: {{ x }}, c: 1}", 1, 8, "'{{' begins a mapping", 'quote it: "{{ x }}"'),
    ("a: {{ x }}/b  # why", 1, 4, "'{{' begins a mapping", 'quote it: "{{ x }}/b"'),
    ("cron: */5 * * * *", 1, 7, "'*' begins an alias", 'quote it: "*/5 * * * *"'),
    ("with: {cron: */5 1,2 * * *, a: 1}", 1, 14, "'*' begins an alias", 'quote it: "*/5 1,2 * * *"'),
    ("with:\n  {a: 1,\n   cron: @daily}", 3, 10, "'@' cannot begin a value", 'quote it: "@daily"'),
    ("a: 1\ntimeout:10s\nb: 2", 2, 1, "no space after the colon of 'timeout'", "write 'timeout: 10s'"),
    ("a: {with:{b: 1}}", 1, 5, "no space after the colon of 'with'", "write 'with: …'"),
    ("steps:\n  - id: a\n    use: b\n  id: c", 4, 3, "an item of this list has no '- '", "write '- id: c'"),
    ("- id: a\n  use: b\n  id: c", 3, 3, "'id' is set twice", "begin another item with '- ' here"),
    ("cron: * * * * *", 1, 7, "'*' begins an alias", 'quote it: "* * * * *"'),
    ("cron: @daily", 1, 7, "'@' cannot begin a value", 'quote it: "@daily"'),
    ("channel: #ops", 1, 10, "'#ops' is a comment", 'quote it: "#ops"'),
    ("to:\n  - #ops", 2, 5, "'#ops' is a comment", 'quote it: "#ops"'),
    ("with: {channel: #ops}", 1, 17, "'#' begins a comment", 'quote it: "#ops"'),
    ("with: {channel: #ops}\nb: 1", 1, 17, "'#' begins a comment", 'quote it: "#ops"'),
    ("a: 1\nb: 2\na: 3", 3, 1, "'a' is set twice", "the first is on line 1"),
    ("a: {b: 1, c: 2, b: 3}", 1, 17, "'b' is set twice", "the first is on line 1"),
    ("a: &x 1", 1, 4, "'&x' is an anchor", "repeat the value"),
    ("a: [1, *x]", 1, 8, "'*x' is an alias", "quote it if it is text"),
    ("a: !!str 5", 1, 4, "'!!str' is a tag", "remove it"),
    ("a: !secret x", 1, 4, "'!secret' is a tag", "remove it"),
    ("<<: {a: 1}", 1, 1, "'<<' is a merge key", "repeat the value"),
    ("a: 1\n---\nb: 2", 2, 1, "a second document", "a file of its own"),
    ("1: x", 1, 1, "the key '1' is not a text", "quote it"),
    ("true: x", 1, 1, "the key 'true' is not a text", "quote it"),
    ("[a, b]: x", 1, 1, "cannot be a key", "as text"),
    ("account: 007", 1, 10, "'007' is a number with a leading zero", 'quote it if it is text: "007"'),
    ("a: -012", 1, 4, "leading zero", "quote it"),
    ("a: 01.5", 1, 4, "leading zero", "quote it"),
    ("a: .inf", 1, 4, "not a valid JSON number", "quote it"),
    ("a: .NaN", 1, 4, "not a valid JSON number", "quote it"),
    ("a: 1e999", 1, 4, "too large for JSON", "quote it"),
    ("a: " + "9" * 200, 1, 4, "more than 100 digits", "quote it"),
    ("a:\n\tb: 1", 2, 1, "a tab cannot indent", "use spaces"),
    ("a:\n  b: 1\n\tc: 2", 3, 1, "a tab cannot indent", "use spaces"),
    ('a: "abc', 1, 4, "has no end", "close it"),
    ("a: [1, 2", 1, 4, "the '[' that begins here has no end", "close it with ']'"),
    ("a: {b: 1\nc: 2", 1, 4, "the '{' that begins here has no end", "close it with '}'"),
    ("title: Hello: world", 1, 8, "a text that contains ': '", 'quote it: "Hello: world"'),
    ("a: 1\n b: 2", 2, 2, "a key is not allowed here", "align this line"),
    ("a:\n  -{b: c: d}", 2, 3, "there is no space after the '-'", "write '- ' before the item"),
    ("a:\n\u00a0 - {b: c, d: e}", 2, 1, "a no-break space cannot indent YAML", "use plain spaces"),
    ("a: 'it's'", 1, 8, "the value has ended", "quote the whole value"),
    ("a:\n  - b\n c: d", 3, 2, "matches no line above", "align it"),
    ("a: - b", 1, 4, "a list is not allowed here", "a line of its own"),
    ('a: "\\q"', 1, 5, "an escape that YAML does not know", "double the backslash"),
    ("a: |\n x\ny", 3, 1, "a key without ':'", "write 'key: value'"),
    ("a: \x00", 1, 4, "U+0000", "remove it"),
    ("a: b\u2028c", 1, 5, "U+2028", "remove it"),
    ("a: \ud800", 1, 4, "U+D800", "remove it"),
    (b"a: 1\nb: \xff", 2, 4, "0xFF is not UTF-8", "save the file as UTF-8"),
    ("[" * 65 + "]" * 65, 1, 65, "nested deeper than 64", "flatten"),
    ("a: [" + "1, " * 50_000 + "]", 1, 149_996, "more than 50000 values", "split"),
    ("a: " + "x" * 1024 * 1024, 1, 1, "larger than 1024 KiB", "split"),
]


@pytest.mark.parametrize(("text", "line", "column", "message", "cure"), WELL_KNOWN_MISTAKES)
def test_a_mistake_is_reported_with_its_position_and_a_fix(
    text: str | bytes, line: int, column: int, message: str, cure: str
) -> None:
    problems = YamlDocument.read(text, "a.yaml").problems

    assert [(problem.line, problem.column) for problem in problems] == [(line, column)]
    assert message in problems[0].message
    assert cure in (problems[0].hint or "")


def test_scalars_are_those_of_the_core_schema() -> None:
    text = """
no: no
on: on
time: 12:30
grouped: 1_000
date: 2026-01-01
empty:
tilde: ~
yes: True
hex: 0x1F
octal: 0o17
signed: +5
float: -1.5e3
short: .5
zero: 0
binary: 0b11
quoted: "1"
version: 1.2.3
block: |
  one
  two
"""
    assert YamlDocument.read(text, "a.yaml").data == {
        "no": "no",
        "on": "on",
        "time": "12:30",
        "grouped": "1_000",
        "date": "2026-01-01",
        "empty": None,
        "tilde": None,
        "yes": True,
        "hex": 31,
        "octal": 15,
        "signed": 5,
        "float": -1500.0,
        "short": 0.5,
        "zero": 0,
        "binary": "0b11",
        "quoted": "1",
        "version": "1.2.3",
        "block": "one\ntwo\n",
    }


def test_every_value_and_key_has_its_position() -> None:
    read = YamlDocument.read("a: 1\nsteps:\n  - id: x\n    with: {url: /y, 'z': [1, 2]}\n", "a.yaml")

    assert read.position(()) == (1, 1)
    assert read.position(("steps", 0, "id"), key=True) == (3, 5)
    assert read.position(("steps", 0, "id")) == (3, 9)
    assert read.position(("steps", 0, "with", "z", 1)) == (4, 30)
    assert read.position(("steps", 0, "with", "z"), key=True) == (4, 21)
    assert read.source.get_line(4) == "    with: {url: /y, 'z': [1, 2]}"
    assert read.source.get_line(99) == ""


def test_a_missing_value_has_the_position_of_its_nearest_ancestor() -> None:
    read = YamlDocument.read("steps:\n  - id: x\n", "a.yaml")

    assert read.position(("steps", 0, "use", "deeper"), key=True) == (2, 5)
    assert read.position(("steps", 7)) == (2, 3)
    assert read.position(("nothing",)) == (1, 1)


@pytest.mark.parametrize(
    ("text", "inside", "place"),
    [
        ("a: xy {{ b }}", (1, 7), (1, 10)),
        ('a: "xy {{ b }}"', (1, 7), (1, 11)),
        ("a: |\n  one\n  two {{ b }}\n", (2, 8), (3, 10)),
        ("a: |\n\n    one\n", (2, 2), (3, 6)),
        ('a: "x\\n{{ b }}"', (2, 4), (1, 4)),
        ("a: x\n   y", (1, 3), (1, 4)),
        ("a: >\n  one\n  two\n", (1, 6), (1, 4)),
        ("a: x", (5, 1), (1, 4)),
    ],
)
def test_a_position_inside_a_text_maps_to_the_file_or_to_the_start_of_the_text(
    text: str, inside: tuple[int, int], place: tuple[int, int]
) -> None:
    assert YamlDocument.read(text, "a.yaml").position_in(("a",), *inside) == place


def test_many_problems_are_reported_at_once() -> None:
    read = YamlDocument.read("a: 007\na: &x 1\nb: !y z\n2: c\nd: [*e, {{ f }}]\ng: 'ok'\n", "a.yaml")

    assert [problem.line for problem in read.problems] == [1, 2, 2, 3, 4, 5, 5]
    assert read.is_whole
    assert read.data == {"a": "007", "b": "z", "d": [None, {}], "g": "ok"}


def test_problems_before_a_syntax_error_are_reported() -> None:
    read = YamlDocument.read("a: 007\nb: [", "a.yaml")

    assert [problem.line for problem in read.problems] == [1, 2]
    assert not read.is_whole


def test_the_number_of_problems_is_bounded() -> None:
    read = YamlDocument.read(
        "\n".join(f"a{number}: 007" for number in range(5_000)), "a.yaml", DocumentLimits(problems=7)
    )

    assert len(read.problems) == 7


def test_a_byte_order_mark_is_ignored() -> None:
    assert YamlDocument.read(b"\xef\xbb\xbfa: 1", "a.yaml").data == {"a": 1}
    assert YamlDocument.read("\ufeffa: 1", "a.yaml").position(("a",), key=True) == (1, 1)


@pytest.mark.parametrize("text", ["[" * 30_000, "{" * 30_000, "- " * 30_000, "? " * 30_000, "[" * 100_000_000])
def test_deep_nesting_and_large_input_do_not_exhaust_resources(text: str) -> None:
    began = time.perf_counter()

    assert YamlDocument.read(text, "a.yaml").problems
    assert time.perf_counter() - began < 2


@given(st.binary(max_size=400))
@settings(max_examples=400)
def test_arbitrary_bytes_do_not_crash_the_reader(data: bytes) -> None:
    read = YamlDocument.read(data, "a.yaml")

    assert read.problems or read.is_whole


PIECES = st.sampled_from(
    [*"{}[]:,#&*!|>'\"%@`-?\t\n ", "\n  ", "- ", ": ", "a", "a: ", "007", "{{ x }}", "<<: ", "---\n", "...\n", "\u2028"]
)


@given(st.lists(PIECES, max_size=40).map("".join))
@settings(max_examples=1_000)
def test_yaml_like_text_does_not_crash_the_reader_and_positions_are_in_the_text(text: str) -> None:
    read = YamlDocument.read(text, "a.yaml")

    for problem in read.problems:
        assert problem.line >= 1
        assert problem.column >= 1
        assert problem.render(read.source.get_line(problem.line))


@given(st.lists(PIECES, max_size=30).map("".join))
@settings(max_examples=300)
def test_the_pure_python_parser_reads_the_same(text: str) -> None:
    fast = YamlDocument.read(text, "a.yaml")
    slow = document.YamlDocument.read(text, "a.yaml", loader=yaml.SafeLoader)

    if not fast.problems and not slow.problems:
        assert fast.data == slow.data


def test_a_problem_is_shown_with_its_line_and_a_caret() -> None:
    problem = Problem("a.yaml", 3, 5, "unknown key 'uses'", "did you mean 'use'")

    assert problem.render("  - uses: http.get") == (
        "a.yaml:3:5: error: unknown key 'uses'; did you mean 'use'\n      - uses: http.get\n        ^"
    )


def test_a_problem_in_a_long_line_is_shown_around_its_position() -> None:
    line, caret = Problem("a.yaml", 1, 500, "wrong").render("x" * 499 + "!" + "x" * 500).split("\n")[1:]

    assert line[caret.index("^")] == "!"
    assert len(line) < 150


def test_terminal_control_characters_are_not_shown() -> None:
    assert "\x1b" not in Problem("a.yaml", 1, 1, "wrong").render("\x1b[31m")


@pytest.mark.parametrize(
    ("word", "meant"), [("uses", "use"), ("on-failure", "on_failure"), ("zebra", None), ("U" * 99, None)]
)
def test_the_nearest_known_word_is_found(word: str, meant: str | None) -> None:
    assert find_nearest(word, ["use", "on_failure", "steps"]) == meant
