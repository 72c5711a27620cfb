"""Correlation keys: how `flow.emit` and `wait.event` find each other."""

from typing import Annotated, TypeAlias

from pydantic import BeforeValidator


def _read_key(value: object) -> object:
    """A correlation key as text. Null is refused: it would fit the wait of every run."""
    if value is None:
        raise ValueError("it is null; leave it out where none is meant")
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return str(value) if is_number else value


CorrelationKey: TypeAlias = Annotated[str | None, BeforeValidator(_read_key, json_schema_input_type=str | int | float)]
