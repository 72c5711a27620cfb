"""Commands about pipelines: their problems, the plan of a config folder, and the available connectors."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from durable.problem import Problem
from tests.cli.command import serving, waypost
from tests.cli.conftest import GREET, write
from triggers.commands.plan import make_plan
from triggers.commands.problems import to_annotations
from triggers.config.describe_connector import describe_type
from triggers.config.folder import PipelineFile
from triggers.documents.pipelines import PipelineLineDocument, PipelineStatus

BROKEN = "steps:\n  - {id: a, use: htp.get, with: {url: x}}\n"
PLAIN = "steps:\n  - {id: a, use: transform.set, with: {values: {n: 1}}}\n"
LACKS_A_SECRET = GREET.replace("DEMO", "NOWHERE").replace("/greet", "/lacks").replace("id: greet", "id: lacks")

# -- validate ---------------------------------------------------------------------------------------------------


def test_problems_name_file_line_and_column_and_only_errors_fail(place: Path) -> None:
    write(place, "lacks", LACKS_A_SECRET)
    warned = waypost("validate", cwd=place)
    assert warned.returncode == 0
    assert (
        "config/pipelines/lacks.yaml:7:82: warning: the secret 'NOWHERE' is not set in this shell; set" in warned.stdout
    )
    write(place, "broken", BROKEN)
    found = waypost("validate", cwd=place)
    assert found.returncode == 1
    assert (
        "config/pipelines/broken.yaml:2:18: error: there is no connector 'htp'; did you mean 'http.get'" in found.stdout
    )
    assert "\n    " + " " * 17 + "^\n" in found.stdout
    assert "2 of 3 pipelines are valid" in found.stdout
    assert "\x1b" not in found.stdout


def test_only_the_named_files_are_checked_together_with_the_rest_of_the_folder(place: Path) -> None:
    write(place, "broken", BROKEN)
    apart = place / "apart.yaml"
    apart.write_text(PLAIN)
    assert waypost("validate", "config/pipelines/greet.yaml", "apart.yaml", cwd=place).returncode == 0
    same = write(place, "hello", f"id: greet\n{PLAIN}")
    clash = waypost("validate", str(same), cwd=place)
    assert clash.returncode == 1
    assert "the id 'greet' is taken by greet.yaml" in clash.stdout


def test_a_call_is_checked_against_the_folder_and_the_neighbours_of_its_file(place: Path) -> None:
    calls = "steps:\n  - {{id: a, use: flow.call, with: {{pipeline: {}}}}}\n"
    apart = place / "apart"
    apart.mkdir()
    for name, called in (("one", "greet"), ("two", "one"), ("three", "nowhere")):
        (apart / f"{name}.yaml").write_text(calls.format(called))
    assert waypost("validate", "apart/one.yaml", "apart/two.yaml", cwd=place).returncode == 0
    found = waypost("validate", "apart/three.yaml", cwd=place)
    assert found.returncode == 1
    assert (
        "apart/three.yaml:2:46: error: there is no pipeline 'nowhere'; known: greet, one, three, two\n" in found.stdout
    )


def test_validate_and_plan_warn_of_ignored_files(place: Path) -> None:
    shutil.copy(place / "config/pipelines/greet.yaml", place / "config/pipelines/.#greet.yaml")
    shutil.copy(place / "config/pipelines/greet.yaml", place / "config/pipelines/Greet.YAML")
    found = waypost("validate", cwd=place)
    assert found.returncode == 0
    assert found.stdout == (
        "config/pipelines/.#greet.yaml:1:1: warning: the file is not read: its name begins with a dot; "
        "rename it, or remove it\n"
        "config/pipelines/Greet.YAML:1:1: warning: the file is not read: its name ends in .YAML; "
        "rename it to Greet.yaml\n"
        "1 of 1 pipelines are valid\n"
    )
    assert (
        "::warning file=config/pipelines/Greet.YAML,line=1,col=1::the file is not read"
        in waypost("validate", cwd=place, GITHUB_ACTIONS="true").stdout
    )
    assert "config/pipelines/Greet.YAML:1:1: warning: the file is not read" in waypost("plan", cwd=place).stdout


def test_editors_get_problems_as_json(place: Path) -> None:
    write(place, "broken", BROKEN)
    found = waypost("validate", "--json", cwd=place, GITHUB_ACTIONS="true")
    assert found.returncode == 1
    assert json.loads(found.stdout) == [
        {
            "file": "config/pipelines/broken.yaml",
            "line": 2,
            "column": 18,
            "severity": "error",
            "message": "there is no connector 'htp'",
            "hint": "did you mean 'http.get'",
        }
    ]


def test_github_gets_annotations_relative_to_the_workspace(place: Path) -> None:
    write(place, "broken", BROKEN)
    found = waypost("validate", "--config", str(place / "config"), cwd=place, GITHUB_ACTIONS="true")
    assert found.returncode == 1
    what = "there is no connector 'htp'; did you mean 'http.get'"
    assert f"::error file=config/pipelines/broken.yaml,line=2,col=18::{what}\n" in found.stdout


def test_quoted_text_cannot_break_an_annotation(tmp_path: Path) -> None:
    path = tmp_path / "a,b:c%.yaml"
    problem = Problem(str(path), 1, 2, "50% of\r\nit::error file=x", severity="warning")
    lines = to_annotations([PipelineFile(path, b"", (problem,))], {"GITHUB_WORKSPACE": str(tmp_path)})
    assert lines == ["::warning file=a%2Cb%3Ac%25.yaml,line=1,col=2::50%25 of%0D%0Ait::error file=x"]


NEEDS_CRM = "steps:\n  - {id: a, use: http.get, connection: crm, with: {url: /a}}\n"
NO_URL = "crm:\n  use: http\n"


def connect(place: Path, text: str) -> None:
    (place / "config" / "connections.yaml").write_text(text)


def test_a_broken_connection_is_reported_with_its_position_and_its_users(place: Path) -> None:
    write(place, "needs", NEEDS_CRM)
    connect(place, NO_URL)
    found = waypost("validate", cwd=place)
    assert found.returncode == 1
    assert "config/connections.yaml:2:3: error: 'base_url' is missing; add 'base_url: …'" in found.stdout
    assert "\n      use: http\n      ^\n" in found.stdout
    assert "config/pipelines/needs.yaml:2:40: error: the connection 'crm' cannot be used" in found.stdout
    assert found.stdout.endswith("1 of 2 pipelines are valid; connections.yaml is not valid\n")
    document = json.loads(waypost("validate", "--json", cwd=place).stdout)
    assert [(Path(each["file"]).name, each["line"]) for each in document] == [
        ("connections.yaml", 2),
        ("needs.yaml", 2),
    ]
    planned = waypost("plan", cwd=place)
    assert planned.returncode == 1
    assert "config/connections.yaml:2:3: error: 'base_url' is missing" in planned.stdout
    assert "connections.yaml:2:3: error" in json.loads(waypost("plan", "--json", cwd=place).stdout)["connections"][0]


def test_an_unused_broken_connection_fails_and_can_be_checked_alone(place: Path) -> None:
    connect(place, NO_URL)
    found = waypost("validate", cwd=place)
    assert found.returncode == 1
    assert "1 of 1 pipelines are valid; connections.yaml is not valid" in found.stdout
    alone = waypost("validate", "config/connections.yaml", cwd=place)
    assert alone.returncode == 1
    assert alone.stdout.endswith("connections.yaml is not valid\n")
    assert waypost("validate", "config/pipelines/greet.yaml", cwd=place).returncode == 0
    connect(place, NO_URL + "  base_url: https://a.b\n")
    mended = waypost("validate", "config/connections.yaml", cwd=place)
    assert (mended.returncode, mended.stdout) == (0, "connections.yaml is valid\n")


# -- plan and pipelines -----------------------------------------------------------------------------------------


def test_without_a_service_every_pipeline_is_new_and_invalid_ones_are_reported(place: Path) -> None:
    write(place, "broken", BROKEN)
    found = waypost("plan", cwd=place)
    assert found.returncode == 1
    assert "no service" in found.stdout
    assert "+ /hooks/greet" in found.stdout
    assert "broken.yaml:2:18: error" in found.stdout
    listed = json.loads(waypost("pipelines", "--json", cwd=place).stdout)
    assert [(each["id"], each["status"]) for each in listed] == [("broken", "disabled"), ("greet", "valid")]


def test_a_folder_is_compared_with_what_the_service_serves(place: Path) -> None:
    for name in ("same", "edited", "removed", "spoilt"):
        write(place, name, PLAIN)
    with serving(place):
        served = waypost("pipelines", cwd=place)
        assert "greet     serving  greet.yaml    /hooks/greet" in served.stdout
        other = place / "other"
        shutil.copytree(place / "config", other)
        pipelines = other / "pipelines"
        (pipelines / "edited.yaml").write_text(PLAIN.replace("n: 1", "n: 2"))
        (pipelines / "greet.yaml").write_text(GREET.replace("path: /greet", "path: /welcome"))
        (pipelines / "removed.yaml").unlink()
        (pipelines / "spoilt.yaml").write_text(BROKEN)
        (pipelines / "added.yaml").write_text(PLAIN)
        found = waypost("plan", "--config", "other", "--json", cwd=place)
    assert found.returncode == 1
    made = json.loads(found.stdout)
    output = {kind: [each["id"] for each in made[kind]] for kind in ("new", "changed", "removed", "invalid")}
    assert output == {"new": ["added"], "changed": ["edited", "greet"], "removed": ["removed"], "invalid": ["spoilt"]}
    assert made["unchanged"] == 1
    edited, greet = made["changed"]
    assert edited["version"]["before"] != edited["version"]["after"]
    assert greet["version"]["before"] == greet["version"]["after"]
    assert greet["webhooks"] == {"appear": ["/hooks/welcome"], "disappear": ["/hooks/greet"]}
    assert "htp" in made["invalid"][0]["problems"][0]


def _file(id: str, status: PipelineStatus = "serving", **more: Any) -> PipelineLineDocument:
    known: dict[str, Any] = {"file": f"{id}.yaml", "version": "v1"}
    known |= {name: [] for name in ("webhooks", "schedules", "events", "alerts", "problems")}
    return PipelineLineDocument(id=id, status=status, **(known | more))


def test_an_invalid_file_under_another_id_removes_nothing() -> None:
    spoilt = _file("b", "disabled", file="a.yaml", version=None, problems=["it is"])
    made = make_plan([spoilt], [_file("named", file="a.yaml")])
    assert [(change.kind, change.id) for change in made.changes] == [("invalid", "b")]


def test_a_disabled_pipeline_is_new_once_it_is_valid() -> None:
    made = make_plan([_file("a")], [_file("a", "disabled", version=None)])
    assert [(change.kind, change.after) for change in made.changes] == [("new", "v1")]


def test_a_pipeline_is_compared_with_the_version_in_service() -> None:
    made = make_plan([_file("a", version="v2")], [_file("a", "serving the version before")])
    assert [(change.kind, change.before, change.after) for change in made.changes] == [("changed", "v1", "v2")]


# -- connectors -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("schema", "expected"),
    [
        ({}, "any"),
        ({"type": "string", "secret": True}, "string, secret"),
        ({"$ref": "#/$defs/Word"}, "integer"),
        (
            {"anyOf": [{"type": "string"}, {"type": "array", "items": {"$ref": "#/$defs/Word"}}]},
            "string | list of integer",
        ),
        ({"anyOf": [{"type": "boolean"}, {"type": "null"}]}, "boolean"),
        ({"type": "object", "additionalProperties": {"anyOf": [{"type": "string"}, {"type": "number"}]}}, "mapping"),
        ({"const": "none"}, '"none"'),
    ],
)
def test_a_type_is_described_in_a_few_words(schema: dict[str, Any], expected: str) -> None:
    assert describe_type(schema, {"Word": {"type": "integer"}}) == expected


@pytest.mark.parametrize("user", ["ada:hunter2", "{{ inputs.user }}:hunter2", "a:b@hunter2"])
def test_a_password_in_a_url_is_not_shown_in_problems(place: Path, user: str) -> None:
    write(place, "p", f"""steps:\n  - {{id: a, use: http.get, with: {{url: "https://{user}@example.com/"}}}}\n""")
    done = waypost("validate", cwd=place)
    assert done.returncode == 1
    assert "the URL contains a user or password" in done.stdout + done.stderr
    assert "hunter2" not in done.stdout + done.stderr
