"""Builds the functions that expressions are compiled to: each takes an evaluation and returns a value."""

from collections.abc import Callable, Mapping, Sequence
from typing import NoReturn, TypeAlias

from durable.expressions.bounds import ABSENT, Evaluation, EvaluationError, MissingName, cost_of, to_json
from durable.expressions.headers import HeaderName, Headers
from durable.expressions.operators import explain_missing, look_along, look_up

Code: TypeAlias = Callable[[Evaluation], object]

_PLAIN_TYPES = frozenset({str, int, float, bool, type(None), list, dict, Headers})


def read_scope(evaluation: Evaluation) -> object:
    """Return the mapping in which names are looked up."""
    return evaluation.scope


class Path:
    """A root, followed by keys. `label` names the root in messages; it is empty if the root is the scope.

    `find` returns `ABSENT` if a part is missing; `read` raises `MissingName`.
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
            if evaluation.is_lenient:
                return None
            self._raise(self._root(evaluation), [key(evaluation) for key in self._keys])
        return value

    def _raise(self, root: object, keys: Sequence[object]) -> NoReturn:
        if root is ABSENT:
            raise MissingName("the list is empty").locate(self._offset)
        raise explain_missing(root, keys, self._label).locate(self._offset)


class Name(Path):
    """A path in the scope whose keys are all constant."""

    def __init__(self, keys: Sequence[str | int], offset: int) -> None:
        super().__init__(read_scope, [], "", offset)
        self._constants = tuple(keys)

    def find(self, evaluation: Evaluation) -> object:
        return look_along(evaluation.scope, self._constants)

    def read(self, evaluation: Evaluation) -> object:
        value = look_along(evaluation.scope, self._constants)
        if value is ABSENT:
            if evaluation.is_lenient:
                return None
            self._raise(evaluation.scope, self._constants)
        return value


class HeadersPath:
    """A path to a mapping of headers."""

    __slots__ = ("_path",)

    def __init__(self, path: Path) -> None:
        self._path = path

    def find(self, evaluation: Evaluation) -> object:
        return _as_headers(self._path.find(evaluation))

    def read(self, evaluation: Evaluation) -> object:
        return _as_headers(self._path.read(evaluation))


def _as_headers(value: object) -> object:
    return Headers(value) if type(value) is dict else value


def build_header_name(key: Code) -> Code:
    """Build a key for a look-up in headers."""

    def code(evaluation: Evaluation) -> object:
        name = key(evaluation)
        return HeaderName(name) if type(name) is str else name

    return code


def build_call(
    function: Callable[..., object], operands: Sequence[Code], named: Mapping[str, Code], offset: int
) -> Code:
    """Build the call of an operator, a filter or a test. Its result is charged, and its errors get the offset."""

    def code(evaluation: Evaluation) -> object:
        values = [_make_plain(evaluation, operand(evaluation)) for operand in operands]
        more = {name: _make_plain(evaluation, operand(evaluation)) for name, operand in named.items()}
        try:
            made = function(evaluation, *values, **more)
            evaluation.charge(cost_of(made))
        except EvaluationError as error:
            error.locate(offset)
            raise
        except ZeroDivisionError:
            raise EvaluationError("this divides by zero", offset) from None
        except OverflowError:
            raise EvaluationError("the result is too large a number", offset) from None
        except (TypeError, ValueError) as error:
            raise EvaluationError(str(error), offset) from None
        return made

    return code


def _make_plain(evaluation: Evaluation, value: object) -> object:
    """Convert lazy values to plain ones, so that operators can process them."""
    return value if type(value) in _PLAIN_TYPES else to_json(evaluation, value)


def build_constant(value: object) -> Code:
    return lambda evaluation: value


def build_list(items: Sequence[Code]) -> Code:
    return lambda evaluation: [_make_plain(evaluation, item(evaluation)) for item in items]


def build_mapping(pairs: Sequence[tuple[Code, Code]], offset: int) -> Code:
    def code(evaluation: Evaluation) -> object:
        made: dict[str, object] = {}
        for read_key, read_value in pairs:
            key = read_key(evaluation)
            if type(key) is not str:
                raise EvaluationError("the keys of a mapping are texts", offset)
            made[key] = _make_plain(evaluation, read_value(evaluation))
        return made

    return code


def build_and(left: Code, right: Code) -> Code:
    return lambda evaluation: left(evaluation) and right(evaluation)


def build_or(left: Code, right: Code) -> Code:
    return lambda evaluation: left(evaluation) or right(evaluation)


def build_not(operand: Code) -> Code:
    return lambda evaluation: not operand(evaluation)


def build_choice(test: Code, then: Code, otherwise: Code) -> Code:
    return lambda evaluation: then(evaluation) if test(evaluation) else otherwise(evaluation)


def build_is_defined(find: Code, wanted: bool) -> Code:
    return lambda evaluation: (find(evaluation) is not ABSENT) is wanted


def build_default(find: Code, default: Code, boolean: Code) -> Code:
    def code(evaluation: Evaluation) -> object:
        value = find(evaluation)
        is_kept = value is not ABSENT and (value or not boolean(evaluation))
        return value if is_kept else default(evaluation)

    return code


def build_required(find: Code, message: str, offset: int) -> Code:
    def code(evaluation: Evaluation) -> object:
        value = find(evaluation)
        if value is ABSENT:
            if evaluation.is_lenient:
                return None
            raise MissingName(message).locate(offset)
        return value

    return code
