"""JSON Schema, draft 2020-12, for values from outside. References cannot leave the schema; nothing is fetched."""

from collections.abc import Iterator
from typing import Any

import jsonschema_rs

from durable.values import JSON

LARGE = 2_000
"""The number of values above which only the first problem is reported."""

DIALECT = "https://json-schema.org/draft/2020-12/schema"


class CompiledSchema:
    """A compiled schema. An invalid one raises `jsonschema_rs.ValidationError` or `ReferencingError`. `mask`: what
    messages call the values; by default they quote them."""

    def __init__(self, schema: dict[str, Any] | bool, mask: str | None = None) -> None:
        if isinstance(schema, dict):
            jsonschema_rs.meta.validate({**schema, "$schema": DIALECT})
        self._validator = jsonschema_rs.Draft202012Validator(schema, retriever=_retrieve_nothing, mask=mask)

    def find_problems(self, value: JSON) -> Iterator[tuple[tuple[str | int, ...], str]]:
        """Return where the value does not match, and why; for a large value, only the first problem."""
        for error in self.find_errors(value):
            yield tuple(error.instance_path), error.message

    def find_errors(self, value: JSON) -> Iterator[jsonschema_rs.ValidationError]:
        """Return the errors of the value; for a large value, only the first.

        The library finds all errors before it returns the first: 100,000 of them take a second.
        """
        if self._validator.is_valid(value):
            return
        yield from [self._find_first(value)] if _is_large(value) else self._validator.iter_errors(value)

    def _find_first(self, value: JSON) -> jsonschema_rs.ValidationError:
        try:
            self._validator.validate(value)
        except jsonschema_rs.ValidationError as error:
            return error
        raise AssertionError("it was not valid before")


def _is_large(value: JSON) -> bool:
    """Whether a value contains more than `LARGE` values."""
    left, rest = LARGE, [value]
    while rest and left >= 0:
        each = rest.pop()
        if isinstance(each, dict | list):
            left -= len(each)
            rest += (each.values() if isinstance(each, dict) else each) if left >= 0 else ()
    return left < 0


def _retrieve_nothing(address: str) -> JSON:
    raise ValueError(f"schemas are not fetched from elsewhere ({address})")
