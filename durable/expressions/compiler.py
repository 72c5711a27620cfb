"""The compiler of expressions: turns Jinja's syntax tree into functions over data.

Nodes without a method of `_Compiler` are errors. The functions look up keys in JSON, apply operators and call filters
from a fixed table, so an expression cannot reach a Python attribute, call anything else, or read a name that is not in
scope.
"""

import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, singledispatchmethod
from typing import TypeAlias

from jinja2 import nodes

from durable.expressions import closures, hints, operators
from durable.expressions.arguments import Function, find_function
from durable.expressions.bounds import Evaluation, EvaluationError, ensure_bounded, to_json
from durable.expressions.checks import TESTS
from durable.expressions.closures import Code
from durable.expressions.filters import FILTERS, URL_FILTERS
from durable.expressions.grammar import parse
from durable.expressions.headers import leads_to_headers, mark_header_names
from durable.values import JSON

DottedName: TypeAlias = tuple[str, ...]
"""A path as an expression reads it, such as `("steps", "customer", "output")`."""

DEPTH_LIMIT = 100
"""The maximum depth of nested operations in an expression."""

_NO_CALLS = "there are filters instead, such as '|lower'"
_EMPTY_ENDS = frozenset({"first", "last", "min", "max"})


@dataclass(frozen=True, slots=True)
class CompiledExpression:
    """The result of compiling an expression.

    `names`: the names that it reads, with their offsets in the text.
    `comparisons`: names with the constants that they are compared with.
    `is_path`: it only looks up a value and computes nothing.
    `is_encoded`: its last filter encodes for URLs.
    """

    code: Code
    names: Mapping[DottedName, int]
    comparisons: Sequence[tuple[DottedName, JSON]]
    is_path: bool
    is_encoded: bool


def compile_expression(text: str) -> CompiledExpression:
    """Compile an expression without braces; raises `EvaluationError` with the offset of the error."""
    node = parse(text)
    compiler = _Compiler()
    return CompiledExpression(
        compiler.code(node), compiler.names, compiler.comparisons, _is_path(node), _is_encoded(node)
    )


class _Compiler:
    """Compiles the nodes of one expression, and records the names that they read."""

    def __init__(self) -> None:
        self.names: dict[DottedName, int] = {}
        self.comparisons: list[tuple[DottedName, JSON]] = []
        self._depth = 0

    def code(self, node: nodes.Expr) -> Code:
        """Return a function that computes the node's value; a missing name raises `MissingName`."""
        if self._depth > DEPTH_LIMIT:
            raise EvaluationError("the expression is nested too deeply", node.lineno)
        self._depth += 1
        try:
            return self._code(node)
        finally:
            self._depth -= 1

    def compile_lookup(self, node: nodes.Expr) -> Code:
        """Like `code`, but returns `ABSENT` if the node is a missing name, or the first or last item of an empty
        list."""
        if _is_subscript(node) or isinstance(node, nodes.Name):
            return self._path(node).find
        if isinstance(node, nodes.Filter) and node.name in _EMPTY_ENDS:
            return self._function(node, FILTERS, "filter")
        return self.code(node)

    @singledispatchmethod
    def _code(self, node: nodes.Expr) -> Code:
        raise EvaluationError("this is not part of the expression language", node.lineno)

    @_code.register
    def _(self, node: nodes.Call) -> Code:
        called = node.node
        name = called.attr if isinstance(called, nodes.Getattr) else getattr(called, "name", None)
        instead = f"write '|{name}'" if name in FILTERS else hints.CALLS.get(str(name), _NO_CALLS)
        raise EvaluationError(f"functions cannot be called; {instead}", node.lineno)

    # -- names and literals

    @_code.register
    def _(self, node: nodes.Name) -> Code:
        return closures.build_constant(None) if node.name == "null" else self._path(node).read

    @_code.register
    def _(self, node: nodes.Getattr) -> Code:
        return self._path(node).read

    @_code.register
    def _(self, node: nodes.Getitem) -> Code:
        if not isinstance(node.arg, nodes.Slice):
            return self._path(node).read
        ends = (node.arg.start, node.arg.stop, node.arg.step)
        return self._compile_call(node, operators.slice_value, [node.node, *(end or nodes.Const(None) for end in ends)])

    @_code.register
    def _(self, node: nodes.Const) -> Code:
        value = node.value
        try:
            to_json(Evaluation({}), ensure_bounded(value) if operators.is_number(value) else value)
        except EvaluationError as error:
            error.locate(node.lineno)
            raise
        return closures.build_constant(value)

    @_code.register
    def _(self, node: nodes.List) -> Code:
        return closures.build_list([self.code(item) for item in node.items])

    @_code.register
    def _(self, node: nodes.Tuple) -> Code:
        return closures.build_list([self.code(item) for item in node.items])

    @_code.register
    def _(self, node: nodes.Dict) -> Code:
        return closures.build_mapping(
            [(self.code(pair.key), self.code(pair.value)) for pair in node.items], node.lineno
        )

    def _path(self, node: nodes.Expr) -> closures.Path | closures.HeadersPath:
        keys: list[str | int | Code] = []
        while isinstance(node, nodes.Getattr | nodes.Getitem) and _is_subscript(node):
            keys.insert(0, self._key(node))
            node = node.node
        marked = [
            closures.build_header_name(key) if callable(key) and leads_to_headers(keys[:index]) else key
            for index, key in enumerate(mark_header_names(keys))
        ]
        path = self._path_of(node, marked)
        return closures.HeadersPath(path) if leads_to_headers(keys) else path

    def _path_of(self, root: nodes.Expr, keys: Sequence[str | int | Code]) -> closures.Path:
        if isinstance(root, nodes.Name):
            return self._name(root, keys)
        return closures.Path(self.compile_lookup(root), [_compile_key(key) for key in keys], "(…)", root.lineno)

    def _name(self, root: nodes.Name, keys: Sequence[str | int | Code]) -> closures.Path:
        if root.name == "secrets":
            raise EvaluationError(
                "an expression cannot compute with a secret; write it alone in its braces, in a value that may hold a "
                "secret, and let 'auth' of a connection make basic credentials and signatures",
                root.lineno,
            )
        known: list[str | int] = [root.name]
        for key in keys:
            if not isinstance(key, str | int):
                break
            known.append(key)
        self.names.setdefault(tuple(map(str, known)), root.lineno)
        if len(known) == len(keys) + 1:
            return closures.Name(known, root.lineno)
        return closures.Path(closures.read_scope, [_compile_key(key) for key in (root.name, *keys)], "", root.lineno)

    def _key(self, node: nodes.Getattr | nodes.Getitem) -> str | int | Code:
        """Return the key of a look-up, as a constant if it is one."""
        if isinstance(node, nodes.Getattr):
            return node.attr
        match node.arg:
            case nodes.Const(value=bool()):
                return self.code(node.arg)
            case nodes.Const(value=str() | int() as value):
                self.code(node.arg)  # raises if the key is not JSON
                return value
            case nodes.Neg(node=nodes.Const(value=int() as value)):
                return -value
            case argument:
                return self.code(argument)

    # -- operators

    @_code.register
    def _(self, node: nodes.And) -> Code:
        return closures.build_and(self.code(node.left), self.code(node.right))

    @_code.register
    def _(self, node: nodes.Or) -> Code:
        return closures.build_or(self.code(node.left), self.code(node.right))

    @_code.register
    def _(self, node: nodes.Not) -> Code:
        return closures.build_not(self.code(node.node))

    @_code.register
    def _(self, node: nodes.CondExpr) -> Code:
        if node.expr2 is None:
            raise EvaluationError("this 'if' has no 'else'; write 'a if condition else b'", node.lineno)
        return closures.build_choice(self.code(node.test), self.code(node.expr1), self.code(node.expr2))

    @_code.register
    def _(self, node: nodes.Compare) -> Code:
        self.comparisons += _find_comparisons(node)
        for name in _find_sought_headers(node):
            self.names.setdefault(name, node.lineno)
        signs = [operators.COMPARISONS[operand.op] for operand in node.ops]
        function = signs[0] if len(signs) == 1 else operators.chain_comparisons(signs)
        return self._compile_call(node.expr, function, [node.expr, *(operand.expr for operand in node.ops)])

    @_code.register
    def _(self, node: nodes.Concat) -> Code:
        return self._compile_call(node, operators.concatenate, node.nodes)

    @_code.register
    def _(self, node: nodes.BinExpr) -> Code:
        return self._compile_call(node, operators.ARITHMETIC[node.operator], [node.left, node.right])

    @_code.register
    def _(self, node: nodes.Neg) -> Code:
        return self._compile_call(node, operators.negate, [node.node])

    @_code.register
    def _(self, node: nodes.Pos) -> Code:
        return self._compile_call(node, operators.positive, [node.node])

    # -- filters and tests

    @_code.register
    def _(self, node: nodes.Test) -> Code:
        if node.name in {"defined", "undefined"} and not (node.args or node.kwargs):
            return closures.build_is_defined(self.compile_lookup(node.node), node.name == "defined")
        return self._function(node, TESTS, "test")

    @_code.register
    def _(self, node: nodes.Filter) -> Code:
        if node.name in {"default", "d"}:
            return self._default(node)
        made = self._function(node, FILTERS, "filter")
        if node.name in _EMPTY_ENDS:
            return closures.build_required(made, f"the list is empty and has no {node.name}", node.lineno)
        return made

    def _default(self, node: nodes.Filter) -> Code:
        _check_arguments(node, "filter", node.name, FILTERS[node.name], node.args, _get_keywords(node))
        given = dict(zip(("default", "boolean"), node.args, strict=False))
        given |= _get_keywords(node)
        boolean = self.code(given["boolean"]) if "boolean" in given else closures.build_constant(False)
        return closures.build_default(self.compile_lookup(_get_operand(node)), self.code(given["default"]), boolean)

    def _function(self, node: nodes.Filter | nodes.Test, table: Mapping[str, Function], what: str) -> Code:
        """Return a filter or test, checked as far as possible without data."""
        function = _find_function(node, table, what, node.name)
        _check_arguments(node, what, node.name, function, node.args, _get_keywords(node))
        _check_on_items(node)
        return self._compile_call(node, function, [_get_operand(node), *node.args], _get_keywords(node))

    def _compile_call(
        self,
        node: nodes.Expr,
        function: Callable[..., object],
        operands: Sequence[nodes.Expr],
        keywords: Mapping[str, nodes.Expr] | None = None,
    ) -> Code:
        named_codes = {name: self.code(operand) for name, operand in (keywords or {}).items()}
        return closures.build_call(function, [self.code(operand) for operand in operands], named_codes, node.lineno)


def _get_operand(node: nodes.Filter | nodes.Test) -> nodes.Expr:
    """Return the operand of a filter or test, which always has one inside an expression."""
    if node.node is None:
        raise EvaluationError("a filter follows the value that it is applied to", node.lineno)
    return node.node


def _get_keywords(node: nodes.Filter | nodes.Test) -> dict[str, nodes.Expr]:
    return {str(keyword.key): keyword.value for keyword in node.kwargs}


def _is_subscript(node: nodes.Expr) -> bool:
    """Whether the node looks up one key."""
    is_slice = isinstance(node, nodes.Getitem) and isinstance(node.arg, nodes.Slice)
    return isinstance(node, nodes.Getattr | nodes.Getitem) and not is_slice


def _is_path(node: nodes.Expr) -> bool:
    """Whether the node is a name followed by keys."""
    while isinstance(node, nodes.Getattr | nodes.Getitem) and _is_subscript(node):
        node = node.node
    return isinstance(node, nodes.Name)


def _is_encoded(node: nodes.Expr | None) -> bool:
    """Whether the value comes from a filter that encodes for URLs, in both branches of an `if`."""
    if isinstance(node, nodes.CondExpr):
        return _is_encoded(node.expr1) and _is_encoded(node.expr2)
    return isinstance(node, nodes.Filter) and node.name in URL_FILTERS


def _find_comparisons(node: nodes.Compare) -> Iterator[tuple[DottedName, JSON]]:
    """Return the names that are compared with constants, and the constants."""
    left = node.expr
    for operand in node.ops:
        for one, other in ((left, operand.expr), (operand.expr, left)):
            others: Sequence[nodes.Expr] = [other]
            if operand.op in {"in", "notin"}:  # in a text, 'in' finds a substring; in a list, an equal item
                others = other.items if one is left and isinstance(other, nodes.List | nodes.Tuple) else []
            name = _read_constant_name(one) if others else None
            for each in others:
                if name and isinstance(each, nodes.Const):
                    yield name, each.value
        left = operand.expr


def _find_sought_headers(node: nodes.Compare) -> Iterator[DottedName]:
    """Return the names of headers for which an expression tests `'name' in headers`."""
    left = node.expr
    for operand in node.ops:
        holder = _read_constant_name(operand.expr) if operand.op in {"in", "notin"} else None
        if holder and leads_to_headers(list(holder)) and isinstance(left, nodes.Const) and isinstance(left.value, str):
            yield (*holder, left.value)
        left = operand.expr


def _read_constant_name(node: nodes.Expr) -> DottedName | None:
    """Return the name that a node reads, if all its keys are constant."""
    keys: list[str] = []
    while isinstance(node, nodes.Getattr | nodes.Getitem):
        key = node.attr if isinstance(node, nodes.Getattr) else getattr(node.arg, "value", None)
        if not isinstance(key, str | int) or isinstance(key, bool):
            return None
        keys.insert(0, str(key))
        node = node.node
    return (node.name, *keys) if isinstance(node, nodes.Name) else None


def _compile_key(key: str | int | Code) -> Code:
    return closures.build_constant(key) if isinstance(key, str | int) else key


def _find_function(node: nodes.Expr, table: Mapping[str, Function], what: str, name: object) -> Function:
    try:
        return find_function(table, what, name)
    except EvaluationError as error:
        error.locate(node.lineno)
        raise


def _check_arguments(
    node: nodes.Filter | nodes.Test,
    what: str,
    name: str,
    function: Function,
    arguments: Sequence[nodes.Expr],
    keywords: Mapping[str, nodes.Expr],
) -> None:
    if node.dyn_args or node.dyn_kwargs:
        raise EvaluationError("'*' and '**' are not allowed in parentheses", node.lineno)
    signature = _get_signature(function)
    try:
        signature.bind(None, None, *arguments, **keywords)
    except TypeError as error:
        known = [str(parameter.name) for parameter in list(signature.parameters.values())[2:]]
        takes = f"takes {', '.join(known)}" if known else "takes nothing in parentheses"
        raise EvaluationError(f"the {what} '{name}' {takes}: {error}", node.lineno) from None


def _check_on_items(node: nodes.Filter | nodes.Test) -> None:
    """Check the filter name in `map('upper')` at compile time."""
    match node.name, node.args:
        case "map", [nodes.Const(value=str(name)), *arguments]:
            table, what = FILTERS, "filter"
        case (("select" | "reject"), [nodes.Const(value=str(name)), *arguments]):
            table, what = TESTS, "test"
        case (("selectattr" | "rejectattr"), [_, nodes.Const(value=str(name)), *arguments]):
            table, what = TESTS, "test"
        case _:
            return
    if what == "filter" or name not in {"defined", "undefined"}:
        _check_arguments(node, what, name, _find_function(node, table, what, name), arguments, {})


@cache
def _get_signature(function: Function) -> inspect.Signature:
    return inspect.signature(function)
