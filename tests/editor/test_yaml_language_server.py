"""What an editor shows for a pipeline file: the schema in yaml-language-server, as VS Code runs it."""

import os
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.editor.server import Editor, editor
from tests.npm import require_package

pytestmark = pytest.mark.anyio

ROOT = Path(__file__).parent.parent.parent
CONNECTED = "# yaml-language-server: $schema=../pipeline.schema.json\n"
ANY = "steps: [{id: a, use: wait.any, with: {waits: "
POST = "steps:\n  - id: a\n    use: http.post\n"


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="module")
def packages() -> Path:
    return require_package("yaml-language-server")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the schema at the documented location."""
    folder = tmp_path_factory.mktemp("home")
    (folder / "config" / "pipelines").mkdir(parents=True)
    command = [sys.executable, "-c", "from triggers.cli import main; main()", "schema"]
    where = ["--output", "config/pipeline.schema.json"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run([*command, *where], cwd=folder, env=environment, capture_output=True, text=True, check=True)
    assert CONNECTED in done.stdout
    return folder


@pytest.fixture(scope="module")
async def open_editor(packages: Path, folder: Path) -> AsyncIterator[Editor]:
    async with editor(packages, folder) as open_editor:
        yield open_editor


@pytest.mark.parametrize(
    ("text", "offered"),
    [
        ("|", {"steps", "triggers", "inputs", "on_failure"}),
        ("steps:\n  - id: a\n    |", {"use", "switch", "foreach", "parallel", "try", "repeat"}),
        ("steps:\n  - id: a\n    use: |", {"http.get", "http.post", "log.write", "flow.stop", "wait.event"}),
        (f"{POST}    |", {"with", "retry", "keep", "on_crash"}),
        (f"{POST}    with:\n      |", {"url", "json", "headers"}),
        (f"{POST}    with:\n      url: /\n      |", {"json", "headers", "expect"}),
        (f"{POST}    retry:\n      errors:\n        - |", {"network", "rate_limit"}),
        ("steps:\n  - id: a\n    use: flow.stop\n    with:\n      status: |", {"completed", "cancelled"}),
        ("triggers:\n  - id: a\n    use: |", {"webhook"}),
        ("triggers:\n  - id: a\n    use: webhook\n    with:\n      |", {"path", "verify", "dedupe"}),
        ("triggers:\n  - id: a\n    use: webhook\n    with:\n      verify:\n        preset: |", {"github", "hmac"}),
        (
            "triggers:\n  - id: a\n    use: webhook\n    with:\n      verify:\n        preset: hmac\n        |",
            {"header", "algorithm", "secret"},
        ),
        ("inputs:\n  order:\n    type: |", {"object", "string"}),
    ],
    ids=lambda value: value.strip("|").split("\n")[-1].strip() or "top" if isinstance(value, str) else "",
)
async def test_completion_offers_what_is_valid_at_a_position(open_editor: Editor, text: str, offered: set[str]) -> None:
    found = await open_editor.proposals(CONNECTED + text)

    assert offered <= found.keys()


async def test_completion_offers_only_what_fits_the_step(open_editor: Editor) -> None:
    post = await open_editor.proposals(f"{CONNECTED}{POST}    |")
    loop = await open_editor.proposals(f"{CONNECTED}steps:\n  - id: a\n    foreach: inputs.x\n    |")

    assert not {"switch", "foreach", "on_timeout", "catch"} & post.keys()
    assert {"steps", "as", "max_parallel"} <= loop.keys()
    assert not {"with", "retry"} & loop.keys()


async def test_an_action_is_offered_with_its_summary(open_editor: Editor) -> None:
    found = await open_editor.proposals(f"{CONNECTED}steps:\n  - id: a\n    use: |")

    assert found["http.post"] == "Send something with a POST request."


@pytest.mark.parametrize(
    ("text", "problems"),
    [
        (f"{POST}    with:\n      urll: /\n", ['5: Missing property "url".', "6: Property urll is not allowed."]),
        (f"{POST}    with: {{url: 5}}\n", ['5: Incorrect type. Expected "string".']),
        (f"{POST}    with: {{url: /, expect: all}}\n", ["5: Write a list, or an expression: {{ … }}"]),
        (f"{POST}    with: {{url: /, expect: '{{{{ inputs.expect }}}}'}}\n", []),
        (f"{POST}    with: {{url: /}}\n    catch: []\n", ["6: Property catch is not allowed."]),
        (
            "steps: [{id: a, use: htp.get}]\n",
            ["2: No installed action has this name; `waypost validate` suggests similar names"],
        ),
        (f"{ANY}{{b: {{use: wait.webhook}}, c: {{use: wait.webhook}}}}}}}}]\n", ['2: Missing property "on_timeout".']),
        (f"{ANY}{{b: {{use: wait.webhook}}, c: {{use: wait.delay, with: {{for: 1d}}}}}}}}}}]\n", []),
        ("timeout: 30\nsteps: []\n", ["2: Write a whole number and one unit: 500ms, 30s, 5m, 2h or 7d"]),
    ],
)
async def test_a_mistake_is_underlined_once(open_editor: Editor, text: str, problems: list[str]) -> None:
    found = await open_editor.problems(CONNECTED + text)

    assert [each for each in found if "too few items" not in each] == problems


@pytest.mark.parametrize("path", sorted((ROOT / "config" / "pipelines").glob("*.yaml")), ids=lambda path: path.stem)
async def test_a_shipped_pipeline_has_no_mistake(open_editor: Editor, path: Path) -> None:
    assert await open_editor.problems(CONNECTED + path.read_text("utf-8")) == []


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("steps:\n  - id: a\n    |use: http.post\n", "Send something with a POST request"),
        (f"{POST}    with: {{|url: /}}\n", "An absolute http or https URL"),
        (f"{POST}    |timeout: 5s\n", "The time limit of one attempt"),
    ],
)
async def test_hovering_over_a_word_explains_it(open_editor: Editor, text: str, words: str) -> None:
    assert words in await open_editor.hover(CONNECTED + text)
