"""Correlation keys, by which `flow.emit` finds the runs that wait in `wait.event`."""

from typing import Annotated, TypeAlias

from pydantic import BeforeValidator


def _read_key(value: object) -> object:
    """Return a correlation key as text. Null is rejected, because it would match the waits of all runs."""
    if value is None:
        raise ValueError("it is null; leave it out where none is meant")
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return str(value) if is_number else value


CorrelationKey: TypeAlias = Annotated[str | None, BeforeValidator(_read_key, json_schema_input_type=str | int | float)]
