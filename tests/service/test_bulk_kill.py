"""A bulk that is killed in its middle retries each run once, and loses no new run: the small form of the bench."""

from collections import Counter
from pathlib import Path

import pytest

from tests.bench.bulk import measure

pytestmark = pytest.mark.anyio


@pytest.mark.slow
async def test_a_bulk_that_is_killed_in_its_middle_retries_each_run_once(tmp_path: Path) -> None:
    found = await measure(tmp_path, runs=400, rate=200, arrivals_rate=20, seconds=1)
    assert (found.bulk["done"], found.bulk["refused"]) == (400, 0)
    assert found.retries == Counter({1: 400})
    assert found.performed == 400
    assert found.missing == 0
