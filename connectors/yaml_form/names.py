"""The names that an expression of a connector's file can read at its place, and why others cannot be read."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from durable.known_values import (
    KnownMapping,
    KnownScalar,
    KnownValue,
    explain_mismatch,
    explain_missing,
    look_up,
)
from durable.language.headers import check_header_name
from durable.problem import Explanation
from durable.values import JSON
from durable.wording import quote, suggest

SECRET_HINT = "declare a field with 'secret: true' under connection.fields, and read connection.NAME"

_ELSEWHERE = {
    "answer": "it is available only where a response is judged: errors, retry_after, page and output",
    "output": "it is available only in 'undo'",
    "items": "it is available only in 'more', 'next' and 'cursor' of 'page'",
    "inputs": "each action has its own; write this under the action",
    "connection": "it is available only in requests, and where a response is judged",
    "secrets": SECRET_HINT,
    **dict.fromkeys(("trigger", "steps", "run"), "a connector does not see the pipeline; take the value as an input"),
    **dict.fromkeys(("response", "result"), "did you mean 'answer'"),
    **{name: f"did you mean 'answer.{name}'" for name in ("body", "status", "headers")},
    **dict.fromkeys(("args", "params", "input", "with"), "did you mean 'inputs'"),
    **dict.fromkeys(("auth", "credentials", "config", "settings"), "did you mean 'connection'"),
    "item": "read an item of the list: items[-1]",
    "page": "read the page's response as 'answer'",
}

ANSWER = KnownMapping({"status": KnownScalar(frozenset({"number"})), "headers": None, "body": None})
"""A response, as expressions read it."""


@dataclass(frozen=True, slots=True)
class ConnectorNames:
    """The names that can be read at one place, and what is known of their values. Implements `Names`.

    `hints`: what to do about names that cannot be read here, although they can elsewhere.
    """

    known: Mapping[str, KnownValue]
    hints: Mapping[str, str] = field(default_factory=dict)

    @property
    def roots(self) -> frozenset[str]:
        return frozenset(self.known)

    def add(self, **more: KnownValue) -> "ConnectorNames":
        """Return these names and others."""
        return ConnectorNames({**self.known, **more})

    def explain_unreadable(self, name: tuple[str, ...]) -> Explanation | None:
        """Explain why a name such as `("connection", "token")` cannot be read here."""
        root, *rest = name
        if root not in self.known:
            return self._explain_unknown(root)
        if root in {"inputs", "connection"} and rest and (problem := self._explain_undeclared(root, rest[0])):
            return problem
        if problem := explain_missing(self.known[root], rest, [root]):
            return problem
        return check_header_name("answer.headers", rest[1]) if name[:2] == ("answer", "headers") and rest[1:] else None

    def explain_comparison(self, name: tuple[str, ...], value: JSON) -> Explanation | None:
        """Explain why a comparison of a name with a constant makes no sense."""
        return None

    def doubt_name(self, name: tuple[str, ...]) -> Explanation | None:
        """Warn about a name that probably never exists."""
        return None

    def doubt_comparison(self, name: tuple[str, ...], value: JSON) -> Explanation | None:
        """Warn about a comparison with a constant that the name probably never equals."""
        return explain_mismatch(look_up(self.known.get(name[0]), name[1:]), name, value)

    def _explain_unknown(self, root: str) -> Explanation:
        if root in {"answer", "output", "items", "inputs", "connection"}:
            return Explanation(f"{quote(root)} cannot be read here", self.hints.get(root, _ELSEWHERE[root]))
        inputs = self.known.get("inputs")
        if isinstance(inputs, KnownMapping) and root in inputs.keys:
            return Explanation(f"there is no name {quote(root)}", f"did you mean 'inputs.{root}'")
        return Explanation(f"there is no name {quote(root)}", _ELSEWHERE.get(root) or suggest(root, self.known))

    def _explain_undeclared(self, root: str, key: str) -> Explanation | None:
        known = self.known[root]
        if not isinstance(known, KnownMapping) or key in known.keys:
            return None
        what, where = ("the action", "inputs") if root == "inputs" else ("the connection", "connection.fields")
        noun = "input" if root == "inputs" else "field"
        hint = suggest(key, known.keys) or f"declare it under '{where}'"
        return Explanation(f"{what} has no {noun} {quote(key)}", hint)
