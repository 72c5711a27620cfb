"""The schemes that sign requests: found by the entry-point group `waypost.auth`, imported when first needed."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache

from durable.action import AuthScheme
from durable.lazy import find_entry_points, load_entry_point

GROUP = "waypost.auth"


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
            broken[entry.name] = f"{entry.value} is not a durable.action.AuthScheme with this name"
        elif entry.name in loaded:
            broken[entry.name] = "several packages have a scheme of this name"
        else:
            loaded[entry.name] = scheme
    return AuthSchemes({name: scheme for name, scheme in loaded.items() if name not in broken}, broken)
