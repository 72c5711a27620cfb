"""OpenAPI documents: which requests their operations send, and which documents and operations are refused."""

import base64
import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from connectors.openapi.document import DocumentRefused, read_document
from connectors.openapi.form import FORM
from durable.action import Connector, Context, Undo
from durable.limit import Rate
from durable.page import Page
from durable.schema_model import SchemaModel
from tests.connectors.servers import answer, answering, serve

pytestmark = pytest.mark.anyio

SHOP = Path(__file__).parents[1] / "data" / "openapi" / "shop.yaml"
JSON_TYPE = "application/json"
KEY = "{{ connection.key }}"


def load(tmp_path: Path, document: str, settings: str = "", name: str = "doc.yaml") -> Connector:
    connector, problems = load_with_problems(tmp_path, document, settings, name)
    assert connector is not None, problems
    return connector


def load_with_problems(
    tmp_path: Path, document: str, settings: str = "", name: str = "doc.yaml"
) -> tuple[Connector | None, list[str]]:
    (tmp_path / name).write_text(document)
    file = tmp_path / "shop.yaml"
    loaded = FORM.load(str(file), f"openapi: {name}\n{settings}".encode())
    return loaded.connector, [str(each).removeprefix(f"{file}:") for each in loaded.problems]


def load_shop(tmp_path: Path, server: str = "shop.test", settings: str = "") -> Connector:
    return load(tmp_path, SHOP.read_text().replace("SERVER", server), settings)


async def send(context: Context, connector: Connector, action: str, given: Mapping[str, Any]) -> Any:
    found = connector.actions[action]
    return await found.perform(replace(context, _requests=0), found.input.model_validate(given))


SENT: list[tuple[str, dict[str, Any], str, dict[str, str], bytes]] = [
    (
        "orders_get_line",
        {
            "order-id": "a b",
            "line": 7,
            "verbose": True,
            "fields[line]": ["x", "y"],
            "filter": {"since": {"year": 2024}},
            "tag": ["m", "n"],
            "sizes": [1, 2],
            "near": {"lat": 1},
            "X-Trace": ["p", "q"],
        },
        "GET /v1/orders/a%20b/lines/7?verbose=true&fields%5Bline%5D=x%2Cy&filter%5Bsince%5D%5Byear%5D=2024&tag=m&tag=n"
        "&sizes=1%7C2&near=%7B%22lat%22%3A1%7D",
        {"api-version": "2024-01", "x-trace": "p,q", "accept": "application/vnd.shop+json"},
        b"",
    ),
    ("remove_line", {"order-id": "o", "line": 1}, "DELETE /v1/orders/o/lines/1", {"content-type": JSON_TYPE}, b"{}"),
    (
        "create_order",
        {"id": "q", "name": "Ada", "lines": [{"sku": "A", "parts": [{"sku": "B", "gone": 1}]}], "body": {"id": "b"}},
        "POST /v1/orders?id=q",
        {"accept": "application/hal+json", "content-type": JSON_TYPE, "idempotency-key": "run:step"},
        b'{"name":"Ada","id":"b","lines":[{"sku":"A","parts":[{"sku":"B","gone":1}]}]}',
    ),
    ("get_orders", {}, "GET /v1/orders", {}, b""),
    (
        "search_orders",
        {"body": ["x"]},
        "POST /v1/orders/search",
        {"content-type": "application/vnd.shop+json"},
        b'["x"]',
    ),
    (
        "change_order",
        {"order-id": "o", "note": "n", "paid": True},
        "PATCH /v1/orders/o",
        {"content-type": "application/merge-patch+json"},
        b'{"note":"n","paid":true}',
    ),
    (
        "charge",
        {"amount": 5, "expand": ["a", "b"], "tags": ["c", "d"], "metadata": {"k": "v w"}},
        "POST /v1/charges",
        {"content-type": "application/x-www-form-urlencoded"},
        b"amount=5&expand%5B0%5D=a&expand%5B1%5D=b&tags=c&tags=d&metadata%5Bk%5D=v+w",
    ),
    (
        "put_content",
        {"path": "a/b.bin", "body": base64.b64encode(b"\x00\xff").decode()},
        "PUT /v1/files/a/b.bin",
        {"content-type": "application/octet-stream"},
        b"\x00\xff",
    ),
    (
        "render_markdown",
        {"body": "# Hi"},
        "POST /v1/markdown?mode=gfm",
        {"content-type": "text/markdown"},
        b"# Hi",
    ),
    ("get_linked", {}, "GET /v1/linked", {}, b""),
]


async def test_each_operation_sends_the_request_that_the_document_describes(context: Context, tmp_path: Path) -> None:
    async with serve(answering(answer(b'{"ok": true}', f"Content-Type: {JSON_TYPE}"))) as server:
        shop = load_shop(tmp_path, server.url.removeprefix("http://"))
        for action, given, line, headers, body in SENT:
            assert await send(context, shop, action, given) == {"ok": True}
            request = server.requests.pop()
            assert request.line == f"{line} HTTP/1.1"
            assert {name: request.headers.get(name) for name in headers} == headers
            assert request.body == body
            assert "authorization" not in request.headers
            assert "x-key" not in request.headers
        await send(context, shop, "change_order", {"order-id": "o", "note": None})
        assert server.requests.pop().body == b'{"note":null}'


async def test_a_file_is_a_part_of_a_multipart_body(context: Context, tmp_path: Path) -> None:
    async with serve(answering(answer(b"{}", f"Content-Type: {JSON_TYPE}"))) as server:
        shop = load_shop(tmp_path, server.url.removeprefix("http://"))
        file = {"base64": "AAE=", "filename": "a.bin"}
        await send(context, shop, "upload_file", {"file": file, "name": "x"})
        [request] = server.requests
    assert request.line == "POST /upload/files HTTP/1.1"
    assert request.headers["content-type"].startswith("multipart/form-data; boundary=")
    assert b'name="file"; filename="a.bin"' in request.body
    assert b"\x00\x01" in request.body


async def test_the_base_url_of_a_connection_takes_the_place_of_every_server(context: Context, tmp_path: Path) -> None:
    async with serve(answering(answer(b"{}", f"Content-Type: {JSON_TYPE}"))) as server:
        shop = load_shop(tmp_path, "elsewhere.test")
        assert shop.connection is not None
        context.connection = shop.connection.model_validate({"key": "k", "base_url": f"{server.url}/own"})
        await send(context, shop, "get_orders", {})
        await send(context, shop, "upload_file", {"file": "text"})
        assert [each.line for each in server.requests] == ["GET /own/orders HTTP/1.1", "POST /own/files HTTP/1.1"]


def test_a_connection_without_a_base_url_calls_the_server_of_the_document(tmp_path: Path) -> None:
    made = FORM.scaffold("shop")
    for name, text in made.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    connector = FORM.load(str(tmp_path / "shop.yaml"), made["shop.yaml"].encode()).connector
    assert connector
    assert connector.connection
    action = connector.actions["get_item"]
    assert action.target
    connection = connector.connection.model_validate({"token": "x"})
    assert action.target(action.input.model_validate({"id": "1"}), connection) == "https://api.example.com"


def test_inputs_are_checked_by_the_schemas_of_the_document(tmp_path: Path) -> None:
    shop = load_shop(tmp_path)
    order = {"name": "Ada", "lines": [], "body": {"id": "b"}}
    valid: list[tuple[str, Any]] = [
        ("create_order", order | {"lines": [{"sku": "A", "state": None}]}),
        ("create_order", order | {"lines": [{"sku": "A", "odd": "any", "parts": [{"sku": "B"}]}]}),
        ("change_order", {"order-id": "o", "note": None}),
        ("charge", {"amount": 1}),
        ("upload_file", {"file": {"text": "x", "content_type": "text/csv"}}),
        ("remove_line", {"order-id": "o", "line": 1, "reason": "r"}),
    ]
    invalid: list[tuple[str, Any]] = [
        ("create_order", {"name": "Ada", "lines": []}),
        ("create_order", order | {"total": 3}),
        ("create_order", order | {"name": "too long"}),
        ("create_order", order | {"lines": [{"sku": "lower"}]}),
        ("create_order", order | {"lines": [{"sku": "A", "parts": [{}]}]}),
        ("create_order", order | {"lines": [{"sku": "A", "unknown": 1}]}),
        ("create_order", order | {"lines": [{"sku": "A", "state": "old"}]}),
        ("change_order", {"order-id": "o"}),
        ("charge", {"amount": 0}),
        ("upload_file", {"name": "x"}),
        ("orders_get_line", {"order-id": "o", "line": "x"}),
    ]
    for action, given in valid:
        shop.actions[action].input.model_validate(given)
    for action, given in invalid:
        with pytest.raises(ValidationError):
            shop.actions[action].input.model_validate(given)


def test_an_action_can_be_repeated_as_its_method_and_its_key_say(tmp_path: Path) -> None:
    shop = load_shop(tmp_path)
    repeatable = {
        name: shop.actions[name].idempotent for name in ("get_orders", "create_order", "charge", "remove_line")
    }
    assert repeatable == {"get_orders": "yes", "create_order": "key", "charge": "no", "remove_line": "yes"}
    assert (shop.actions["charge"].on_crash, shop.actions["create_order"].on_crash) == ("park", "retry")


def test_an_operation_that_cannot_be_used_is_skipped_by_name(tmp_path: Path) -> None:
    shop = load_shop(tmp_path)
    assert dict(shop.skipped) == {
        "list_abroad": "it refers to another document, 'other.yaml#/parameters/Page'; bundle them into one document",
        "put_abroad": "it refers to another document, 'other.yaml#/A'; bundle them into one document",
        "needs_cookie": "it requires the cookie 'session', and Waypost does not send cookies",
        "trace_it": "the method TRACE is not supported",
        "delete_broken": "it is not a mapping",
    }
    assert [*shop.actions] == [name for name, *_ in SENT[:7]] + ["upload_file", *(name for name, *_ in SENT[7:])]
    assert "put_abroad" not in shop.actions
    assert len(shop.actions) == 11


def test_an_action_has_the_summary_and_the_descriptions_of_its_operation_but_its_version_has_not(
    tmp_path: Path,
) -> None:
    action = load_shop(tmp_path).actions["create_order"]
    assert action.summary == "Create an order of a customer."
    assert "Collides" in json.dumps(action.input.model_json_schema())
    assert "Collides" not in json.dumps(action.stored)
    assert "description" not in json.dumps(action.stored)


def test_a_connection_has_the_credentials_of_the_document(tmp_path: Path) -> None:
    shop = load_shop(tmp_path)
    assert shop.auth == ({"header": {"X-Key": KEY}},)
    assert shop.connection is not None
    assert issubclass(shop.connection, SchemaModel)
    assert shop.connection.model_json_schema()["required"] == ["key"]
    with pytest.raises(ValidationError):
        shop.connection.model_validate({"base_url": "http://x.test"})


@pytest.mark.parametrize(
    ("settings", "names", "problems"),
    [
        ("select: {tags: [orders]}", ["orders_get_line"], []),
        ("select: {names: [charge], paths: [/files*]}", ["charge", "upload_file", "put_content"], []),
        ("select: {names: ['*_order']}\nrename: {create_order: order}", ["order", "change_order"], []),
        (
            "select: {tags: [order], names: [charge]}",
            ["charge"],
            ["2:17: warning: no operation of the document has the tag 'order'; did you mean 'orders'"],
        ),
        (
            "select: {names: [charge]}\nrename: {chrage: c}",
            ["charge"],
            ["3:10: warning: no selected operation has the name 'chrage'; did you mean 'charge'"],
        ),
    ],
)
def test_operations_are_selected_and_renamed(
    tmp_path: Path, settings: str, names: list[str], problems: list[str]
) -> None:
    connector, found = load_with_problems(tmp_path, SHOP.read_text(), settings)
    assert connector is not None
    assert ([*connector.actions], found) == (names, problems)


MINIMAL = '{"openapi": "3.1.0", "info": {}, "paths": {"/a": {"get": {}}}}'


@pytest.mark.parametrize(
    ("document", "settings", "problem"),
    [
        ("swagger: '2.0'\npaths: {}", "", "1:10: error: this is a Swagger 2.0 document; convert it to OpenAPI 3 first"),
        ("openapi: 4.0.0\npaths: {}", "", "1:10: error: the document has the version '4.0.0'; use a document of"),
        ("a: [", "", "1:10: error: it is not YAML: did not find expected node content"),
        ("a: 1\nb: &x [*y]", "", "1:10: error: the alias *y has no anchor before it (line 2)"),
        ('{"openapi": "3.0.0",}', "", "1:10: error: the document is not JSON: "),
        ("[]", "", "1:10: error: an OpenAPI document must be a mapping, not a list"),
        ("openapi: 3.0.0", "", "1:10: error: the document has no paths"),
        (MINIMAL, "select: {tags: [x]}", "2:9: error: no operation of the document is selected; change the patterns"),
        (MINIMAL, "rename: {get_a: GetA}", "2:17: error: 'GetA' is not a valid name"),
        (MINIMAL, "slect: {}", "2:1: error: unknown key 'slect'; did you mean 'select'"),
        (MINIMAL, "paths: {}", "1:1: error: this is an OpenAPI document, not a connector file"),
    ],
)
def test_what_cannot_be_loaded_is_explained(tmp_path: Path, document: str, settings: str, problem: str) -> None:
    connector, problems = load_with_problems(tmp_path, document, settings)
    assert connector is None
    assert any(each.startswith(problem) for each in problems), problems


def test_a_document_that_is_not_there_is_explained(tmp_path: Path) -> None:
    (tmp_path / "shop.json").write_text("{}")
    for named, problem in [
        ("shpo.json", "1:10: error: there is no document 'shpo.json'; did you mean 'shop.json'"),
        ("https://x.test/openapi.json", "documents are not fetched; download it, and write the path of the file"),
        (".", "'.' is a folder"),
    ]:
        loaded = FORM.load(str(tmp_path / "shop.yaml"), f"openapi: {named}".encode())
        assert problem in str(loaded.problems[0])
        assert loaded.files == (str(tmp_path / named),)


def test_an_operation_without_a_server_is_skipped_until_there_is_one(tmp_path: Path) -> None:
    assert "get_a" in load(tmp_path, MINIMAL).skipped
    variable = MINIMAL.replace('"info"', '"servers": [{"url": "https://{dc}.x.test"}], "info"')
    assert "no default for 'dc'" in load(tmp_path, variable).skipped["get_a"]


def test_a_document_is_read_once_while_it_does_not_change(tmp_path: Path) -> None:
    first, second = load_shop(tmp_path), load_shop(tmp_path, settings="select: {tags: [orders]}")
    assert [*second.actions] == ["orders_get_line"]
    assert first.actions["charge"] is first.actions["charge"]


def test_the_files_of_a_new_connector_load(tmp_path: Path) -> None:
    files = FORM.scaffold("shop")
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    loaded = FORM.load(str(tmp_path / "shop.yaml"), files["shop.yaml"].encode())
    assert loaded.connector is not None
    assert ([*loaded.connector.actions], loaded.problems) == (["get_item"], ())


BOMB = "a: &a [1, 1, 1, 1, 1, 1, 1, 1, 1, 1]\n" + "".join(
    f"{name}: &{name} [{', '.join([f'*{before}'] * 10)}]\n" for before, name in zip("abcdefgh", "bcdefghi", strict=True)
)


def test_the_size_of_a_document_is_bounded() -> None:
    for data, problem in [
        (BOMB.encode(), "more than 3,000,000 values"),
        (("a: " + "[" * 160).encode(), "nested deeper than"),
        (b'{"openapi": ' + b"[" * 100_000 + b"]" * 100_000 + b"}", "nested too deeply"),
        (b"\xff\xfe", "is not UTF-8"),
    ]:
        with pytest.raises(DocumentRefused, match=problem):
            read_document(data)


ADDED = """
http:
  base_url: SERVER/v9
  headers: {api-version: "2025"}
  params: {tenant: t1}
  errors: {code: "{{ answer.body.code }}", ok: [gone]}
  limit: {rate: 50/m}
connection:
  fields: {token: {type: string, secret: true, about: Where to get it}}
  auth: [{bearer: "{{ connection.token }}"}]
  test: get_orders
actions:
  get_orders: {about: All orders, page: {items: answer.body.orders, number: {param: tag}}}
  orders_get_line: {page: {items: answer.body.lines, cursor: answer.body.next, param: verbose}}
  charge:
    idempotency: {header: Idempotency-Key}
    output: {id: "{{ answer.body.id }}"}
    undo: {use: remove_line, with: {order-id: "{{ output.id }}", line: "{{ inputs.amount }}"}}
  change_order: {idempotent: yes}
"""


async def test_the_file_adds_what_the_document_does_not_say(context: Context, tmp_path: Path) -> None:
    responses = [b'{"id": "c1"}', b'{"code": "gone"}', b'{"orders": [1]}']
    statuses = ["200 OK", "404 X", "200 OK"]
    script = [answer(body, f"Content-Type: {JSON_TYPE}", status=s) for body, s in zip(responses, statuses, strict=True)]
    async with serve(answering(*script)) as server:
        shop = load_shop(tmp_path, "elsewhere.test", ADDED.replace("SERVER", server.url))
        assert await send(context, shop, "charge", {"amount": 1}) == {"id": "c1"}
        assert await send(context, shop, "change_order", {"order-id": "o", "note": "n"}) is None
        page = await send(context, shop, "get_orders", {})
        assert isinstance(page, Page)
        assert [each.line for each in server.requests] == [
            "POST /v9/charges?tenant=t1 HTTP/1.1",
            "PATCH /v9/orders/o?tenant=t1 HTTP/1.1",
            "GET /v9/orders?tenant=t1&tag=1 HTTP/1.1",
        ]
        assert {each.headers["api-version"] for each in server.requests} == {"2025"}
    charge = shop.actions["charge"]
    assert (charge.idempotent, charge.undo) == (
        "key",
        Undo("remove_line", {"order-id": "{{ output.id }}", "line": "{{ inputs.amount }}"}),
    )
    assert (shop.actions["change_order"].on_crash, shop.actions["get_orders"].summary) == ("retry", "All orders")
    line = shop.actions["orders_get_line"].input.model_json_schema()
    assert {"limit", "tag"} <= line["properties"].keys()
    assert not {"verbose", "Api-Version"} & line["properties"].keys()
    assert (shop.test, shop.limit.rate) == ("get_orders", (Rate(50, 60_000),))
    assert shop.connection is not None
    shop.connection.model_validate({"token": "t", "base_url": "https://own.test"})


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ("http: {base_url: 'https://me:pw@x.test'}", "2:18: error: the URL contains a user or password"),
        ("http: {base_url: x.test}\nconnection: {test: get_orders}", "2:18: error: the URL has no scheme; write"),
        ("http: {base_url: '{{ 1 +'}\nconnection: {test: get_orders}", "2:19: error: "),
        ("http: {encode: form}", "2:8: error: 'encode' does not go with 'openapi'; the document says"),
        ("connection: {test: get_order}", "2:20: error: this connector has no action 'get_order'; did you mean 'get_"),
        (
            "connection: {auth: [{beaer: x}]}",
            "2:22: error: there is no authentication scheme 'beaer'; did you mean 'bearer'",
        ),
        (
            "actions: {chrge: {about: x}}",
            "2:11: warning: there is no action 'chrge': the document",
        ),
        ("actions: {put_abroad: {about: x}}", "2:11: warning: there is no action 'put_abroad': it refers to another"),
        ("actions: {charge: {post: /x}}", "2:20: error: unknown key 'post'"),
        (
            "actions: {charge: {output: '{{ inputs.amout }}'}}",
            "2:32: error: the action has no input 'amout'; did you mean",
        ),
        (
            "actions: {get_orders: {page: {items: answer.body}}}",
            "2:24: error: 'page' does not say how",
        ),
        ("actions: {charge: {undo: {use: remove_line, with: {line: 1}}}}", "2:51: error: 'order-id' is missing"),
        ("actions: {charge: {undo: {use: charge}}}", "2:32: error: an action cannot undo itself"),
        ("actions: {charge: {returns: 5}}", "2:29: error: 'returns' must be a mapping, not the number 5"),
        ("actions: {charge: {returns: {a: {type: x}}}}", "2:40: error: 'x' is not a type; known: array"),
        ("actions: {charge: {idempotent: key}}", "2:32: error: no key is sent"),
        ("actions: {charge: {idempotency: {max: 40}}}", "2:20: error: 'idempotency' does not say where"),
        ("actions: {charge: {idempotency: {header: K, as: uuid, max: 20}}}", "2:60: error: a UUID has 36 characters"),
        ("actions: {get_orders: {idempotency: {header: K}}}", "2:24: error: a GET request can be repeated without"),
        ("actions: {render_markdown: {idempotency: {json: k}}}", "2:29: error: the key cannot be added to the body"),
        ("actions: {charge: {redirects: without_credentials}}", "2:31: error: 'without_credentials' is only for GET"),
        (
            "http: {idempotency: {header: K, as: uuid}}\nactions: {charge: {idempotency: {max: 20}}}",
            "3:11: error: an idempotency key needs at least 36 characters",
        ),
        ("actions: {charge: {inputs: {amout: {about: x}}}}", "2:29: warning: the action has no input 'amout'; did you"),
        ("actions: {charge: {inputs: {amount: {options: {use: remove_line}}}}}", "2:53: error: the action 'remove_"),
        ("actions: {charge: {inputs: {amount: {options: {}}}}}", "2:47: error: 'use' is missing"),
        (
            "connection: {auth: [{bearer: '{{ connection.kye }}'}]}",
            "2:34: error: the connection has no field 'kye'; did",
        ),
        (
            "connection: {test: remove_line}",
            "2:20: error: the test 'remove_line' has required inputs (order-id, line), and a test passes none",
        ),
        ("http: {params: {a: '{{ connection.kye }}'}}", "2:24: error: the connection has no field 'kye'; did you mean"),
        ("tests: [{action: chrge, answer: {}, expect: {}}]", "2:18: error: this connector has no action 'chrge'; did"),
        (
            "tests: [{action: get_orders, connection: {kye: x}, answer: {}, expect: {}}]",
            "2:43: error: the connection has no field 'kye'; did you mean 'key'",
        ),
    ],
)
def test_mistakes_in_what_the_file_adds_are_explained(tmp_path: Path, settings: str, problem: str) -> None:
    connector, problems = load_with_problems(tmp_path, SHOP.read_text().replace("SERVER", "x.test"), settings)
    assert any(each.startswith(problem) for each in problems), problems
    assert (connector is None) is ("error" in problem)


@pytest.mark.parametrize(
    ("settings", "fields", "auth"),
    [
        ("{test: get_orders}", {"base_url", "key"}, {"header": {"X-Key": KEY}}),
        (
            "{auth: [{query: {k: '{{ connection.key }}'}}]}",
            {"base_url", "key"},
            {"query": {"k": KEY}},
        ),
        (
            "{fields: {shop: {type: string}}}",
            {"base_url", "key", "shop"},
            {"header": {"X-Key": KEY}},
        ),
        (
            "{fields: {token: {type: string}}, auth: [{bearer: '{{ connection.token }}'}]}",
            {"base_url", "token"},
            {"bearer": "{{ connection.token }}"},
        ),
    ],
)
def test_a_file_adds_to_the_connection_of_its_document(
    tmp_path: Path, settings: str, fields: set[str], auth: dict[str, Any]
) -> None:
    shop = load_shop(tmp_path, settings=f"connection: {settings}")
    assert shop.connection is not None
    assert (set(shop.connection.model_json_schema()["properties"]), [*shop.auth]) == (fields, [auth])


def test_a_file_adds_to_the_inputs_of_its_document_and_can_have_tests(tmp_path: Path) -> None:
    settings = """
actions:
  remove_line:
    inputs: {order-id: {about: The order, options: {use: get_orders, value: id}}, line: {secret: true}}
tests:
  - {action: get_orders, answer: {body: [1]}, expect: {output: [1]}}
"""
    plain, shop = load_shop(tmp_path), load_shop(tmp_path, settings=settings)
    inputs = shop.actions["remove_line"].input.model_json_schema()["properties"]
    assert inputs["order-id"]["description"] == "The order"
    assert inputs["order-id"]["options"] == {"use": "get_orders", "value": "id"}
    assert inputs["line"]["secret"] is True
    assert shop.actions["get_orders"].stored == plain.actions["get_orders"].stored
    assert [*shop.tests] == [{"action": "get_orders", "answer": {"body": [1]}, "expect": {"output": [1]}}]


def test_a_shared_key_in_the_body_is_not_sent_where_the_body_has_no_fields(tmp_path: Path) -> None:
    shop = load_shop(tmp_path, settings="http: {idempotency: {json: request_id}}")
    made = {name: shop.actions[name].idempotent for name in ("charge", "render_markdown")}
    assert made == {"charge": "key", "render_markdown": "no"}


def test_a_parameter_that_is_described_as_encoded_may_contain_a_slash(tmp_path: Path) -> None:
    document = MINIMAL.replace('"info": {}', '"info": {}, "servers": [{"url": "https://git.test"}]').replace(
        '{"/a": {"get": {}}}',
        '{"/p/{id}/b/{name}": {"get": {"parameters": [{"in": "path", "name": "id", "required": true, '
        '"schema": {"type": "string"}, "description": "The ID or URL-encoded path of the project"}]}}}',
    )
    [action] = load(tmp_path, document).actions.values()
    assert action.stored is not None
    assert action.stored["path"] == "/p/{id%2F}/b/{name}"
