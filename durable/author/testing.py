"""Tools for the tests of connectors. Its fixtures need `pytest_plugins = ["waypost.testing"]` in a conftest.py.

A running service imports none of this.
"""

from connectors.testing.calls import ActionCall, Answer, call_action
from connectors.testing.plugin import (
    call_recorded,
    ensure_conformance,
    pytest_addoption,
    waypost_context,
    waypost_service,
)

__all__ = [
    "ActionCall",
    "Answer",
    "call_action",
    "call_recorded",
    "ensure_conformance",
    "pytest_addoption",
    "waypost_context",
    "waypost_service",
]
