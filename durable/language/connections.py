"""Checks the connections that a file names: each must exist and belong to the right connector."""

from collections.abc import Callable, Collection

from durable.language.report import Report
from durable.problem import Explanation, Pointer
from durable.spec_model import Mapped
from durable.wording import find_nearest, quote

FILE = "connections.yaml"

Find = Callable[[str], str | None]
"""Finds the connector of a connection; None if there is no such connection."""


def explain_missing(name: str, names: Collection[str] = (), *, is_broken: bool) -> Explanation:
    """Explain that a connection does not exist, or that its entry has errors (`is_broken`)."""
    if is_broken:
        hint = f"{FILE} has errors; run `waypost validate` to see them"
        return Explanation(f"the connection {quote(name)} cannot be used", hint)
    meant, add = find_nearest(name, names), f"add it to {FILE}"
    hint = f"did you mean {quote(meant)}, or {add}" if meant else add
    return Explanation(f"there is no connection {quote(name)}", hint)


def explain_mismatch(name: str, connector: str, wanted: str) -> Explanation:
    """Explain that a connection belongs to another connector."""
    message = f"the connection {quote(name)} belongs to the connector {quote(connector)}, not to {quote(wanted)}"
    return Explanation(message, f"use a connection of {quote(wanted)}")


class ConnectionChecker:
    """Checks `connection:`.

    `find`: finds the connector of a connection; if None, the connections are unknown and every name is accepted.
    `names`: the names to suggest.
    `is_broken`: whether a connection exists, but has errors.
    """

    def __init__(
        self, find: Find | None, names: Collection[str], is_broken: Callable[[str], bool], report: Report
    ) -> None:
        self._find = find
        self._names = names
        self._is_broken = is_broken
        self._report = report

    def check(self, owner: Mapped, pointer: Pointer) -> None:
        """Check the connection of a step or an undo, if it has one."""
        name, use = owner.get("connection"), owner.get("use")
        if self._find is None or not isinstance(name, str) or not isinstance(use, str):
            return
        connector, wanted = self._find(name), use.partition(".")[0]
        where = (*pointer, "connection")
        if connector is None:
            problem = explain_missing(name, self._names, is_broken=self._is_broken(name))
            self._report.add(where, *problem)
        elif connector != wanted:
            problem = explain_mismatch(name, connector, wanted)
            self._report.add(where, *problem)
