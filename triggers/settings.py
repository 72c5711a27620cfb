"""Settings: `settings.toml` in the config folder, overridden by `WAYPOST_<NAME>` variables, overridden by options.

SettingsError        what is wrong, a line for every problem, with the place where it was set
"""

import os
import secrets
import tomllib
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Annotated, NamedTuple, Self

from pydantic import (
    BaseModel,
    Field,
    PrivateAttr,
    SecretStr,
    StringConstraints,
    ValidationError,
)
from pydantic_core import ErrorDetails

from durable.durations import Milliseconds, parse_duration
from durable.limit import Rate
from durable.retention import Age, RetentionPolicy
from durable.secrets import PREFIX as SECRET_PREFIX
from durable.service_variables import describes_known_service, is_service_variable
from durable.wording import explain_error, find_nearest
from triggers.instance import KEY_FILE, SETTINGS_FILE
from triggers.setting_kinds import (
    AccessRules,
    ApiKeySetting,
    BaseURL,
    DatabaseURL,
    Destinations,
    Host,
    Issuer,
    LogFormat,
    LogLevel,
    MostOften,
    Networks,
    ProxyURL,
    Timeout,
)

PREFIX = "WAYPOST_"

PLACES = frozenset({"WAYPOST_CONFIG", "WAYPOST_DATA"})
"""Variables that say where settings and data are, and so cannot be settings themselves."""

LARGEST = 10_000_000
"""What a count can be at most: more than any machine has room for."""

_PROXIES = frozenset({"HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"})

CONFIDENTIAL = frozenset({"api_key", "database_url", "egress_proxy", "store_key"})
"""Settings whose values no message shows."""


class SettingsError(Exception):
    """The settings cannot be used; the message has a line for every problem."""


# -- the settings -----------------------------------------------------------------------------------------------


class Settings(BaseModel, frozen=True, extra="forbid"):
    """What an operator can set. Times are milliseconds here; `unknown` has a warning for every variable that looks
    like a setting and is none, and for the proxies that are not used."""

    host: Host = Field(
        "127.0.0.1",
        description="The address to listen on. To be reachable from other machines, put a proxy with TLS in front.",
    )
    port: int = Field(8400, ge=0, le=65535, description="The port to listen on; 0 picks a free one.")
    public_url: BaseURL | None = Field(None, description="The public address of this service, for links in messages.")
    database_url: DatabaseURL | None = Field(
        None, description="A database other than the SQLite file in the data folder; none is supported yet."
    )
    api_key: ApiKeySetting | None = Field(
        None, description="The key for the API; if unset, a generated key is kept in the data folder."
    )
    oidc_issuer: Issuer | None = Field(
        None, description="The OpenID Connect provider at which people sign in to the dashboard, beside API keys."
    )
    oidc_client_id: Annotated[str, StringConstraints(min_length=1)] | None = Field(
        None,
        description="The id of this service there; the secret OIDC_CLIENT_SECRET contains its client secret, if it has"
        " one.",
    )
    oidc_access: AccessRules = Field(
        (),
        description="Who may do what, as CLAIM=VALUE:SCOPE; the highest scope that applies counts, and nobody else may"
        " sign in.",
    )
    store_key: SecretStr | None = Field(
        None,
        description="The key that encrypts stored secrets and tokens; during a rotation the new key, a space and the"
        " old one.",
    )
    store_key_file: Annotated[str, StringConstraints(min_length=1)] | None = Field(
        None,
        description="The file of that key, outside of the data folder; `waypost secrets key new FILE` makes one.",
    )
    egress_allow: Destinations = Field(
        (), description="Private hosts and networks that steps may call; all other private addresses are refused."
    )
    egress_proxy: ProxyURL | None = Field(
        None,
        description="The HTTP proxy for the requests of steps; the secret EGRESS_PROXY contains its user:password.",
    )
    egress_proxy_except: Destinations = Field(
        (), description="Hosts (including their subdomains) and networks that steps call without the proxy."
    )
    max_body_bytes: int = Field(
        1024 * 1024, gt=0, le=2**40, description="The largest request body that is accepted; larger ones get 413."
    )
    body_timeout: Timeout = Field(
        parse_duration("15s"),
        description="How long the body of a request may take to arrive.",
    )
    max_connections: int = Field(
        8_192,
        gt=0,
        le=LARGEST,
        description="How many connections are served at once; further ones get 503.",
    )
    max_delivery_bytes: int = Field(
        1024 * 1024,
        ge=0,
        le=2**40,
        description="How many bytes of a request on a webhook are kept, so that it can be read and replayed; of a"
        " larger one the body is not kept.",
    )
    max_deliveries_bytes: int = Field(
        1024 * 1024 * 1024,
        ge=0,
        le=2**50,
        description="The total size in bytes of the requests that are kept; beyond that the oldest are dropped.",
    )
    max_rejected_bytes: int = Field(
        64 * 1024 * 1024,
        ge=0,
        le=2**50,
        description="The same for rejected requests, which anyone can send.",
    )
    trusted_proxies: Networks = Field(
        (),
        description="Addresses and networks of the proxies in front, whose X-Forwarded-For says where a request comes"
        " from.",
    )
    webhook_rate: MostOften = Field(
        Rate.parse("60000/1m"),
        description="How many genuine requests a webhook accepts at once, and again in that time; further ones get 429."
        ' "none" is no limit.',
    )
    address_rate: MostOften = Field(
        Rate.parse("60000/1m"),
        description="The same for all requests on webhooks from one address; see trusted_proxies.",
    )
    keyless_rate: MostOften = Field(
        Rate.parse("6000/1m"),
        description="The same for requests without a valid key from one address, except to webhooks, /health, /ready"
        " and /metrics.",
    )
    max_streams: int = Field(
        2_000,
        gt=0,
        le=LARGEST,
        description="How many streams of runs are open at once, over SSE and WebSocket; further ones get 503.",
    )
    max_attempts_in_flight: int = Field(
        256,
        gt=0,
        le=LARGEST,
        description="How many attempts run at once, shared fairly between pipelines and services; further ones wait,"
        " and their timeouts do not run meanwhile.",
    )
    max_live_runs: int = Field(
        10_000,
        gt=0,
        le=LARGEST,
        description="How many unfinished runs are in memory at most, shared fairly between pipelines; further ones wait"
        " in the journal.",
    )
    recovery_limit: int = Field(
        5,
        gt=0,
        le=LARGEST,
        description="How often a run is recovered without any progress before it is paused.",
    )
    max_runs_per_event: int = Field(
        10_000,
        gt=0,
        le=LARGEST,
        description="How many runs one event may start through the events and calls of its runs, so that a cycle of"
        " pipelines ends; a step that would start more fails.",
    )
    drain_timeout: Milliseconds = Field(
        parse_duration("30s"),
        description="How long a stopping service waits for attempts in progress; the rest continues at the next start.",
    )
    run_timeout: Timeout = Field(
        parse_duration("90d"), description="The timeout of runs whose pipeline has none; waiting counts."
    )
    retention_completed: Age = Field(
        parse_duration("30d"),
        description='How long completed runs are kept after their end, unless their pipeline says otherwise; "forever"'
        " keeps them.",
    )
    retention_failed: Age = Field(parse_duration("90d"), description="The same for failed runs.")
    retention_cancelled: Age = Field(parse_duration("30d"), description="The same for cancelled runs.")
    retention_max_runs: int | None = Field(
        None,
        ge=0,
        le=LARGEST,
        description="The maximum number of ended runs that are kept for a pipeline; unset means unlimited.",
    )
    retention_deliveries: Age = Field(
        parse_duration("30d"), description="How long requests to webhooks are kept, whatever their outcome."
    )
    retention_events: Age = Field(
        parse_duration("30d"),
        description="How long events that started no run are kept; other events are kept as long as their runs.",
    )
    retention_audit: Age = Field(
        parse_duration("365d"), description="How long rows of the audit log are kept: who did what, and when."
    )
    otel_endpoint: BaseURL | None = Field(
        None,
        description="Where traces of runs are sent, by OTLP over HTTP; the secret OTEL_HEADERS contains the headers for"
        " it, as name=value,name=value.",
    )
    otel_service_name: Annotated[str, StringConstraints(min_length=1)] | None = Field(
        None, description="The name of this service in traces; if unset, OTEL_SERVICE_NAME or waypost."
    )
    log_format: LogFormat = Field(
        "auto", description="text for people, json for programs; auto means text on a terminal and json elsewhere."
    )
    log_level: LogLevel = Field("info", description="The lowest level that is logged: debug, info, warning or error.")
    _unknown: tuple[str, ...] = PrivateAttr(())
    _links: tuple[str, ...] = PrivateAttr(())

    @property
    def unknown(self) -> tuple[str, ...]:
        return self._unknown

    @property
    def url(self) -> str | None:
        """Where a service with these settings is reached; None if it will choose a free port."""
        return self.public_url or (make_url(self.host, self.port) if self.port else None)

    @property
    def retention(self) -> RetentionPolicy:
        """How long the runs of a pipeline are kept whose file says nothing about it."""
        return RetentionPolicy(
            self.retention_completed, self.retention_failed, self.retention_cancelled, self.retention_max_runs
        )

    @property
    def service_variables(self) -> tuple[str, ...]:
        """The variables that Kubernetes or Docker set for a service of a name like ours; they are no settings."""
        return self._links

    @classmethod
    def load(cls, config: Path, environment: Mapping[str, str], overrides: Mapping[str, object]) -> Self:
        """Read them; raises `SettingsError`. A variable that is empty and an override of None count as unset."""
        links = _find_service_variables(environment)
        environment = {name: value for name, value in environment.items() if name not in links}
        own = [name for name in environment if name.startswith(PREFIX) and not name.startswith(SECRET_PREFIX)]
        if unreadable := [name for name in own if _is_bytes(environment[name])]:
            raise SettingsError("\n".join(f"{name}: it is not UTF-8 text" for name in sorted(unreadable)))
        given = _read_file(config / SETTINGS_FILE) | _read_environment(environment) | _read_options(overrides)
        problems = [_describe_unknown(name, each.where) for name, each in given.items() if name not in cls.model_fields]
        if problems:
            raise SettingsError("\n".join(problems))
        try:
            settings = cls.model_validate({name: each.value for name, each in given.items()})
        except ValidationError as error:
            raise SettingsError("\n".join(_describe_problem(each, given) for each in error.errors())) from None
        settings._unknown = (*_list_unknown_variables(environment), *_list_ignored_proxies(environment, settings))
        settings._links = links
        return settings


_LOCAL = {"0.0.0.0": "127.0.0.1", "::": "::1"}
"""Where this machine reaches a service that listens on every address."""


def make_url(host: str, port: int) -> str:
    """The URL at which this machine reaches a service that listens on an address."""
    host = _LOCAL.get(host, host)
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


class SettingValue(NamedTuple):
    """A value, and where it was set."""

    value: object
    where: str


def _read_file(path: Path) -> dict[str, SettingValue]:
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise SettingsError(f"{path} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise SettingsError(f"{path} is not UTF-8 text") from None
    except tomllib.TOMLDecodeError as error:
        raise SettingsError(f"{path} is not TOML: {error}") from None
    return {name: SettingValue(value, str(path)) for name, value in values.items()}


def _read_environment(environment: Mapping[str, str]) -> dict[str, SettingValue]:
    variables = {name: _name_variable(name) for name in Settings.model_fields}
    return {
        name: SettingValue(environment[variable], variable)
        for name, variable in variables.items()
        if environment.get(variable, "").strip()
    }


def _read_options(overrides: Mapping[str, object]) -> dict[str, SettingValue]:
    return {
        name: SettingValue(value, f"--{name.replace('_', '-')}")
        for name, value in overrides.items()
        if value is not None
    }


def _describe_problem(error: ErrorDetails, given: Mapping[str, SettingValue]) -> str:
    name = str(error["loc"][0])
    value, where = given[name]
    shown = "" if name in CONFIDENTIAL else f" is {str(value)[:80]!r}"
    return f"{where}: {name}{shown}: {explain_error(error)}"


def _describe_unknown(name: str, where: str) -> str:
    return f"{where}: {name[:80]!r} is not a setting{_suggest(name, str)}"


def _list_unknown_variables(environment: Mapping[str, str]) -> Iterable[str]:
    known = {_name_variable(name) for name in Settings.model_fields} | PLACES
    for variable in sorted(environment):
        if variable.startswith(PREFIX) and not variable.startswith(SECRET_PREFIX) and variable not in known:
            yield f"{variable} is not a setting{_suggest(variable.removeprefix(PREFIX).lower(), _name_variable)}"


def _is_bytes(value: str) -> bool:
    """Whether a variable is no text, but bytes that are not UTF-8."""
    return any("\ud800" <= char <= "\udfff" for char in value)


def _find_service_variables(environment: Mapping[str, str]) -> tuple[str, ...]:
    """The variables that are no settings, but describe a service. What looks like one may well be a secret."""
    named = sorted(name for name in environment if name.startswith(PREFIX))
    secrets = {
        name for name in named if name.startswith(SECRET_PREFIX) and not describes_known_service(name, environment)
    }
    return tuple(name for name in named if is_service_variable(name, environment[name]) and name not in secrets)


def _list_ignored_proxies(environment: Mapping[str, str], settings: Settings) -> Iterable[str]:
    """Other programs take their proxy from these; a service does only what its settings say."""
    ignored = [name for name in sorted(environment) if name.upper() in _PROXIES and environment[name].strip()]
    if ignored and settings.egress_proxy is None:
        yield f"{', '.join(ignored)}: not read; for steps to call through a proxy, set WAYPOST_EGRESS_PROXY"


def _suggest(name: str, written: Callable[[str], str]) -> str:
    near = find_nearest(name, Settings.model_fields)
    return f"; did you mean {written(near)}" if near else ""


def _name_variable(name: str) -> str:
    return PREFIX + name.upper()


# -- the API key ------------------------------------------------------------------------------------------------


def load_api_key(data_folder: Path, settings: Settings) -> tuple[str, Path | None]:
    """The key that callers of the API present, and the file that keeps it if it is not set but generated.

    The first call makes the file in the data folder, readable by its owner only; raises `SettingsError`.
    """
    if settings.api_key:
        return settings.api_key.get_secret_value(), None
    path = data_folder / KEY_FILE
    try:
        _make_key(path)
        key = path.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"the API key's file {path} cannot be used: {error}") from None
    if not key:
        raise SettingsError(f"the API key's file {path} is empty: delete it to have a new key generated")
    return key, path


def _make_key(path: Path) -> None:
    """Create the file with mode 0600, unless it exists. `O_EXCL` excludes a race with another process."""
    try:
        file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return
    with os.fdopen(file, "w", encoding="ascii") as writer:
        writer.write(f"wp_{secrets.token_urlsafe(32)}\n")
        writer.flush()
        os.fsync(writer.fileno())
