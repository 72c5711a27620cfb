"""What is recommended for a failure: a retry only if it makes another attempt."""

from typing import Any

import pytest

from triggers.documents.repairs import can_retry


@pytest.mark.parametrize(
    ("error_class", "code", "expected"),
    [
        ("server", "http_500", True),
        ("invalid", "http_422", True),
        ("invalid", "no_pipeline", True),
        ("crash", "process_lost", True),
        (None, "child_cancelled", True),
        (None, "too_old", False),
        ("invalid", "expression", False),
        ("invalid", "inputs", False),
        ("invalid", "output", False),
    ],
)
def test_a_retry_is_recommended_where_it_makes_another_attempt(error_class: Any, code: str, expected: bool) -> None:
    assert can_retry(error_class, code) is expected
