"""Shared fixtures, the number of tests at a time, and the summary of skipped tests."""

import os
from collections.abc import Generator
from pathlib import Path

import pytest

from tests import npm


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


def pytest_xdist_auto_num_workers() -> int:
    """Return how many tests run at a time: one more than there are cores, because tests wait for disks and timers."""
    return (os.cpu_count() or 1) + 1


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Report one location for all tests that need npm, because the summary has a line for each location and reason."""
    report = yield
    if report.skipped and isinstance(report.longrepr, tuple) and npm.MISSING in report.longrepr[2]:
        report.longrepr = (str(Path(npm.__file__).relative_to(Path.cwd())), 1, npm.MISSING)
    return report
