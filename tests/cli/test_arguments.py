"""Invalid command lines: usage errors that name the mistake, never reported as bugs of Waypost."""

import json
import os
import shlex
import subprocess
from pathlib import Path

import pytest
import typer

from tests.cli.command import COMMAND, ENVIRONMENT, waypost
from triggers.commands.parse_values import parse_json, parse_json_or_text, parse_named_values

ODD = {
    "a number above all numbers": "1e999",
    "a number below all numbers": "-1e999",
    "such a number inside a list": "[1, [1e999]]",
    "half a character": r'"\ud800"',
    "half a character the other way round": r'{"a": "\udfff"}',
    "half a character in a key": r'{"\ud83d": 1}',
    "brackets without end": "[" * 2_000,
    "lists in lists": "[" * 300 + "]" * 300,
    "mappings in mappings": '{"a":' * 300 + "1" + "}" * 300,
    "a number of 5,000 digits": "9" * 5_000,
}


@pytest.mark.parametrize("odd", ODD.values(), ids=ODD)
def test_json_that_no_service_accepts_is_a_usage_error(odd: str) -> None:
    for option, given in (("--input", [f"a={odd}"]), ("--field", [f"a={odd}"])):
        with pytest.raises(typer.BadParameter) as caught:
            parse_named_values(given, option)
        assert caught.value.param_hint == f"'{option} a'"
        assert len(str(caught.value)) < 300
    for text in (odd, f'{{"a": {odd}}}'):
        with pytest.raises(typer.BadParameter):
            parse_json(text, "--value")


def test_a_number_that_is_too_large_is_quoted_as_typed() -> None:
    with pytest.raises(typer.BadParameter, match=r"the number -1e999 is too large; 1\.7e308 is the limit"):
        parse_named_values(["a=[0.5, -1e999]"], "--input")


@pytest.mark.parametrize("text", ["NaN", "Infinity", "[1", "{", '"', "1e", "0x1", "tru", "", " ", "ü", "9.9.9", "[1,]"])
def test_a_value_that_is_not_json_is_text(text: str) -> None:
    assert parse_json_or_text(text, "--input") == text


def test_a_file_is_read_as_utf_8_with_or_without_a_byte_order_mark(tmp_path: Path) -> None:
    for number, data in enumerate([b'{"a": "\xc3\xa9"}', b'\xef\xbb\xbf{"a": "\xc3\xa9"}']):
        (tmp_path / f"{number}.json").write_bytes(data)
        assert parse_json(f"@{tmp_path}/{number}.json", "--value") == {"a": "é"}


@pytest.mark.parametrize("name", ["missing", ".", "", "latin.json", "odd.json", "/dev/zero", "x" * 5_000])
def test_a_file_that_cannot_be_a_value_is_a_usage_error(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("latin.json").write_bytes(b'"\xe9"')
    Path("odd.json").write_text("1e999")
    with pytest.raises(typer.BadParameter) as caught:
        parse_json(f"@{name}", "--value")
    assert name[:50] in str(caught.value)


@pytest.mark.parametrize(
    "arguments",
    [
        ("run", "hello", "--input", b"a=\xff"),
        ("show", b"\xff"),
        ("emit", b"\xe9t\xe9"),
        ("runs", "--data", b"\xff"),
        ("--config", b"\xff"),
        ("run", "hello", "--input", "a=1e999"),
        ("emit", "t", "--value", r'"\ud800"'),
        ("emit", "t", "--key", "é"),
        ("emit", "t", "--key", "a\nb"),
        ("emit", "t", "--key", ""),
        ("answer", "run_1", "s", "--value", "1e999"),
        ("answer", "run_1", "s", "--field", "a=1e999"),
        ("resolve", "run_1", "s", "--completed", "1e999"),
        ("serve", "--port", "99999"),
        ("serve", "--port", "9" * 5_000),
        ("serve", "--port", "0", "--host", "a" * 70),
        ("serve", "--port", "0", "--host", "a..b"),
        ("serve", "--port", "0", "--host", "a b"),
        ("serve", "--port", "0", "--host", ""),
    ],
)
def test_a_usage_error_exits_with_2_and_names_the_mistake(place: Path, arguments: tuple[str | bytes, ...]) -> None:
    done = waypost(*map(os.fsdecode, arguments), cwd=place)
    assert done.returncode == 2, done.stderr
    assert done.stderr
    assert "Traceback" not in done.stderr
    assert "report it" not in done.stderr


@pytest.mark.slow
@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("WAYPOST_PORT", "9" * 5_000),
        ("WAYPOST_PORT", "1e999"),
        ("WAYPOST_PUBLIC_URL", "http://["),
        ("WAYPOST_PUBLIC_URL", "http://x:99999"),
        ("WAYPOST_PUBLIC_URL", "http://\udcff"),
        ("WAYPOST_HOST", "\udcff"),
        ("WAYPOST_MAX_BODY_BYTES", "9" * 400),
        ("WAYPOST_MAX_LIVE_RUNS", "9" * 400),
        ("WAYPOST_DRAIN_TIMEOUT", "9" * 400 + "d"),
        ("WAYPOST_ADDRESS_RATE", "9" * 400 + "/1m"),
        ("WAYPOST_EGRESS_ALLOW", "[::"),
        ("WAYPOST_LOG_LEVEL", "\udcff"),
    ],
)
def test_an_invalid_settings_variable_is_a_usage_error(place: Path, variable: str, value: str) -> None:
    done = waypost("serve", cwd=place, **{variable: value})
    assert done.returncode == 2, done.stderr
    assert done.stderr.startswith(f"waypost: {variable}: ")
    assert "Traceback" not in done.stderr


def test_texts_are_utf_8_in_an_ascii_locale(place: Path) -> None:
    ascii_only = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    done = waypost("show", "é", cwd=place, **ascii_only)
    assert done.returncode in (1, 3)
    assert "Waypost itself" not in done.stderr
    found = waypost("validate", "config/pipelines/é.yaml", cwd=place, **ascii_only)
    assert (found.returncode, "UTF-8 text" in found.stderr) == (2, False)


FAILING_STREAMS = {
    ">&-": ("run greet --input name=x", "runs --json"),
    "2>&-": ("run greet --input name=x", "run nothing"),
    ">&- 2>&-": ("run greet --input name=x", "run nothing"),
    "<&-": ("run greet --input name=x", "emit t --value @-"),
    "> /dev/full": ("run greet --input name=x", "runs --json"),
}
"""Redirections, each with the commands that use these streams most. The other commands are tried by the slow tests."""

FAILING = [(redirect, command) for redirect, commands in FAILING_STREAMS.items() for command in commands]
FAILING_TOO = [
    (redirect, command)
    for redirect, commands in FAILING_STREAMS.items()
    for command in sorted({each for _, each in FAILING} - set(commands))
]


@pytest.mark.parametrize(
    ("redirect", "arguments"), [*FAILING, *(pytest.param(*each, marks=pytest.mark.slow) for each in FAILING_TOO)]
)
def test_a_closed_or_full_output_is_not_reported_as_a_bug(used: Path, redirect: str, arguments: str) -> None:
    done = subprocess.run(
        ["bash", "-c", f"{shlex.join(COMMAND)} {arguments} {redirect}"],
        cwd=used,
        env=ENVIRONMENT,
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert done.returncode in (0, 1, 2, 3), done
    assert b"syntax error" not in done.stderr
    assert b"Traceback" not in done.stderr
    assert b"Waypost itself" not in done.stderr


@pytest.mark.parametrize(
    "noted",
    [
        "",
        "[",
        "[" * 3_000,
        "null",
        {"url": "http://[", "pid": 1},
        {"url": "nonsense", "pid": 1},
        {"url": "http://127.0.0.1:1", "pid": 10**30},
        {"url": "http://127.0.0.1:99999", "pid": 1},
        {"url": 5, "pid": "x"},
    ],
)
def test_an_invalid_address_file_means_that_no_service_is_running(used: Path, noted: object) -> None:
    (used / ".waypost" / "service.json").write_text(noted if isinstance(noted, str) else json.dumps(noted))
    done = waypost("runs", "--json", cwd=used)
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout)
