"""Parameters of a query and fields of a form whose values are lists or mappings.

`deep` writes `a[b][c]=1` and `a[0]=1`, which is OpenAPI's deepObject; `repeat` repeats the name for each item of a
list; `comma`, `space` and `pipe` join the items. Null is left out everywhere.
"""

from collections.abc import Iterator, Mapping

import msgspec

from connectors.declared.compiled import ParameterStyle
from connectors.wire.errors import InvalidRequest
from connectors.wire.url import Scalar
from durable import wording
from durable.values import JSON

_SEPARATORS = {"comma": ",", "space": " ", "pipe": "|"}


def make_params(
    given: Mapping[str, JSON], styles: Mapping[str, ParameterStyle], default: ParameterStyle
) -> dict[str, Scalar | list[Scalar]]:
    """Return the parameters as names with scalars; a list repeats its name. Mappings are always written `deep`. Raises
    `InvalidRequest`."""
    made: dict[str, Scalar | list[Scalar]] = {}
    for name, value in given.items():
        made |= _write_parameter(name, value, styles.get(name, default))
    return made


def _write_parameter(name: str, value: JSON, style: ParameterStyle) -> dict[str, Scalar | list[Scalar]]:
    match value:
        case None:
            return {}
        case list() if style in _SEPARATORS:
            items = _list_scalars(name, value)
            return {name: _SEPARATORS[style].join(map(_to_text, items))} if items else {}
        case list() if style == "repeat" and not any(isinstance(item, dict | list) for item in value):
            return {name: _list_scalars(name, value)}
        case list() | dict():
            return dict(_flatten(name, value))
        case _:
            return {name: value}


def _list_scalars(name: str, items: list[JSON]) -> list[Scalar]:
    scalars: list[Scalar] = []
    for item in items:
        if isinstance(item, dict | list):
            kind = wording.name_kind(item)
            raise InvalidRequest(
                f"the items of the parameter {wording.quote(name)} must be texts or numbers, not {kind}"
            )
        if item is not None:
            scalars.append(item)
    return scalars


def _flatten(name: str, value: JSON) -> Iterator[tuple[str, Scalar]]:
    match value:
        case dict():
            for key, item in value.items():
                yield from _flatten(f"{name}[{key}]", item)
        case list():
            for index, item in enumerate(value):
                yield from _flatten(f"{name}[{index}]", item)
        case None:
            return
        case _:
            yield name, value


def _to_text(value: Scalar) -> str:
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()
