"""The number of Python calls of a run is bounded. It is exact, so duplicated work shows here without a clock."""

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
LIMIT = 900
"""In 2026-12 the count was 851; the slack lets a small feature pass."""


def test_a_run_of_three_http_steps_takes_few_python_calls() -> None:
    command = [sys.executable, "-m", "tests.bench.calls", "--runs", "15"]
    shown = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    found = re.search(r"three http\.post steps: (\d+)", shown)
    assert found
    assert int(found[1]) <= LIMIT, f"`python -m tests.bench.calls --functions` lists the calls:\n{shown}"
