"""The kinds of values that settings have: how each is parsed, and what is said of one that cannot be."""

import ipaddress
import re
from typing import Annotated, Literal, NamedTuple, TypeAlias, get_args
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, Field, PlainValidator, SecretStr, StringConstraints

from durable.durations import Milliseconds
from durable.limit import Rate
from triggers.documents.fields import Scope


class AccessRule(NamedTuple):
    """Gives people of an identity provider a scope: those of whom a claim has a value. The value `*` is any."""

    claim: str
    value: str
    scope: Scope


def _split_list(value: object) -> object:
    return [part for part in re.split(r"[,\s]+", value) if part] if isinstance(value, str) else value


def _parse_destination(text: str) -> str:
    if re.fullmatch(r"[0-9.]+(/.*)?|[0-9a-fA-F.]*:[0-9a-fA-F:.]*(/.*)?", text):
        return str(ipaddress.ip_network(text, strict=False))
    if re.fullmatch(r"\w([\w.-]*\w)?\.?", text):
        return text.lower()
    raise ValueError(f"{text!r} should be a host name or a network, such as crm.internal or 10.0.0.0/8")


def _parse_network(text: str) -> str:
    try:
        return str(ipaddress.ip_network(text, strict=False))
    except ValueError:
        raise ValueError(f"{text!r} should be an address or a network, such as 10.0.0.5 or 10.0.0.0/8") from None


def _check_base_url(text: str) -> str:
    parts = urlsplit(text)
    _ = parts.port  # raises ValueError for one that is none
    if parts.scheme not in {"http", "https"} or not parts.hostname or parts.username or parts.query or parts.fragment:
        raise ValueError("should be an address such as https://waypost.example.com")
    return text.rstrip("/")


def _parse_access_rule(given: object) -> AccessRule:
    if isinstance(given, AccessRule):
        return given
    condition, _, scope = str(given).rpartition(":")
    claim, _, value = condition.partition("=")
    for known in get_args(Scope):
        if claim and value and scope == known:
            return AccessRule(claim, value, known)
    raise ValueError(f"{given!r} should be CLAIM=VALUE:SCOPE, such as groups=ops:admin; scopes are read, start, admin")


def _check_issuer(text: str) -> str:
    parts = urlsplit(text)
    is_local = parts.hostname in {"localhost", "127.0.0.1", "::1"}
    if parts.scheme != "https" and not is_local:
        raise ValueError("should be an https address, such as https://login.example.com")
    return text


def _check_proxy_url(text: str) -> str:
    parts = urlsplit(text)
    if "@" in parts.netloc:
        raise ValueError("should hold no user or password: set WAYPOST_SECRET_EGRESS_PROXY to user:password")
    if parts.scheme != "http" or not parts.hostname or parts.path not in {"", "/"} or parts.query or parts.fragment:
        raise ValueError("should be an address such as http://proxy.internal:3128")
    try:
        is_port = parts.port != 0
    except ValueError:
        is_port = False
    if not is_port:
        raise ValueError("should have a port from 1 to 65535")
    return text


def _check_host(text: str) -> str:
    try:
        text.encode("idna")
    except UnicodeError:
        raise ValueError("should be a host name or an address, such as 127.0.0.1") from None
    if not text.isprintable() or " " in text:
        raise ValueError("should be a host name or an address, such as 127.0.0.1")
    return text


def _check_header_safe(secret: SecretStr) -> SecretStr:
    if not re.fullmatch("[!-~]+", secret.get_secret_value()):
        raise ValueError("should be printable ASCII without spaces, since it travels in a header")
    return secret


def _parse_rate(value: object) -> object:
    if not isinstance(value, str):
        return value
    try:
        return None if value == "none" else Rate.parse(value)
    except ValueError as error:
        raise ValueError(f'{error}, or "none" for no limit') from None


def _reject_database(_: SecretStr) -> SecretStr:
    raise ValueError("only the SQLite file in the data folder can be used so far; leave it unset")


def _lower_case(value: object) -> object:
    return value.lower() if isinstance(value, str) else value


Timeout: TypeAlias = Annotated[Milliseconds, Field(gt=0)]
Destinations: TypeAlias = Annotated[
    tuple[Annotated[str, AfterValidator(_parse_destination)], ...], BeforeValidator(_split_list)
]
Networks: TypeAlias = Annotated[
    tuple[Annotated[str, AfterValidator(_parse_network)], ...], BeforeValidator(_split_list)
]
BaseURL: TypeAlias = Annotated[str, AfterValidator(_check_base_url)]
ProxyURL: TypeAlias = Annotated[str, AfterValidator(_check_proxy_url)]
Issuer: TypeAlias = Annotated[BaseURL, AfterValidator(_check_issuer)]
AccessRules: TypeAlias = Annotated[
    tuple[Annotated[AccessRule, PlainValidator(_parse_access_rule)], ...], BeforeValidator(_split_list)
]
"""Each written as `CLAIM=VALUE:SCOPE`."""

MostOften: TypeAlias = Annotated[Rate | None, BeforeValidator(_parse_rate)]
"""Written as `COUNT/DURATION` or `none`."""

ApiKeySetting: TypeAlias = Annotated[SecretStr, AfterValidator(_check_header_safe)]
DatabaseURL: TypeAlias = Annotated[SecretStr, AfterValidator(_reject_database)]
LogFormat: TypeAlias = Literal["auto", "text", "json"]
LogLevel: TypeAlias = Annotated[Literal["debug", "info", "warning", "error"], BeforeValidator(_lower_case)]
Host: TypeAlias = Annotated[str, StringConstraints(min_length=1), AfterValidator(_check_host)]
