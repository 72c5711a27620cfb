"""Sample inputs of a pipeline, for examples of requests that start it."""

from collections.abc import Mapping
from typing import Any

from durable.sample_values import make_sample_value
from durable.values import JSON


def make_sample_inputs(schemas: Mapping[str, Any] | None) -> dict[str, JSON]:
    """A value for each input that has no default."""
    return {
        name: make_sample_value(schema, name)
        for name, schema in (schemas or {}).items()
        if not (isinstance(schema, dict) and "default" in schema)
    }
