"""Secrets with invisible characters are reported at the start, by validate and doctor, and in delivery reasons."""

import asyncio
import json
import logging
from pathlib import Path

import pytest

from durable.secrets import Secrets
from tests.cli.command import waypost
from tests.service.running import ENVIRONMENT, running
from tests.service.test_webhook import github

pytestmark = pytest.mark.anyio

HOOK = """\
triggers:
  - id: hub
    use: webhook
    with: {path: /github, verify: {preset: github, secret: "{{ secrets.HUB }}"}}
steps:
  - {id: note, use: flow.stop}
"""


@pytest.mark.parametrize(
    ("data", "problems"),
    [
        (b"hub-secret", []),
        (b"hub-secret\n", []),
        (b"hub-secret\r\n", []),
        (b"\xef\xbb\xbfhub-secret\n", ["begins with a byte order mark"]),
        (b"hub-secret \n", ["ends with a space"]),
        (b"hub-secret\n\n", ["ends with a newline"]),
        (b"hub-secret\t", ["ends with a tab"]),
        (b" hub-secret", ["begins with a space"]),
        (b'"hub-secret"\n', ["is in quotes, which are part of the value"]),
        (b"hub-secret\\n", ["ends with a backslash and 'n', which are not a newline"]),
        (b"hub\xc2\xa0secret", ["contains an invisible character"]),
        (b"{{ secrets.HUB }}", ["looks like a placeholder"]),
        (b"", ["is empty"]),
        (b"\n", ["is empty"]),
        (b"\xff\xfeh\x00u\x00", ["is not UTF-8 text (in {file}, which is UTF-16)"]),
        (b"\x00\x01\x02", ["is not text (in {file}, which has zero bytes)"]),
        (b"x" * 70_000, ["cannot be read ({file} is larger than 64 KiB)"]),
        (None, ["cannot be read ({file}: No such file or directory)"]),
        (b"-----BEGIN KEY-----\nAAAA\nBBBB\n-----END KEY-----\n", []),
    ],
)
def test_invisible_problems_of_a_secret_file_are_found(tmp_path: Path, data: bytes | None, problems: list[str]) -> None:
    file = tmp_path / "hub.txt"
    if data is not None:
        file.write_bytes(data)
    found = Secrets({"WAYPOST_SECRET_HUB_FILE": str(file)}).find_doubts("HUB")
    assert found == [problem.replace("{file}", str(file)) for problem in problems]


@pytest.mark.parametrize(
    ("value", "problems"),
    [
        ("hub-secret", []),
        ("hub-secret\r", ["ends with a carriage return"]),
        ("hub-secret\n", ["ends with a newline"]),
        ("'hub-secret'", ["is in quotes, which are part of the value"]),
        ("$HUB", ["looks like a placeholder"]),
        ("<your secret>", ["looks like a placeholder"]),
        ("", ["is empty"]),
    ],
)
def test_invisible_problems_of_a_secret_variable_are_found(value: str, problems: list[str]) -> None:
    assert Secrets({"WAYPOST_SECRET_HUB": value}).find_doubts("HUB") == problems


def test_a_secret_that_is_set_twice_is_reported(tmp_path: Path) -> None:
    secrets = Secrets({"WAYPOST_SECRET_HUB": "one", "WAYPOST_SECRET_HUB_FILE": str(tmp_path / "hub")})
    assert secrets.find_doubts("HUB") == [
        "is set twice: WAYPOST_SECRET_HUB is used, and WAYPOST_SECRET_HUB_FILE is ignored"
    ]


async def test_a_rejected_delivery_names_invisible_problems_of_its_secret(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = tmp_path / "hub.txt"
    file.write_bytes(b"\xef\xbb\xbfhub-secret\n")
    environment = ENVIRONMENT | {"WAYPOST_SECRET_HUB_FILE": str(file)}
    with caplog.at_level(logging.WARNING):
        async with running(tmp_path, {"pushes": HOOK}, environment) as service:
            body = json.dumps({"a": 1}).encode()
            headers = github(body, id="d-1", type="push", secret="hub-secret")
            assert (await service.client.post("/hooks/github", content=body, headers=headers)).status_code == 401
            async with asyncio.timeout(60):  # a rejection is recorded after the response to its sender
                while not (found := (await service.client.get("/api/deliveries")).json()["deliveries"]):
                    await asyncio.sleep(0.01)
            (delivery,) = found
            assert delivery["outcome"] == "rejected"
            assert delivery["reason"].startswith("bad_signature: ")
            assert delivery["reason"].endswith("; the secret 'HUB' begins with a byte order mark")
            file.write_bytes(b"hub-secret\n")
            assert (await service.client.post("/hooks/github", content=body, headers=headers)).status_code == 202
    result = [each.getMessage() for each in caplog.records if each.name == "waypost.service"]
    assert "the secret 'HUB' begins with a byte order mark" in result


def test_validate_and_doctor_report_invisible_problems_of_a_secret(tmp_path: Path) -> None:
    (tmp_path / "config" / "pipelines").mkdir(parents=True)
    (tmp_path / "config" / "pipelines" / "pushes.yaml").write_text(HOOK)
    checked = waypost("validate", cwd=tmp_path, WAYPOST_SECRET_HUB="hub-secret\r")
    assert checked.returncode == 0
    assert (
        "config/pipelines/pushes.yaml:4:64: warning: the secret 'HUB' ends with a carriage return; "
        "correct WAYPOST_SECRET_HUB, its file or its stored value\n" in checked.stdout
    )
    missing = waypost("validate", cwd=tmp_path, WAYPOST_SECRET_HUB_FILE="nowhere")
    assert "the secret 'HUB' cannot be read (nowhere: No such file or directory); correct" in missing.stdout
    examined = json.loads(waypost("doctor", "--json", cwd=tmp_path, WAYPOST_SECRET_HUB="hub-secret\r").stdout)
    (secrets,) = [each for each in examined if each["check"] == "secrets"]
    assert (secrets["state"], secrets["found"]) == ("warning", "HUB ends with a carriage return")
