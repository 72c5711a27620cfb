"""Shared fixtures, and the summary of skipped tests."""

from collections.abc import Generator
from pathlib import Path

import pytest

from tests import npm


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Report one location for all tests that need npm, because the summary has a line for each location and reason."""
    report = yield
    if report.skipped and isinstance(report.longrepr, tuple) and npm.MISSING in report.longrepr[2]:
        report.longrepr = (str(Path(npm.__file__).relative_to(Path.cwd())), 1, npm.MISSING)
    return report
