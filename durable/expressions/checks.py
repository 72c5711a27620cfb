"""The tests of the language (`x is even`), as a table at the end of the file.

`defined` and `undefined` are not functions of a value; the compiler implements them.
"""

from collections.abc import Callable, Mapping

from durable.expressions import operators
from durable.expressions.arguments import Function, require_integer, require_text
from durable.expressions.bounds import Evaluation


def _make_type_test(*kinds: type) -> Function:
    return lambda _, value: type(value) in kinds


def _is_mapping(_: Evaluation, value: object) -> bool:
    return isinstance(value, Mapping)


def _make_identity_test(wanted: bool | None) -> Function:
    return lambda _, value: value is wanted


def _is_divisible(_: Evaluation, value: object, by: object) -> bool:
    return require_integer(value) % require_integer(by) == 0


def _make_parity_test(remainder: int) -> Function:
    return lambda _, value: require_integer(value) % 2 == remainder


def _make_case_test(change: Callable[[str], bool]) -> Function:
    return lambda evaluation, value: change(require_text(evaluation, value))


def _is_start(evaluation: Evaluation, value: object, start: object) -> bool:
    return require_text(evaluation, value).startswith(require_text(evaluation, start))


def _is_end(evaluation: Evaluation, value: object, end: object) -> bool:
    return require_text(evaluation, value).endswith(require_text(evaluation, end))


def _is_in(evaluation: Evaluation, value: object, container: object) -> bool:
    return operators.contains(evaluation, container, value)


TESTS: Mapping[str, Function] = {
    "==": operators.equal,
    "!=": operators.unequal,
    "<": operators.less,
    "<=": operators.less_or_equal,
    ">": operators.greater,
    ">=": operators.greater_or_equal,
    "boolean": _make_type_test(bool),
    "divisibleby": _is_divisible,
    "endswith": _is_end,
    "eq": operators.equal,
    "equalto": operators.equal,
    "even": _make_parity_test(0),
    "false": _make_identity_test(False),
    "float": _make_type_test(float),
    "ge": operators.greater_or_equal,
    "greaterthan": operators.greater,
    "gt": operators.greater,
    "in": _is_in,
    "integer": _make_type_test(int),
    "le": operators.less_or_equal,
    "lessthan": operators.less,
    "list": _make_type_test(list),
    "lower": _make_case_test(str.islower),
    "lt": operators.less,
    "mapping": _is_mapping,
    "ne": operators.unequal,
    "none": _make_identity_test(None),
    "null": _make_identity_test(None),
    "number": _make_type_test(int, float),
    "odd": _make_parity_test(1),
    "sequence": _make_type_test(list),
    "startswith": _is_start,
    "string": _make_type_test(str),
    "true": _make_identity_test(True),
    "upper": _make_case_test(str.isupper),
}
