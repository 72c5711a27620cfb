"""npm packages that a few tests use; `.ci/run` installs them where `npm` is available."""

import os
import shutil
from pathlib import Path

import pytest

PACKAGES = Path(os.environ.get("WAYPOST_TEST_NPM", Path(__file__).parent.parent / ".npm-cache")).absolute()
NAMES = (
    "yaml-language-server",
    "@octokit/webhooks-methods",
    "dockerfile-utils",
    "oidc-provider",
    "@modelcontextprotocol/server-everything",
)
MISSING = f"needs Node.js and npm packages: npm install --no-save --prefix {PACKAGES} {' '.join(NAMES)}"


def require_package(name: str) -> Path:
    """The folder of packages. Skips the test if Node.js or this package is missing, always with the same reason,
    so that the summary has one line for all of these tests."""
    if not shutil.which("node") or not (PACKAGES / "node_modules" / name).is_dir():
        pytest.skip(MISSING)
    return PACKAGES
