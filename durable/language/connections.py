"""The connections that a file names: whether each is there, and of the right connector."""

from collections.abc import Callable, Collection

from durable.language.document import Pointer
from durable.language.findings import Findings
from durable.language.problem import nearest, quoted
from durable.language.tree import Mapped

Find = Callable[[str], str | None]
"""The connector that a connection is of; None if there is no such connection."""


class Connections:
    """Checks `connection:`. Where nobody knows which there are (`find` is None), every name is taken; `names` are those
    that can be suggested."""

    def __init__(self, find: Find | None, names: Collection[str], findings: Findings) -> None:
        self._find = find
        self._names = names
        self._findings = findings

    def check(self, owner: Mapped, pointer: Pointer) -> None:
        """Check the connection of a step or an undo, if it has one."""
        name, use = owner.get("connection"), owner.get("use")
        if self._find is None or not isinstance(name, str) or not isinstance(use, str):
            return
        connector, wanted = self._find(name), use.partition(".")[0]
        where = (*pointer, "connection")
        if connector is None:
            meant = nearest(name, self._names)
            add = "add it to connections.yaml"
            hint = f"did you mean {quoted(meant)}, or {add}" if meant else add
            self._findings.add(where, f"there is no connection {quoted(name)}", hint)
        elif connector != wanted:
            what = f"the connection {quoted(name)} is one of {quoted(connector)}, not of {quoted(wanted)}"
            self._findings.add(where, what, f"name a connection of {quoted(wanted)}")
