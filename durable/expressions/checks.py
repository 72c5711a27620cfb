"""Every test that the language has (`x is even`); what is not in the table at the end does not exist.

`defined` and `undefined` are not functions of a value and belong to the compiler.
"""

from collections.abc import Callable, Mapping

from durable.expressions import operators
from durable.expressions.arguments import Function, text_of, whole_of
from durable.expressions.bounds import Evaluation


def _is(*kinds: type) -> Function:
    return lambda _, value: type(value) in kinds


def _is_mapping(_: Evaluation, value: object) -> bool:
    return isinstance(value, Mapping)


def _is_exactly(wanted: bool | None) -> Function:
    return lambda _, value: value is wanted


def _is_divisible(_: Evaluation, value: object, by: object) -> bool:
    return whole_of(value) % whole_of(by) == 0


def _leaves(remainder: int) -> Function:
    return lambda _, value: whole_of(value) % 2 == remainder


def _is_case(change: Callable[[str], bool]) -> Function:
    return lambda evaluation, value: change(text_of(evaluation, value))


def _starts(evaluation: Evaluation, value: object, start: object) -> bool:
    return text_of(evaluation, value).startswith(text_of(evaluation, start))


def _ends(evaluation: Evaluation, value: object, end: object) -> bool:
    return text_of(evaluation, value).endswith(text_of(evaluation, end))


def _is_in(evaluation: Evaluation, value: object, container: object) -> bool:
    return operators.contains(evaluation, container, value)


TESTS: Mapping[str, Function] = {
    "==": operators.equal,
    "!=": operators.unequal,
    "<": operators.less,
    "<=": operators.less_or_equal,
    ">": operators.greater,
    ">=": operators.greater_or_equal,
    "boolean": _is(bool),
    "divisibleby": _is_divisible,
    "endswith": _ends,
    "eq": operators.equal,
    "equalto": operators.equal,
    "even": _leaves(0),
    "false": _is_exactly(False),
    "float": _is(float),
    "ge": operators.greater_or_equal,
    "greaterthan": operators.greater,
    "gt": operators.greater,
    "in": _is_in,
    "integer": _is(int),
    "le": operators.less_or_equal,
    "lessthan": operators.less,
    "list": _is(list),
    "lower": _is_case(str.islower),
    "lt": operators.less,
    "mapping": _is_mapping,
    "ne": operators.unequal,
    "none": _is_exactly(None),
    "null": _is_exactly(None),
    "number": _is(int, float),
    "odd": _leaves(1),
    "sequence": _is(list),
    "startswith": _starts,
    "string": _is(str),
    "true": _is_exactly(True),
    "upper": _is_case(str.isupper),
}
