"""What the documents say is so: pages that are written from the models are as written, examples load and run."""

import json
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.docs import mistakes, reference
from tests.docs.mistakes import MISTAKES, Mistake, loaded
from tests.plugins import install
from triggers.config.catalogue import GROUP

ROOT = Path(__file__).parent.parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def blocks(page: Path, kind: str) -> list[str]:
    return re.findall(rf"^```{kind}\n(.*?)^```$", page.read_text("utf-8"), re.MULTILINE | re.DOTALL)


# -- pages that are written ---------------------------------------------------------------------------------------


def test_the_reference_is_what_the_models_say() -> None:
    is_current = reference.PAGE.read_text("utf-8") == reference.written()

    assert is_current, "docs/reference.md is not what the models say: run `python -m tests.docs.reference`"


def test_the_mistakes_are_what_the_loader_says() -> None:
    is_current = mistakes.PAGE.read_text("utf-8") == mistakes.written()

    assert is_current, "docs/mistakes.md is not what the loader says: run `python -m tests.docs.mistakes`"


@pytest.mark.parametrize("mistake", MISTAKES, ids=lambda mistake: mistake.title)
def test_a_mistake_is_refused_and_its_cure_loads(mistake: Mistake) -> None:
    assert loaded(mistake.text).pipeline is None
    assert loaded(mistake.mended).problems == ()


def test_each_mistake_is_told_once_on_the_page() -> None:
    assert len({mistake.title for mistake in MISTAKES}) == len(MISTAKES) >= 25


# -- examples -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("page", ["README.md", "docs/pipelines.md", "docs/flow.md", "docs/schedules.md"])
def test_every_pipeline_of_a_page_loads_without_problems(page: str) -> None:
    pipelines = [text for text in blocks(ROOT / page, "yaml") if re.search("^steps:", text, re.MULTILINE)]

    assert pipelines
    for text in pipelines:
        assert loaded(text).problems == (), text


def test_the_readmes_connector_works_once_its_package_is_installed(tmp_path: Path) -> None:
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
    """The files, and places in them, that a page points to in this repository."""
    prose = re.sub(r"^```.*?^```$", "", page.read_text("utf-8"), flags=re.MULTILINE | re.DOTALL)
    for target in re.findall(r"\]\(([^)\s]+)\)", prose):
        if "://" not in target:
            file, _, anchor = target.partition("#")
            yield (page.parent / file if file else page), anchor


def anchors(page: Path) -> set[str]:
    """The places in a page, named as GitHub names them."""
    prose = re.sub(r"^```.*?^```$", "", page.read_text("utf-8"), flags=re.MULTILINE | re.DOTALL)
    headings = re.findall(r"^#+ (.+)$", prose, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_leads_somewhere(page: Path) -> None:
    for file, anchor in links(page):
        assert file.exists(), file
        assert not anchor or anchor in anchors(file), f"{file.name} has no place '{anchor}'"
