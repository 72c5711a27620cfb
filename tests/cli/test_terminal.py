"""Output on a terminal: colour, progress, and lines that fit."""

import json
import re
from pathlib import Path

import pytest

from tests.cli.command import on_terminal, waypost
from tests.cli.conftest import write

LONG = """
steps:
  - {id: text, use: transform.set, with: {values: {text: "WORDS"}}}
outputs: {text: "{{ steps.text.output.text }}"}
""".replace("WORDS", "a rather long text " * 40)
CONTROL = re.compile("\x1b(\\[[0-9;?]*[a-zA-Z]|\\].*?\x07)")


def test_progress_and_colour_are_shown_only_on_terminals(place: Path) -> None:
    code, output = on_terminal("run", "greet", "--input", "name=Ada\u009b31m\u202e", cwd=place)
    assert code == 0
    assert "\x1b[32mcompleted" in output
    assert "\x1b[?25l" in output, "a live view hides the cursor"
    assert "Hello Ada\\u009b31m\\u202e" in output, "control characters of a payload are escaped, not executed"


def test_problems_are_coloured_on_a_terminal(place: Path) -> None:
    write(place, "broken", "steps: 1\n")
    code, output = on_terminal("validate", cwd=place)
    assert code == 1
    assert "\x1b[1;31m error: " in output


@pytest.mark.slow
def test_a_shortened_history_says_once_how_to_see_all_of_it(place: Path) -> None:
    run = json.loads(waypost("run", "greet", "--input", "name=Ada", "--json", cwd=place).stdout)["id"]
    told = "values that end with … are cut; use --json or a pipe to see all of them\r\n"
    for command in (["history", run], ["show", run, "--history"]):
        _, output = on_terminal(*command, cwd=place)
        assert CONTROL.sub("", output).endswith(told)
        assert output.count("are cut") == 1
        assert "are cut" not in on_terminal(*command, cwd=place, columns=2_000)[1]
        assert "are cut" not in waypost(*command, cwd=place).stdout


def test_a_list_fits_eighty_columns_and_is_never_shortened_in_a_pipe(place: Path) -> None:
    name = "a_pipeline_with_quite_a_long_name_that_goes_on_and_on"
    write(place, name, LONG)
    run = json.loads(waypost("run", name, "--json", cwd=place).stdout)["id"]
    for arguments in (["runs"], ["show", run], ["connector", "show", "http.post"]):
        _, output = on_terminal(*arguments, cwd=place)
        assert max(map(len, CONTROL.sub("", output).splitlines())) <= 80, arguments
        assert run in output or arguments[0] != "runs"
    assert name in waypost("runs", cwd=place).stdout
    piped = waypost("show", run, cwd=place).stdout
    assert piped.count("a rather long text " * 40) == 3
    assert "\x1b" not in piped
