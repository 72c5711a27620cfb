"""Packages: Waypost and a stranger's connector, each built, and installed in a fresh environment."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
GUIDE = (ROOT / "docs" / "connectors.md").read_text("utf-8")
PIPELINE = 'steps: [{id: a, use: math.add, with: {a: 2, b: 3}}]\noutputs: {sum: "{{ steps.a.output.sum }}"}\n'
MATH = '''
from waypost import Connector, Context, Inputs, action


class Add(Inputs):
    a: int
    b: int


@action("add", input=Add, idempotent="yes")
async def add(context: Context, given: Add) -> dict[str, int]:
    """Add two numbers."""
    return {"sum": given.a + given.b}


CONNECTOR = Connector("math", "Arithmetic", [add])
'''


def read_block(file: str) -> str:
    """The content that the page gives to a file."""
    found = re.search(rf"^`{re.escape(file)}`:\n\n```\w+\n(.*?)^```$", GUIDE, re.MULTILINE | re.DOTALL)
    assert found, file
    return found[1]


@pytest.mark.slow
def test_a_package_is_built_installed_and_used_in_a_fresh_environment(tmp_path: Path) -> None:
    python = tmp_path / "venv" / "bin" / "python"
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("WAYPOST_", "PYTHON"))}

    def run(*command: object, code: int = 0) -> str:
        done = subprocess.run(
            [*map(str, command)],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            timeout=240,
            check=False,
        )
        assert done.returncode == code, (command, done.stdout, done.stderr)
        return done.stdout

    waypost = [python, "-c", "from triggers.cli import main; main()"]
    package, config = tmp_path / "package", tmp_path / "config"
    package.mkdir()
    (package / "pyproject.toml").write_text(read_block("package/pyproject.toml"))
    (package / "waypost_gifts.py").write_text(read_block("config/connectors/gifts.py"))
    run(sys.executable, "-m", "venv", tmp_path / "venv")
    run(python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", ROOT)
    run(python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", package)

    assert "waypost-gifts 1.0" in run(*waypost, "connectors")
    assert " 0 failed" in run(*waypost, "connector", "check", "gifts")
    run(*waypost, "init")
    run(*waypost, "connector", "new", "shop")
    (config / "connectors" / "math.py").write_text(MATH)
    (config / "pipelines" / "sum.yaml").write_text(PIPELINE)
    assert " 0 failed" in run(*waypost, "connector", "check", "shop")
    assert " 0 failed" in run(*waypost, "connector", "check", "slack")
    assert json.loads(run(*waypost, "run", "sum", "--json"))["outputs"] == {"sum": 5}
    assert run(python, "-c", "import waypost; print(waypost.__file__)").startswith(str(tmp_path / "venv"))
