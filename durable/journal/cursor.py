"""What the units need of a database driver."""

from collections.abc import Callable, Mapping
from typing import Any, Protocol, TypeAlias, TypeVar

Answer = TypeVar("Answer")
Params: TypeAlias = dict[str, object]


class Cursor(Protocol):
    """A driver's cursor."""

    @property
    def rowcount(self) -> int: ...

    def execute(self, sql: str, parameters: Mapping[str, object], /) -> object: ...

    def fetchone(self) -> Any: ...

    def fetchall(self) -> list[Any]: ...


Unit: TypeAlias = Callable[[Cursor], Answer]
"""What the writer executes inside its transaction."""
