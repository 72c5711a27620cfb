"""How the connections of a connector sign requests: the schemes that it declares, with a connection's fields in their
settings.

    AuthUnfit        settings that a scheme rejects once the connection's fields are filled in
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Self

from pydantic import BaseModel, Field, ValidationError, create_model, model_validator

from durable.auth_schemes import load_schemes
from durable.expressions.expression import ExpressionError
from durable.expressions.template import Template
from durable.grant import GrantFlow


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
                except ExpressionError as error:  # its message may quote the beginning of a secret
                    raise AuthUnfit(f"its credentials cannot be evaluated: '{error.expression}' fails") from None
                assert isinstance(rendered, dict)
                return {name: read_settings(name, settings) for name, settings in rendered.items()}
        return {}


class AuthField(BaseModel, extra="forbid"):
    """How a connection signs its requests: schemes by name with their settings, all of which apply."""

    @property
    def settings(self) -> Mapping[str, BaseModel]:
        """The settings of the given schemes, by name."""
        return {name: getattr(self, name) for name in type(self).model_fields if name in self.model_fields_set}

    @model_validator(mode="after")
    def check_given(self) -> Self:
        if not self.model_fields_set:
            raise ValueError(f"name a scheme: {', '.join(sorted(type(self).model_fields))}")
        return self


@cache
def add_auth_field(model: type[BaseModel]) -> type[BaseModel]:
    """Return the model of connections that say themselves, under `auth`, how their requests are signed."""
    schemes = load_schemes().loaded.items()
    fields: dict[str, Any] = {
        name: (scheme.settings, Field(default=None, description=scheme.summary)) for name, scheme in schemes
    }
    auth = create_model("Auth", __base__=AuthField, __doc__=AuthField.__doc__, **fields)
    field: Any = auth, Field(default=None, description="How requests are signed: schemes with their settings")
    return create_model(model.__name__, __base__=model, __doc__=model.__doc__, auth=field)


@dataclass(frozen=True, slots=True)
class LoginWay:
    """How a connection is logged in: the flow of its scheme, with its settings."""

    flow: GrantFlow
    settings: BaseModel

    @property
    def identity(self) -> str:
        return self.flow.identify(self.settings)


def find_login(auth: Mapping[str, BaseModel]) -> LoginWay | None:
    """Return how a connection with these schemes is logged in; None if it needs no login."""
    schemes = load_schemes().loaded
    for name, settings in auth.items():
        flow = schemes[name].flow if name in schemes else None
        if flow is not None and flow.needs_login(settings):
            return LoginWay(flow, settings)
    return None


def read_settings(name: str, settings: Any) -> BaseModel:
    """Return the settings of a scheme as an instance of its model; raises `AuthUnfit`."""
    schemes = load_schemes()
    scheme = schemes.loaded.get(name)
    if scheme is None:
        raise AuthUnfit(f"the authentication {name!r} is not installed{_explain(schemes.broken.get(name))}")
    if isinstance(settings, scheme.settings):
        return settings
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
