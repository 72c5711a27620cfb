"""Keys with a hyphen behind a dot, such as `trigger.body.order-id`: a subtraction to the grammar."""

import re
from collections.abc import Iterator

from durable.expressions import Expression
from durable.language.scope import Scope
from durable.problem import Explanation

DottedName = tuple[str, ...]

_HYPHENED = re.compile(r"(?<![\w.\]])([A-Za-z_]\w*(?:\.[A-Za-z_]\w*|\[[^\]]*\])*)\.([A-Za-z_]\w*(?:-[A-Za-z_]\w*)+)")


def find_hyphens(expression: Expression, scope: Scope) -> Iterator[tuple[frozenset[DottedName], Explanation]]:
    """The names of an expression that are parts of one key with hyphens, and what to write instead of them."""
    if "-" not in expression.source:
        return
    for found in _HYPHENED.finditer(expression.source):
        holder, key = found[1], found[2]
        parts = {name for name in expression.names if found.start() <= expression.offset_of(name) < found.end()}
        tails = {name for name in parts if expression.offset_of(name) > found.start(2)}
        if len(parts) > len(tails) > 0 and all(scope.explain_unreadable(name) for name in tails):
            cure = f"steps.{key.replace('-', '_')}" if holder == "steps" else f"{holder}['{key}']"
            yield frozenset(parts), Explanation(f"'{key}' is a subtraction here", f"write {cure}")
