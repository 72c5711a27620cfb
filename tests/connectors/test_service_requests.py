"""`context.http`: requests to the service of a step's connection, as authors of Python connectors send them."""

import dataclasses
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from pydantic import BaseModel

from connectors.auth.basic import BASIC
from connectors.service_requests import ServiceRequests
from connectors.wire.client import HttpClient
from durable.action import ActionError, Context, Inputs
from durable.http_port import HttpRequests

pytestmark = pytest.mark.anyio

Handler = Callable[[httpx.Request], httpx.Response]


class Shop(Inputs):
    base_url: str = "https://shop.example/api"


SHOP = Shop()


def make_context(context: Context, handler: Handler, connection: BaseModel | None = SHOP, **more: Any) -> Context:
    client = HttpClient(transport=httpx.MockTransport(handler))
    resources = {HttpClient: client, HttpRequests: ServiceRequests}
    auth = {"basic": BASIC.settings.model_validate({"username": "ada", "password": "hunter2"})} if connection else {}
    return dataclasses.replace(context, resources=resources, connection=connection, auth=auth, **more)


async def test_a_request_goes_to_the_service_with_its_credentials_and_its_key(context: Context) -> None:
    sent: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        sent.append(request)
        return httpx.Response(200, json={"n": len(sent)})

    http = make_context(context, answer).http
    assert (await http.get("/orders", params={"of": [1, 2]})).json() == {"n": 1}
    assert (await http.post("/orders", json={"sku": "T"})).json() == {"n": 2}
    await http.post("/orders", form={"sku": "T"}, key_header="X-Request-Id", headers={"x-shop": "main"})
    await http.put("/orders/1", content=b"raw", key_header=None)
    assert [f"{each.method} {each.url}" for each in sent[:2]] == [
        "GET https://shop.example/api/orders?of=1&of=2",
        "POST https://shop.example/api/orders",
    ]
    assert {each.headers["authorization"] for each in sent} == {"Basic YWRhOmh1bnRlcjI="}
    keys = [(each.headers.get("idempotency-key"), each.headers.get("x-request-id")) for each in sent]
    assert keys == [(None, None), ("run:step", None), (None, "run:step-2"), (None, None)]
    assert [each.content for each in sent] == [b"", b'{"sku":"T"}', b"sku=T", b"raw"]
    assert sent[2].headers["x-shop"] == "main"


@pytest.mark.parametrize(
    ("status", "headers", "error_class", "retry_after"),
    [
        (401, {}, "auth", None),
        (404, {}, "client", None),
        (429, {"retry-after": "7"}, "rate_limit", 7),
        (503, {}, "server", None),
        (302, {"location": "https://elsewhere.example/"}, "client", None),
    ],
)
async def test_a_status_that_is_not_expected_is_an_error_of_its_class(
    context: Context, status: int, headers: dict[str, str], error_class: str, retry_after: float | None
) -> None:
    http = make_context(context, lambda request: httpx.Response(status, headers=headers, text="no")).http
    with pytest.raises(ActionError, match=f"GET https://shop.example answered {status}") as caught:
        await http.get("/orders/secret-path")
    assert (caught.value.error_class, caught.value.retry_after) == (error_class, retry_after)
    assert "secret-path" not in caught.value.message
    assert (await http.get("/orders", expect=[status])).status == status


async def test_credentials_never_go_elsewhere(context: Context) -> None:
    sent: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        sent.append(request)
        return httpx.Response(200, text="fine")

    with pytest.raises(ActionError, match="not below the connection's base_url"):
        await make_context(context, answer).http.get("https://elsewhere.example/")
    with pytest.raises(ActionError, match="the connector has no `base_url`"):
        await make_context(context, answer, Inputs()).http.get("https://elsewhere.example/")
    with pytest.raises(ActionError, match="the URL is relative"):
        await make_context(context, answer, None).http.get("/orders")
    assert sent == []
    assert (
        await make_context(context, answer).http.get("https://elsewhere.example/", is_signed=False)
    ).text() == "fine"
    await make_context(context, answer, Inputs(), base_url="https://fixed.example").http.get("/orders")
    assert ["authorization" in each.headers for each in sent] == [False, True]


async def test_a_response_that_cannot_be_read_is_not_requested_again(context: Context) -> None:
    http = make_context(context, lambda request: httpx.Response(200, content=b"\xff{")).http
    response = await http.post("/orders", json={})
    for read in (response.json, response.text):
        with pytest.raises(ActionError, match=r"the response of POST https://shop\.example is not") as caught:
            read()
        assert (caught.value.error_class, caught.value.ending) == ("invalid", "answered")
