"""The `waypost` command: serving, messages and exit codes."""

import json
import os
import re
import subprocess
from pathlib import Path

import httpx
import pytest

from tests.cli.command import COMMAND, ENVIRONMENT, ROOT, serving, start_command, until, waypost
from tests.cli.conftest import GREET, write
from triggers.cli import COMMANDS, load_command


def test_serve_prints_a_request_that_works(place: Path) -> None:
    with serving(place) as (_, output):
        assert "(pipeline greet)" in output
        assert "demo-secret" not in output
        command = next(line.strip() for line in output.splitlines() if line.strip().startswith("curl"))
        url = next(word for word in command.split() if word.startswith("http"))
        headers = dict(pair.split(": ", 1) for pair in re.findall(r"-H '([^']*)'", command))
        body = re.findall(r"-d '([^']*)'", command)[0]
        answer = httpx.post(url, headers=headers, content=body, trust_env=False)
        assert answer.status_code == 202
        run = answer.json()["runs"][0]
        until(place, run, "completed")
        document = json.loads(waypost("show", run[-8:], "--history", "--json", cwd=place).stdout)
        assert waypost("history", "latest", "--pipeline", "greet", cwd=place).stdout.count("run_started") == 1
        assert document["outputs"] == {"text": "Hello Ada", "times": 1}
        assert document["history"][0]["type"] == "run_started"
        assert run in waypost("runs", cwd=place).stdout
        assert waypost("cancel", run, cwd=place).returncode == 1


def test_serve_reports_problems_of_connections_and_pipelines_at_start(place: Path) -> None:
    (place / "config" / "connections.yaml").write_text("crm: {use: http}\n")
    write(place, "needs", "steps:\n  - {id: a, use: http.get, connection: crm, with: {url: /a}}\n")
    write(
        place, "lacks", GREET.replace("DEMO", "NOWHERE").replace("/greet", "/lacks").replace("id: greet", "id: lacks")
    )
    with start_command("serve", "--port", "0", cwd=place) as process:
        assert process.stderr
        output = "".join(next(process.stderr) for _ in range(9))
    assert "config/connections.yaml:1:6: error: 'base_url' is missing" in output
    assert "config/pipelines/needs.yaml:2:40: error: the connection 'crm' cannot be used" in output
    assert "warning: the secret 'NOWHERE' is not set; set" in output


def test_a_second_process_on_the_same_folder_exits_3_and_names_the_first(place: Path) -> None:
    with serving(place) as (process, output):
        second = waypost("serve", "--port", "0", cwd=place)
        assert second.returncode == 3
        assert str(process.pid) in second.stderr
        port = re.findall(r"http://127.0.0.1:(\d+)", output)[0]
        other = waypost("serve", "--port", port, "--data", "other", cwd=place)
        assert other.returncode == 3
        assert port in other.stderr


def test_the_starter_files_are_written_once_and_overwrite_nothing(tmp_path: Path) -> None:
    first = waypost("init", "--config", "mine", cwd=tmp_path)
    assert first.returncode == 0
    assert (tmp_path / "mine" / "pipelines" / "hello.yaml").is_file()
    assert "waypost validate --config mine" in first.stdout
    (tmp_path / "mine" / "settings.toml").write_text("port = 1\n")
    second = waypost("init", "--config", "mine", cwd=tmp_path)
    assert second.returncode == 1
    assert "settings.toml" in second.stderr
    assert (tmp_path / "mine" / "settings.toml").read_text() == "port = 1\n"


def test_a_missing_config_folder_is_an_error_when_it_is_named(tmp_path: Path) -> None:
    found = waypost("serve", "--config", "nowhere", cwd=tmp_path)
    assert found.returncode == 2
    assert "waypost init --config nowhere" in found.stderr


@pytest.mark.parametrize(
    ("arguments", "code", "expected"),
    [
        (["--version"], 0, "waypost "),
        (["version"], 0, "sqlite "),
        (["serve", "--nobody"], 2, "No such option"),
        (["serve", "--prt", "1"], 2, "--port"),
        (["valdate"], 2, "Did you mean 'validate'"),
        (["serve", "--port", "99999"], 2, "65535"),
        (["runs", "--status", "done"], 2, "queued, running"),
        (["runs"], 3, "there is no journal in .waypost"),
        (["cancel", "run_nobody"], 3, "waypost serve"),
        (["connector", "show", "htp.get"], 1, "did you mean 'http.get'"),
        (["validate", "missing.yaml"], 2, "missing.yaml cannot be read"),
        (["run", "greet", "--trigger", "nofile"], 2, "nofile: No such file or directory"),
        (["restore", "nofile", "--data", "other"], 1, "nofile: No such file or directory; fix this"),
        (["send", "none", "nofile", "--to", "/x", "--url", "http://127.0.0.1:9"], 1, "nofile: No such file or dir"),
        (["schema"], 0, '"title": "Waypost pipeline"'),
    ],
)
def test_a_command_has_its_documented_exit_code_and_message(
    place: Path, arguments: list[str], code: int, expected: str
) -> None:
    found = waypost(*arguments, cwd=place)
    assert found.returncode == code
    assert expected in found.stdout + found.stderr
    assert "Traceback" not in found.stderr


def test_invalid_settings_are_named(place: Path) -> None:
    found = waypost("serve", cwd=place, WAYPOST_PORT="many")
    assert found.returncode == 2
    assert "WAYPOST_PORT" in found.stderr
    assert "Traceback" not in found.stderr


def test_an_internal_error_is_a_message_and_a_traceback_only_at_debug(place: Path) -> None:
    program = "from triggers.cli import app, main\n@app.command()\ndef broken():\n    {}['x']\nmain()"
    broken = [*COMMAND[:-1], program, "broken"]
    for level, is_traced in (("info", False), ("debug", True)):
        environment = ENVIRONMENT | {"WAYPOST_LOG_LEVEL": level}
        found = subprocess.run(broken, cwd=place, env=environment, capture_output=True, text=True, check=False)
        assert found.returncode == 1
        assert "KeyError: 'x'" in found.stderr
        assert ("Traceback" in found.stderr) is is_traced


def test_help_lists_every_command(place: Path) -> None:
    found = waypost("--help", cwd=place)
    assert re.findall(r"^  (\w+)  ", found.stdout.partition("Commands:")[2], re.MULTILINE) == [*COMMANDS]


@pytest.mark.parametrize("arguments", ["--help", "--version", ""])
def test_help_imports_no_command_and_no_large_library(place: Path, arguments: str) -> None:
    imported = waypost(*arguments.split(), cwd=place, PYTHONPROFILEIMPORTTIME="1").stderr
    assert "triggers.cli" in imported
    for heavy in ("sqlalchemy", "starlette", "httpx", "pydantic", "rich", "asyncio", "triggers.commands.show"):
        assert not re.search(rf"\| +{heavy}\n", imported), heavy


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_is_the_function_with_its_name_in_the_module_with_its_name(name: str) -> None:
    assert load_command(name).name == name
    assert Path(f"{ROOT}/triggers/commands/{name}.py").is_file()


def test_a_shell_completes_commands_pipelines_and_runs(place: Path) -> None:
    def list_completions(line: str) -> list[str]:
        words = {"COMP_WORDS": line, "COMP_CWORD": str(len(line.split(" ")) - 1)}
        return waypost(cwd=place, _WAYPOST_COMPLETE="complete_bash", **words).stdout.split()

    assert list_completions("waypost hist") == ["history"]
    assert list_completions("waypost run g") == ["greet"]
    assert list_completions("waypost show run") == []
    with serving(place):
        run = waypost("run", "greet", "--input", "name=Ada", "--detach", cwd=place).stdout.strip()
        assert list_completions("waypost show run") == [run]


def test_runs_can_be_read_without_a_service_and_after_a_kill(place: Path) -> None:
    with serving(place) as (process, _):
        process.kill()
        process.join(20)
        assert (place / ".waypost" / "service.json").exists()
        listed = waypost("runs", cwd=place)
        assert listed.returncode == 0
        assert listed.stdout == "there are no runs\n"
        assert (
            waypost("show", "latest", cwd=place).stderr == "waypost: there is no run yet; `waypost runs` lists them\n"
        )
    missing = waypost("show", "run_nobody", cwd=place)
    assert missing.returncode == 1
    assert "there is no run whose id begins or ends with 'run_nobody'; `waypost runs` lists them" in missing.stderr
    whole = waypost("show", f"run_{26 * '0'}", cwd=place)
    reason = f"there is no run run_{26 * '0'}, or retention has removed it"
    assert whole.stderr == f"waypost: {reason}; `waypost runs` lists them\n"


def test_output_to_a_closed_pipe_ends_quietly(place: Path) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    found = subprocess.run(
        [*COMMAND, "connectors"], cwd=place, env=ENVIRONMENT, stdout=writing, stderr=subprocess.PIPE, check=False
    )
    os.close(writing)
    assert b"Traceback" not in found.stderr
