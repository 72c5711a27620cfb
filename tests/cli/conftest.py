"""Fixtures: a working folder with a config folder."""

import shutil
from pathlib import Path

import pytest

from tests.cli.command import waypost

GREET = """
triggers:
  - id: greet
    use: webhook
    with:
      path: /greet
      verify: {preset: hmac, header: x-signature, prefix: "sha256=", secret: "{{ secrets.DEMO }}"}
    inputs: {name: "{{ trigger.body.name }}"}
inputs: {name: {type: string}, times: {default: 1}}
steps:
  - {id: text, use: transform.set, with: {values: {text: "Hello {{ inputs.name }}", times: "{{ inputs.times }}"}}}
outputs: {text: "{{ steps.text.output.text }}", times: "{{ steps.text.output.times }}"}
"""


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A folder with the pipeline `greet`."""
    return make_place(tmp_path)


@pytest.fixture(scope="module")
def _used(tmp_path_factory: pytest.TempPathFactory) -> Path:
    used = make_place(tmp_path_factory.mktemp("used"))
    assert waypost("run", "greet", "--input", "name=Ada", cwd=used).returncode == 0
    return used


@pytest.fixture
def used(_used: Path, tmp_path: Path) -> Path:
    """A folder with the pipeline `greet`, which has run once."""
    return shutil.copytree(_used, tmp_path / "used")


def make_place(place: Path) -> Path:
    """Create a config folder with the pipeline `greet`."""
    (place / "config" / "pipelines").mkdir(parents=True)
    write(place, "greet", GREET)
    return place


def write(place: Path, name: str, text: str) -> Path:
    """Write a pipeline file."""
    path = place / "config" / "pipelines" / f"{name}.yaml"
    path.write_text(text)
    return path
