"""What every test can use, and how skipped tests are summarised."""

from collections.abc import Generator
from pathlib import Path

import pytest

from tests import npm


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Give the tests that need npm one place, because the summary has a line for each place and reason."""
    report = yield
    if report.skipped and isinstance(report.longrepr, tuple) and npm.MISSING in report.longrepr[2]:
        report.longrepr = (str(Path(npm.__file__).relative_to(Path.cwd())), 1, npm.MISSING)
    return report
