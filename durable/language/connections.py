"""The connections that a file names: whether each is there, and of the right connector."""

from collections.abc import Callable, Collection

from durable.language.report import Report
from durable.problem import Explanation, Pointer
from durable.spec_model import Mapped
from durable.wording import find_nearest, quote

FILE = "connections.yaml"

Find = Callable[[str], str | None]
"""The connector that a connection is of; None if there is no such connection."""


def explain_missing(name: str, names: Collection[str] = (), *, is_broken: bool) -> Explanation:
    """What to say of a connection that cannot be used: it is not there, or (`is_broken`) what says it is wrong."""
    if is_broken:
        hint = f"{FILE} has mistakes; mend them, `waypost validate` says where they are"
        return Explanation(f"the connection {quote(name)} cannot be used", hint)
    meant, add = find_nearest(name, names), f"add it to {FILE}"
    hint = f"did you mean {quote(meant)}, or {add}" if meant else add
    return Explanation(f"there is no connection {quote(name)}", hint)


def explain_mismatch(name: str, connector: str, wanted: str) -> Explanation:
    """What to say of a connection of another connector than the one that is used."""
    message = f"the connection {quote(name)} is one of {quote(connector)}, not of {quote(wanted)}"
    return Explanation(message, f"name a connection of {quote(wanted)}")


class ConnectionChecker:
    """Checks `connection:`. Where nobody knows which there are (`find` is None), every name is taken; `names` are those
    that can be suggested, `is_broken` says which are there and wrong."""

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
            self._report.add(where, problem.message, problem.hint)
        elif connector != wanted:
            problem = explain_mismatch(name, connector, wanted)
            self._report.add(where, problem.message, problem.hint)
