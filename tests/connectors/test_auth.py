"""Schemes that sign requests: what each adds to a request, and which one a connection uses."""

from pathlib import Path
from typing import Any

import pytest

from connectors.auth.request import OutgoingRequest
from connectors.auth.sign import sign_request
from durable.action import ActionError, Context
from durable.auth_schemes import GROUP, load_schemes
from durable.connection_auth import AuthUnfit, ConnectionAuth
from durable.redactor import Redactor
from durable.schema_model import make_inputs_schema, make_model
from tests.plugins import install

pytestmark = pytest.mark.anyio

FIELDS = make_model(
    "Fields",
    make_inputs_schema(
        {
            "token": {"type": ["string", "null"], "default": None},
            "user": {"type": ["string", "null"], "default": None},
            "password": {"type": ["string", "null"], "default": None},
        }
    ),
)
WAYS: list[dict[str, Any]] = [
    {"bearer": "{{ connection.token }}"},
    {"basic": {"username": "{{ connection.user }}/token", "password": "{{ connection.password }}"}},
]


def test_every_scheme_that_ships_is_installed() -> None:
    schemes = load_schemes()
    assert schemes.broken == {}
    assert schemes.loaded.keys() >= {
        "aws_sigv4",
        "basic",
        "bearer",
        "client_certificate",
        "header",
        "hmac",
        "oauth2",
        "query",
    }


PLUGIN = """
from pydantic import RootModel
from durable.auth_schemes import AuthScheme

async def sign(context, settings, request):
    return request.with_headers({"x-dpop": settings.root})

DPOP = AuthScheme("dpop", RootModel[str], sign)
OTHER = AuthScheme("other", RootModel[str], sign)
"""


async def test_a_package_adds_schemes_and_a_broken_one_disables_only_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, context: Context
) -> None:
    points = {
        "dpop": "waypost_dpop:DPOP",
        "bearer": "waypost_dpop:DPOP",
        "wrong": "waypost_dpop:OTHER",
        "gone": "waypost_dpop:GONE",
    }
    install(tmp_path, "waypost-dpop", points, {"waypost_dpop": PLUGIN}, group=GROUP)
    monkeypatch.syspath_prepend(tmp_path)
    load_schemes.cache_clear()
    try:
        schemes = load_schemes()
        context.auth = {"dpop": "canary", "basic": {"username": "u"}}
        signed = await sign_request(context, REQUEST)
    finally:
        load_schemes.cache_clear()
    assert signed.headers == {"Accept": "x", "authorization": "Basic dTo=", "x-dpop": "canary"}
    assert "wrong" not in schemes.loaded
    assert "has no attribute 'GONE'" in schemes.broken["gone"]
    assert "is not a durable.auth_schemes.AuthScheme with this name" in schemes.broken["wrong"]


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"token": "t"}, {"bearer": "t"}),
        ({"token": "t", "user": "u", "password": "p"}, {"bearer": "t"}),
        ({"user": "u", "password": "p"}, {"basic": {"username": "u/token", "password": "p"}}),
        ({"user": "u"}, {}),
        ({}, {}),
    ],
)
def test_the_first_way_applies_whose_names_the_connection_gives(
    given: dict[str, Any], expected: dict[str, Any]
) -> None:
    chosen = ConnectionAuth.parse(WAYS).choose(FIELDS.model_validate(given))
    assert {name: settings.model_dump() for name, settings in chosen.items()} == expected


@pytest.mark.parametrize(
    ("ways", "expected"),
    [
        ([{"kerberos": {}}], "'kerberos' is not installed"),
        ([{"basic": {"username": "{{ connection.token }}:", "pasword": "x"}}], "does not accept pasword, username"),
        ([{"bearer": "{{ connection.token / 0 }}"}], "cannot be evaluated: 'connection.token / 0' fails"),
        ([{"bearer": "{{ connection.token | int }}"}], "cannot be evaluated"),
        ([{"bearer": "{{ connection. }}"}], "invalid expression"),
    ],
)
def test_unfit_settings_are_refused_without_their_values(ways: list[dict[str, Any]], expected: str) -> None:
    with pytest.raises(AuthUnfit, match=expected) as caught:
        ConnectionAuth.parse(ways).choose(FIELDS.model_validate({"token": "canary"}))
    assert "canary" not in str(caught.value)


REQUEST = OutgoingRequest("GET", "https://api.example.com/v1/a", {"Accept": "x"}, {"q": 1})


@pytest.mark.parametrize(
    ("auth", "headers", "params"),
    [
        ({}, {}, {}),
        ({"bearer": "t"}, {"authorization": "Bearer t"}, {}),
        ({"basic": {"username": "ü", "password": "p:w"}}, {"authorization": "Basic w7w6cDp3"}, {}),
        ({"basic": {"username": "key"}}, {"authorization": "Basic a2V5Og=="}, {}),
        ({"header": {"X-Api-Key": "k", "x-app": "a"}}, {"X-Api-Key": "k", "x-app": "a"}, {}),
        ({"query": {"api_key": "k&"}}, {}, {"api_key": "k&"}),
        ({"header": {"x": "1"}, "query": {"y": "2"}}, {"x": "1"}, {"y": "2"}),
    ],
)
async def test_a_scheme_adds_its_credentials(
    context: Context, auth: dict[str, Any], headers: dict[str, str], params: dict[str, str]
) -> None:
    context.auth = auth
    signed = await sign_request(context, REQUEST)
    assert (signed.headers, signed.params) == ({"Accept": "x"} | headers, {"q": 1} | params)


async def test_credentials_replace_headers_of_the_same_name(context: Context) -> None:
    context.auth = {"bearer": "t"}
    signed = await sign_request(context, OutgoingRequest("GET", "https://a.b", {"Authorization": "mine"}))
    assert signed.headers == {"authorization": "Bearer t"}


async def test_a_derived_credential_is_redacted(context: Context) -> None:
    context.redactor = Redactor(["pw"])
    context.auth = {"basic": {"username": "u", "password": "pw"}}
    signed = await sign_request(context, REQUEST)
    assert context.redactor.redact_text(signed.headers["authorization"]) == "Basic ***"


async def test_an_unknown_scheme_sends_nothing(context: Context) -> None:
    context.auth = {"kerberos": "canary"}
    with pytest.raises(ActionError, match="'kerberos' is not installed") as caught:
        await sign_request(context, REQUEST)
    assert (caught.value.ending, "canary" in str(caught.value)) == ("not_sent", False)
