"""How the connections of a connector sign requests: the schemes that it declares, with a connection's fields in their
settings.

    AuthUnfit        settings that a scheme rejects once the connection's fields are filled in
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ValidationError

from durable.auth_schemes import load_schemes
from durable.expressions.expression import ExpressionError
from durable.expressions.template import Template


class AuthUnfit(ValueError):
    """Settings that a scheme rejects, or a scheme that is not installed; the message contains no values."""


@dataclass(frozen=True, slots=True)
class ConnectionAuth:
    """The ways in which the connections of a connector sign requests, compiled. The first is used whose names the
    connection gives."""

    ways: Sequence[Template]

    @classmethod
    def parse(cls, ways: Sequence[Mapping[str, Any]]) -> "ConnectionAuth":
        """Compile `Connector.auth`; raises `AuthUnfit`."""
        try:
            return cls([Template.parse(dict(way)) for way in ways])
        except ExpressionError as error:
            raise AuthUnfit(f"its connector's `auth` has an invalid expression: {error.message}") from None

    def choose(self, fields: BaseModel) -> Mapping[str, BaseModel]:
        """Return the schemes that sign a connection's requests, with their settings; empty if its fields suffice for
        none. Raises `AuthUnfit`."""
        scope = {"connection": fields.model_dump(mode="json", by_alias=True)}
        for way in self.ways:
            if all(_is_given(scope, name) for name in way.names):
                try:
                    rendered, _ = way.render(scope)
                except ExpressionError as error:
                    raise AuthUnfit(f"its credentials cannot be evaluated: {error.message}") from None
                assert isinstance(rendered, dict)
                return {name: read_settings(name, settings) for name, settings in rendered.items()}
        return {}


def read_settings(name: str, settings: Any) -> BaseModel:
    """Return the settings of a scheme as an instance of its model; raises `AuthUnfit`."""
    schemes = load_schemes()
    scheme = schemes.loaded.get(name)
    if scheme is None:
        raise AuthUnfit(f"the authentication {name!r} is not installed{_explain(schemes.broken.get(name))}")
    try:
        return scheme.settings.model_validate(settings)
    except ValidationError as error:
        fields = ", ".join(sorted({".".join(map(str, each["loc"])) or "its value" for each in error.errors()}))
        raise AuthUnfit(f"the authentication {name!r} does not accept {fields}") from None  # the values may be secret


def _explain(why: str | None) -> str:
    return f": {why}" if why else ""


def _is_given(scope: Mapping[str, Any], name: Sequence[str]) -> bool:
    value: Any = scope
    for part in name:
        value = value.get(part) if isinstance(value, Mapping) else None
    return value is not None
