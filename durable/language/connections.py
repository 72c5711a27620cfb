"""Checks the connections that a file names: each must exist and belong to the right connector."""

from collections.abc import Callable, Collection

from durable.language.report import Report
from durable.problem import Explanation, Pointer
from durable.spec_model import Mapped, get_in, get_list
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


def inherit_connection(undo: Mapped, step: Mapped) -> Mapped:
    """Return an undo with the connection that it uses: if its step chooses one, and it names none, that one."""
    chosen = step.get("connection")
    is_same = str(undo.get("use")).partition(".")[0] == str(step.get("use")).partition(".")[0]
    inherits = isinstance(chosen, dict) and is_same and "connection" not in undo
    return {**undo, "connection": chosen} if inherits else undo


class ConnectionChecker:
    """Checks `connection:`.

    `find`: finds the connector of a connection; if None, the connections are unknown and every name is accepted.
    `names`: the names to suggest.
    `is_broken`: whether a connection exists, but has errors.
    `needs_connection`: whether the actions of a connector can do nothing without one.
    """

    def __init__(
        self,
        find: Find | None,
        names: Collection[str],
        is_broken: Callable[[str], bool],
        needs_connection: Callable[[str], bool],
        report: Report,
    ) -> None:
        self._find = find
        self._names = names
        self._is_broken = is_broken
        self._needs_connection = needs_connection
        self._report = report

    def check(self, owner: Mapped, pointer: Pointer) -> None:
        """Check the connection of a step or an undo, or that it can do without one."""
        named, use = owner.get("connection"), owner.get("use")
        if self._find is None or not isinstance(use, str):
            return
        where = (*pointer, "connection")
        if named is None:
            self._check_need(use.partition(".")[0], (*pointer, "use"))
        if isinstance(named, str):
            self._check_name(named, use, where)
        for index, pattern in enumerate(get_list(get_in(named, "one_of"))):
            if isinstance(pattern, str):
                self._check_pattern(pattern, use, (*where, "one_of", index))

    def _check_need(self, wanted: str, where: Pointer) -> None:
        assert self._find, "the connections are known"
        if self._needs_connection(wanted):
            own = [name for name in self._names if self._find(name) == wanted]
            hint = f"add 'connection: {own[0] if len(own) == 1 else 'NAME'}'"
            among = f", with one of {', '.join(own[:8])}" if own[1:] else ""
            more = among if own else f", and a connection of {quote(wanted)} to {FILE}"
            self._report.add(where, f"{quote(wanted)} needs a connection", f"{hint}{more}")

    def _check_name(self, name: str, use: str, where: Pointer) -> None:
        assert self._find, "the connections are known"
        connector, wanted = self._find(name), use.partition(".")[0]
        if connector is None:
            problem = explain_missing(name, self._names, is_broken=self._is_broken(name))
            self._report.add(where, *problem)
        elif connector != wanted:
            problem = explain_mismatch(name, connector, wanted)
            self._report.add(where, *problem)

    def _check_pattern(self, pattern: str, use: str, where: Pointer) -> None:
        """Check a name that may be chosen, or that a pattern matches a connection of the connector."""
        assert self._find, "the connections are known"
        beginning, star, _ = pattern.partition("*")
        if not star:
            self._check_name(pattern, use, where)
            return
        wanted = use.partition(".")[0]
        if not any(name.startswith(beginning) and self._find(name) == wanted for name in self._names):
            what = f"no connection of {quote(wanted)} begins with {quote(beginning)}"
            self._report.add(where, what, f"add one to {FILE}")
