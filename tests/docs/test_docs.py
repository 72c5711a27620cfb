"""The documentation is correct: generated pages are current, and examples load and run."""

import json
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from connectors.mcp.tool_list import ListedTool, ToolList, store_tool_list
from connectors.yaml_form.load import load_connector
from durable.auth_schemes import load_schemes
from durable.language.connections import FILE as CONNECTIONS
from durable.language.load import load_pipeline
from durable.secrets import Secrets
from tests.docs import connector_files, mistakes, reference
from tests.docs.mistakes import MISTAKES, Mistake, load_text
from tests.plugins import install
from triggers.config.catalogue import GROUP, load_connectors
from triggers.config.connections import Connections
from triggers.config.connector_files import MEMORY, find_form
from triggers.config.folder import make_catalogue

ROOT = Path(__file__).parent.parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


def blocks(page: Path, kind: str) -> list[str]:
    return re.findall(rf"^```{kind}\n(.*?)^```$", page.read_text("utf-8"), re.MULTILINE | re.DOTALL)


# -- generated pages ----------------------------------------------------------------------------------------------


def test_the_reference_matches_the_models() -> None:
    is_current = reference.PAGE.read_text("utf-8") == reference.render_page()

    assert is_current, "docs/reference.md is out of date: run `python -m tests.docs.reference`"


def test_the_page_of_connector_files_matches_the_models_and_its_example_loads() -> None:
    is_current = connector_files.PAGE.read_text("utf-8") == connector_files.render_page()
    [example] = blocks(connector_files.PAGE, "yaml")

    assert is_current, "docs/connector-files.md is out of date: run `python -m tests.docs.connector_files`"
    assert load_connector(example, "shop.yaml").problems == ()


def test_the_mistakes_page_matches_the_loader() -> None:
    is_current = mistakes.PAGE.read_text("utf-8") == mistakes.render_page()

    assert is_current, "docs/mistakes.md is out of date: run `python -m tests.docs.mistakes`"


@pytest.mark.parametrize("mistake", MISTAKES, ids=lambda mistake: mistake.title)
def test_a_mistake_is_rejected_and_its_fix_loads(mistake: Mistake) -> None:
    assert load_text(mistake.text).pipeline is None
    assert load_text(mistake.mended).problems == ()


def test_each_mistake_is_listed_once_on_the_page() -> None:
    assert len({mistake.title for mistake in MISTAKES}) == len(MISTAKES) >= 25


# -- examples -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "page", ["README.md", "docs/alerts.md", "docs/pipelines.md", "docs/flow.md", "docs/schedules.md"]
)
def test_every_pipeline_of_a_page_loads_without_problems(page: str) -> None:
    pipelines = [text for text in blocks(ROOT / page, "yaml") if re.search("^steps:", text, re.MULTILINE)]

    assert pipelines
    for text in pipelines:
        assert load_text(text).problems == (), text


def test_the_page_of_connections_is_valid_and_lists_every_scheme(tmp_path: Path) -> None:
    page = ROOT / "docs" / "connections.md"
    for text in blocks(page, "yaml"):
        if "base_url:" in text:
            (tmp_path / CONNECTIONS).write_text(text)
            secrets = {f"WAYPOST_SECRET_{name}": "a-value-1" for name in re.findall(r"secrets\.(\w+)", text)}
            assert Connections(tmp_path, load_connectors(), Secrets(secrets)).problems == ()
    assert set(re.findall(r"^\| `(\w+)` \|", page.read_text("utf-8"), re.MULTILINE)) >= set(load_schemes().loaded)


def test_the_examples_of_the_page_of_openapi_documents_work_together(tmp_path: Path) -> None:
    operations = {
        "/issues": {"get": {"operationId": "issues/list", "tags": ["issues"]}},
        "/repos/{owner}/{repo}": {"get": {"operationId": "repos/get"}, "put": {"operationId": "other"}},
        "/repos/{owner}/{repo}/issues": {
            "post": {
                "operationId": "issues/create",
                "tags": ["issues"],
                "requestBody": {"content": {"application/json": {"schema": {"properties": {"title": {}}}}}},
            }
        },
    }
    document = {"openapi": "3.0.3", "servers": [{"url": "https://api.github.com"}], "paths": operations}
    folder = tmp_path / "connectors" / "documents"
    folder.mkdir(parents=True)
    (folder / "github.json").write_text(json.dumps(document))
    texts = [*blocks(ROOT / "docs" / "openapi.md", "yaml")]
    for text in [each for each in texts if "openapi:" in each]:
        (folder.parent / "github.yaml").write_text(text)
        connectors = load_connectors(tmp_path)
        assert connectors.find("github") is not None
        assert connectors.folder.files["github"].problems == ()
    (tmp_path / CONNECTIONS).write_text(next(each for each in texts if "use: github," in each))
    connections = Connections(tmp_path, connectors, Secrets({"WAYPOST_SECRET_GITHUB_TOKEN": "a-value-1"}))
    assert connections.problems == ()
    [pipeline] = [each for each in texts if each.startswith("steps:")]
    assert load_pipeline(pipeline, file="a.yaml", catalogue=make_catalogue(connectors, {})).problems == ()


def test_the_examples_of_mcp_servers_are_valid(tmp_path: Path) -> None:
    texts = [*blocks(ROOT / "docs" / "mcp.md", "yaml")]
    texts.append(f"# config/connectors/new.yaml\n{find_form('mcp').scaffold('new')['new.yaml']}")
    tools = {"files": ("read_text_file", "write_file"), "tracker": ("search-issues",)}
    (tmp_path / "connectors").mkdir()
    for text in [each for each in texts if re.search("^mcp:", each, re.MULTILINE)]:
        name = text.partition(".yaml")[0].rpartition("/")[2]
        (tmp_path / "connectors" / f"{name}.yaml").write_text(text)
        connector = load_connectors(tmp_path).find(name)
        assert connector is not None
        assert connector.discovery is not None
        listed = [ListedTool(each, input_schema={"additionalProperties": True}) for each in tools.get(name, ())]
        store_tool_list(tmp_path / "data" / MEMORY / f"{name}.json", ToolList(connector.discovery.source, listed))
    connectors = load_connectors(tmp_path, tmp_path / "data")
    assert {name: file.problems for name, file in connectors.folder.files.items() if name != "new"} == dict.fromkeys(
        ("files", "github", "tracker"), ()
    )
    (tmp_path / CONNECTIONS).write_text(next(each for each in texts if "use: tracker," in each))
    connections = Connections(tmp_path, connectors, Secrets({"WAYPOST_SECRET_TRACKER": "a-value-1"}))
    assert connections.problems == ()
    [pipeline] = [each for each in texts if each.startswith("steps:")]
    assert load_pipeline(pipeline, file="a.yaml", catalogue=make_catalogue(connectors, {})).problems == ()


def test_the_readme_connector_in_yaml_is_valid(tmp_path: Path) -> None:
    [connector] = [text for text in blocks(ROOT / "README.md", "yaml") if text.startswith("about:")]
    (tmp_path / "connectors").mkdir()
    (tmp_path / "connectors" / "shop.yaml").write_text(connector)
    found = load_connectors(tmp_path)
    assert found.folder.files["shop"].problems == ()
    assert "shop.create_order" in found.actions


def test_the_readme_connector_works_once_its_package_is_installed(tmp_path: Path) -> None:
    [connector] = blocks(ROOT / "README.md", "python")
    [project] = blocks(ROOT / "README.md", "toml")
    [(group, points)] = tomllib.loads(project)["project"]["entry-points"].items()
    assert group == GROUP
    site = tmp_path / "site"
    [(name, value)] = points.items()
    install(site, "waypost-math", {name: value}, {value.partition(":")[0]: connector})

    done = subprocess.run(
        [sys.executable, "-m", "tests.docs.adding", str(tmp_path)],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": f"{site}{os.pathsep}{ROOT}"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {"sum": 5}


# -- links --------------------------------------------------------------------------------------------------------


def links(page: Path) -> Iterator[tuple[Path, str]]:
    """The files of this repository, with anchors, that a page links to."""
    prose = re.sub(r"^```.*?^```$", "", page.read_text("utf-8"), flags=re.MULTILINE | re.DOTALL)
    for target in re.findall(r"\]\(([^)\s]+)\)", prose):
        if "://" not in target:
            file, _, anchor = target.partition("#")
            yield (page.parent / file if file else page), anchor


def anchors(page: Path) -> set[str]:
    """The anchors of a page, named as GitHub names them."""
    prose = re.sub(r"^```.*?^```$", "", page.read_text("utf-8"), flags=re.MULTILINE | re.DOTALL)
    headings = re.findall(r"^#+ (.+)$", prose, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_resolves(page: Path) -> None:
    for file, anchor in links(page):
        assert file.exists(), file
        assert not anchor or anchor in anchors(file), f"{file.name} has no place '{anchor}'"
