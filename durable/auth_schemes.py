"""The schemes that sign requests: found by the entry-point group `waypost.auth`, imported when first needed."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any, TypeAlias

from pydantic import BaseModel

from durable.action import Context
from durable.grant import GrantFlow
from durable.lazy import find_entry_points, load_entry_point

GROUP = "waypost.auth"

SignRequest: TypeAlias = Callable[[Context, Any, Any], Awaitable[Any]]
"""Takes the attempt, the scheme's settings and a request (`connectors.auth.request.OutgoingRequest`), and returns the
request to send. Raises `ActionError`."""


@dataclass(frozen=True, slots=True)
class AuthScheme:
    """A scheme of authentication: it adds credentials to requests.

    `name`: its name under `auth`.
    `settings`: the model of its settings. A list or a text alone is a `RootModel`.
    `sign`: returns a request with the credentials added.
    `is_signature`: it signs the request, so it is applied after the schemes that only add something.
    `flow`: how it gets its credentials from the service; None for a scheme whose settings contain them.
    """

    name: str
    settings: type[BaseModel]
    sign: SignRequest
    summary: str = ""
    is_signature: bool = False
    flow: GrantFlow | None = None


@dataclass(frozen=True, slots=True)
class AuthSchemes:
    """The schemes that are loaded, and why others are not; both by name."""

    loaded: Mapping[str, AuthScheme]
    broken: Mapping[str, str] = field(default_factory=dict)


@cache
def load_schemes() -> AuthSchemes:
    """Import every scheme that is installed. One that cannot be imported disables only the connections that use it."""
    loaded: dict[str, AuthScheme] = {}
    broken: dict[str, str] = {}
    for entry in find_entry_points(GROUP):
        try:
            scheme = load_entry_point(entry)
        except (Exception, SystemExit) as error:  # noqa: BLE001  # a plugin may raise anything
            broken[entry.name] = f"{type(error).__name__}: {error}"
            continue
        if not isinstance(scheme, AuthScheme) or scheme.name != entry.name:
            broken[entry.name] = f"{entry.value} is not a durable.auth_schemes.AuthScheme with this name"
        elif entry.name in loaded:
            broken[entry.name] = "several packages have a scheme of this name"
        else:
            loaded[entry.name] = scheme
    return AuthSchemes({name: scheme for name, scheme in loaded.items() if name not in broken}, broken)
