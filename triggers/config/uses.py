"""What the steps of a pipeline use: actions, and connections."""

from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import NamedTuple

from durable.definition import Definition
from durable.values import JSON, decode

CACHED = 4_096
"""The definitions whose uses are kept: reading those of 1,000 pipelines takes 200 ms."""


class StepUse(NamedTuple):
    """What a step uses: an action, and the connection that its file names, or those that an expression may choose."""

    use: str
    connections: tuple[str, ...]


def list_uses(definition: Definition) -> Sequence[StepUse]:
    """What the steps of a definition use, undos and the steps of `on_failure` included."""
    return _read_uses(definition.data)


@lru_cache(maxsize=CACHED)
def _read_uses(definition: bytes) -> Sequence[StepUse]:
    return tuple(_walk(decode(definition)))


def _walk(tree: JSON) -> Iterator[StepUse]:
    if isinstance(tree, list):
        for each in tree:
            yield from _walk(each)
    elif isinstance(tree, dict):
        use = tree.get("use")
        if isinstance(use, str) and "id" in tree:
            yield StepUse(use, tuple(_list_connections(tree.get("connection"))))
        for each in tree.values():
            yield from _walk(each)


def _list_connections(connection: JSON) -> Iterator[str]:
    if isinstance(connection, str):
        yield connection
    elif isinstance(connection, dict):
        one_of = connection.get("one_of")
        yield from (each for each in (one_of if isinstance(one_of, list) else ()) if isinstance(each, str))
