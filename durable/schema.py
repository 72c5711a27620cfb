"""JSON Schema, draft 2020-12, of values that are given from outside: nothing is fetched, references stay inside."""

from collections.abc import Iterator
from typing import Any

import jsonschema_rs

from durable.values import JSON

DIALECT = "https://json-schema.org/draft/2020-12/schema"


class Schema:
    """A compiled schema; raises `jsonschema_rs.ValidationError` or `ReferencingError` for what is none."""

    def __init__(self, schema: dict[str, Any] | bool) -> None:
        if isinstance(schema, dict):
            jsonschema_rs.meta.validate({**schema, "$schema": DIALECT})
        self._validator = jsonschema_rs.Draft202012Validator(schema, retriever=_retrieve_nothing)

    def misfits(self, value: JSON) -> Iterator[tuple[tuple[str | int, ...], str]]:
        """Where the value does not fit, as the path to it, and why."""
        for error in self._validator.iter_errors(value):
            yield tuple(error.instance_path), error.message


def _retrieve_nothing(address: str) -> JSON:
    raise ValueError(f"schemas are not fetched from elsewhere ({address})")
