"""What expressions are compiled into: functions from an evaluation to a value."""

from collections.abc import Callable, Mapping, Sequence
from typing import NoReturn, TypeAlias

from durable.expressions.bounds import ABSENT, Evaluation, Missing, Refused, cost, plain
from durable.expressions.headers import HeaderName, Headers
from durable.expressions.operators import look_along, look_up, missing

Code: TypeAlias = Callable[[Evaluation], object]

_PLAIN_TYPES = frozenset({str, int, float, bool, type(None), list, dict, Headers})


def scope(evaluation: Evaluation) -> object:
    """The mapping in which names are looked up."""
    return evaluation.scope


class Path:
    """A root with keys behind it; `label` names the root in messages, and is empty where that is the scope.

    `find` gives `ABSENT` where a part is missing, `read` raises `Missing`.
    """

    def __init__(self, root: Code, keys: Sequence[Code], label: str, offset: int) -> None:
        self._root = root
        self._keys = keys
        self._label = label
        self._offset = offset

    def find(self, evaluation: Evaluation) -> object:
        value = self._root(evaluation)
        for key in self._keys:
            value = look_up(value, key(evaluation))
        return value

    def read(self, evaluation: Evaluation) -> object:
        value = self.find(evaluation)
        if value is ABSENT:
            self._raise(self._root(evaluation), [key(evaluation) for key in self._keys])
        return value

    def _raise(self, root: object, keys: Sequence[object]) -> NoReturn:
        if root is ABSENT:
            raise Missing("the list is empty").locate(self._offset)
        raise missing(root, keys, self._label).locate(self._offset)


class Name(Path):
    """A path in the scope whose keys are all known."""

    def __init__(self, keys: Sequence[str | int], offset: int) -> None:
        super().__init__(scope, [], "", offset)
        self._constants = tuple(keys)

    def find(self, evaluation: Evaluation) -> object:
        return look_along(evaluation.scope, self._constants)

    def read(self, evaluation: Evaluation) -> object:
        value = look_along(evaluation.scope, self._constants)
        if value is ABSENT:
            self._raise(evaluation.scope, self._constants)
        return value


class HeadersPath:
    """A path that leads to headers as a whole."""

    __slots__ = ("_path",)

    def __init__(self, path: Path) -> None:
        self._path = path

    def find(self, evaluation: Evaluation) -> object:
        return _as_headers(self._path.find(evaluation))

    def read(self, evaluation: Evaluation) -> object:
        return _as_headers(self._path.read(evaluation))


def _as_headers(value: object) -> object:
    return Headers(value) if type(value) is dict else value


def header_name(key: Code) -> Code:
    """A key that is looked up among headers."""

    def code(evaluation: Evaluation) -> object:
        name = key(evaluation)
        return HeaderName(name) if type(name) is str else name

    return code


def apply(function: Callable[..., object], operands: Sequence[Code], named: Mapping[str, Code], offset: int) -> Code:
    """An operator, a filter or a test: its result is charged, and its errors get their place."""

    def code(evaluation: Evaluation) -> object:
        values = [_data(evaluation, operand(evaluation)) for operand in operands]
        more = {name: _data(evaluation, operand(evaluation)) for name, operand in named.items()}
        try:
            made = function(evaluation, *values, **more)
            evaluation.charge(cost(made))
        except Refused as refused:
            refused.locate(offset)
            raise
        except ZeroDivisionError:
            raise Refused("this divides by zero", offset) from None
        except OverflowError:
            raise Refused("the result is too large a number", offset) from None
        except (TypeError, ValueError) as error:
            raise Refused(str(error), offset) from None
        return made

    return code


def _data(evaluation: Evaluation, value: object) -> object:
    """A value that can be worked on: what is lazy is made plain."""
    return value if type(value) in _PLAIN_TYPES else plain(evaluation, value)


def constant(value: object) -> Code:
    return lambda evaluation: value


def listed(items: Sequence[Code]) -> Code:
    return lambda evaluation: [_data(evaluation, item(evaluation)) for item in items]


def mapped(pairs: Sequence[tuple[Code, Code]], offset: int) -> Code:
    def code(evaluation: Evaluation) -> object:
        made: dict[str, object] = {}
        for read_key, read_value in pairs:
            key = read_key(evaluation)
            if type(key) is not str:
                raise Refused("the keys of a mapping are texts", offset)
            made[key] = _data(evaluation, read_value(evaluation))
        return made

    return code


def both(left: Code, right: Code) -> Code:
    return lambda evaluation: left(evaluation) and right(evaluation)


def either(left: Code, right: Code) -> Code:
    return lambda evaluation: left(evaluation) or right(evaluation)


def opposite(operand: Code) -> Code:
    return lambda evaluation: not operand(evaluation)


def choice(test: Code, then: Code, otherwise: Code) -> Code:
    return lambda evaluation: then(evaluation) if test(evaluation) else otherwise(evaluation)


def is_defined(find: Code, wanted: bool) -> Code:
    return lambda evaluation: (find(evaluation) is not ABSENT) is wanted


def or_default(find: Code, default: Code, boolean: Code) -> Code:
    def code(evaluation: Evaluation) -> object:
        value = find(evaluation)
        is_kept = value is not ABSENT and (value or not boolean(evaluation))
        return value if is_kept else default(evaluation)

    return code


def not_absent(find: Code, message: str, offset: int) -> Code:
    def code(evaluation: Evaluation) -> object:
        value = find(evaluation)
        if value is ABSENT:
            raise Missing(message).locate(offset)
        return value

    return code
