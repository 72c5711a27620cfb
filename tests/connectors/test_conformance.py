"""The conformance suite: the connectors that ship pass it, and each kind of mistake fails the check that is for it."""

from typing import Any

import pytest

from connectors.conformance.checks import CHECKS
from connectors.conformance.report import ConformanceReport
from connectors.conformance.suite import check_connector
from connectors.python_form import PythonForm
from connectors.yaml_form.form import YamlForm
from durable.action import Connector
from triggers.config.catalogue import load_connectors

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


async def test_the_connectors_that_ship_pass_and_every_check_applies_to_one_of_them() -> None:
    applied = set()
    for name in ("slack", "github", "stripe", "http", "log", "transform"):
        connector = load_connectors().find(name)
        assert connector
        report = await check_connector(connector)
        assert report.is_passed, report.explain_failures()
        assert report.left_out == 0
        applied |= {each.check for each in report.results if each.verdict == "passed"}
    assert not CHECKS.keys() - applied


async def test_a_connector_whose_connections_are_logged_in_is_checked_with_a_made_up_token() -> None:
    login = """
connection:
  fields:
    client_id: {type: string, about: I}
    client_secret: {type: string, secret: true, about: S}
  auth:
    - oauth2:
        authorize_url: https://shop.example/authorize
        token_url: https://shop.example/token
        client_id: "{{ connection.client_id }}"
        client_secret: "{{ connection.client_secret }}"
"""
    begin, end = SHOP.index("connection:"), SHOP.index("http:")
    report = await check_connector(load_yaml(SHOP[:begin] + login.lstrip() + SHOP[end:]))
    assert report.is_passed, report.explain_failures()


# -- mistakes in YAML ---------------------------------------------------------------------------------------------

SHOP = """
about: A shop
connection:
  fields: {token: {type: string, secret: true, about: T}}
  auth: [{bearer: "{{ connection.token }}"}]
http: {base_url: "https://shop.example/v1"}
actions:
  order:
    about: Order something.
    post: /orders
    inputs: {sku: {type: string, options: {use: list_items, value: id}}}
    undo: {use: cancel, with: {id: "{{ output.id }}"}}
  cancel:
    about: Cancel an order.
    delete: /orders/{id}
    inputs: {id: {type: string}}
    errors: {ok: ["404"]}
  list_items:
    about: List the items.
    get: /items
    page: {items: answer.body.items, cursor: answer.body.next, param: after}
tests:
  - action: order
    with: {sku: T}
    answer: {body: {id: o1}}
    expect: {request: {method: POST, path: /orders, body: {sku: T}}, output: {id: o1}}
"""

YAML_MISTAKES = [
    ('errors: {ok: ["404"]}', "idempotent: yes", "undo, also a second time", "a second undo fails"),
    ("param: after}", "param: after, max_pages: 2}", "all pages, with a retry of the third", "2 pages"),
    ("output: {id: o1}}\n", "output: {id: o2}}\n", "test 1", 'the output is {"id":"o1"}, not {"id":"o2"}'),
    ("path: /orders, body", "path: /order, body", "test 1", 'the request has the path "/v1/orders", not "/order"'),
    ("body: {sku: T}}", "params: {a: '1'}}", "test 1", 'the request has the parameters {}, not {"a":"1"}'),
    ("{body: {id: o1}}", "{status: 500, body: no}", "test 1", "it should complete; it failed as server"),
    ("output: {id: o1}}\n", "error: {class: client}}\n", "test 1", "it should fail; it completed"),
    (
        "get: /items\n    page: {items: answer.body.items, cursor: answer.body.next, param: after}",
        "get: /items\n    output: null\n",
        "options are listed completely",
        "are not a list",
    ),
]


def load_yaml(text: str) -> Connector:
    loaded = YamlForm().load("shop.yaml", text.encode())
    assert loaded.connector, loaded.problems
    return loaded.connector


async def test_a_correct_connector_in_yaml_passes() -> None:
    report = await check_connector(load_yaml(SHOP))
    assert report.is_passed, report.explain_failures()
    assert report.untested == ["cancel", "list_items"]


@pytest.mark.parametrize(
    ("text", "instead"),
    [
        ("https://shop.example/v1", "https://shop.example/bot{{ connection.token }}"),
        (
            '{bearer: "{{ connection.token }}"}',
            '{oauth2: {client_id: "{{ connection.token }}", authorize_url: "https://a.example", token_url: "https://t.example"}}',
        ),
    ],
    ids=["token-in-url", "oauth2"],
)
async def test_a_credential_may_be_a_part_of_the_url_or_come_from_a_login(text: str, instead: str) -> None:
    assert text in SHOP
    report = await check_connector(load_yaml(SHOP.replace(text, instead)), only="order")
    assert report.is_passed, report.explain_failures()
    assert any(each.check.startswith("no credential") and each.verdict == "passed" for each in report.results)


@pytest.mark.parametrize(("text", "mistake", "check", "reason"), YAML_MISTAKES)
async def test_a_mistake_in_yaml_fails_its_check(text: str, mistake: str, check: str, reason: str) -> None:
    assert text in SHOP
    ensure_failure(await check_connector(load_yaml(SHOP.replace(text, mistake))), check, reason)


# -- mistakes in Python -------------------------------------------------------------------------------------------

CODE = '''
import json
from typing import Any

from pydantic import BaseModel
from waypost import ActionError, Connector, Context, Credential, Inputs, action


class Account(Inputs):
    token: Credential


class Order(Inputs):
    sku: str


@action("order", input=Order, idempotent="key")
async def order(context: Context, input: Order) -> Any:
    """Order something."""
    http, body = context.http, {"sku": input.sku}
    response = await http.post("/orders", json=body)
    return response.json()


CONNECTOR = Connector(
    "shop", "A shop", [order], Account, base_url="https://shop.example", auth=[{"bearer": "{{ connection.token }}"}]
)
'''
PLAIN = 'response = await http.post("/orders", json=body)'

PYTHON_MISTAKES = [
    ("class Order(Inputs)", "class Order(BaseModel)", "unknown inputs are refused before sending", "`Inputs`"),
    (', idempotent="key"', "", "says whether it can be repeated", "does not say"),
    (PLAIN, PLAIN.replace("body)", "body, key_header=None)"), "the same idempotency key", "no request has"),
    (
        PLAIN,
        PLAIN.replace("body)", "body, headers={'idempotency-key': str(context.attempt)})"),
        "the same",
        "different",
    ),
    (PLAIN, f"print(context.connection.token)\n    {PLAIN}", "", "in the history or the log"),
    ("return response.json()", "return json.loads(response.body)", "a malformed answer", "was sent again"),
    (
        PLAIN,
        f"try:\n        {PLAIN}\n    except ActionError as error:\n        raise RuntimeError(error) from error",
        "",
        "class",
    ),
    (
        PLAIN,
        PLAIN.replace("body)", "body, expect=[401])")
        + '\n    if response.status == 401: raise ActionError("no", error_class="server")',
        "401",
        "class auth",
    ),
]


def load_python(text: str) -> Connector:
    loaded = PythonForm().load("shop.py", text.encode())
    assert loaded.connector, loaded.problems
    return loaded.connector


async def test_a_correct_connector_in_python_passes() -> None:
    report = await check_connector(load_python(CODE))
    assert report.is_passed, report.explain_failures()


@pytest.mark.parametrize(("text", "mistake", "check", "reason"), PYTHON_MISTAKES)
async def test_a_mistake_in_python_fails_its_check(text: str, mistake: str, check: str, reason: str) -> None:
    assert text in CODE
    ensure_failure(await check_connector(load_python(CODE.replace(text, mistake))), check, reason)


# -- what cannot be checked ---------------------------------------------------------------------------------------


async def test_another_place_that_says_when_to_try_again_is_no_mistake() -> None:
    other = SHOP.replace("http: {", "http: {retry_after: [{header: X-Wait-Ms, unit: ms}], ")
    report = await check_connector(load_yaml(other))
    assert report.is_passed, report.explain_failures()


async def test_what_cannot_be_made_up_is_said() -> None:
    text = SHOP.replace("sku: {type: string,", "sku: {type: string, pattern: '^(?=[A-Z])[A-Z]{3}$',").partition(
        "tests:"
    )[0]
    report = await check_connector(load_yaml(text), only="order")
    skipped = {each.check: each.reason for each in report.results if each.verdict == "skipped"}
    assert "no sample inputs can be made (sku:" in skipped["a plain answer is a success"]
    assert report.is_passed


async def test_tests_that_are_not_valid_are_a_failure() -> None:
    tests: list[dict[str, Any]] = [{"action": "order", "answer": {"status": "x"}, "expect": {}}]
    report = await check_connector(Connector("shop", "A shop", [], tests=tests))
    assert "0.answer" in report.explain_failures() or "answer" in report.explain_failures()


def ensure_failure(report: ConformanceReport, check: str, reason: str) -> None:
    failed = [each for each in report.results if each.verdict == "failed"]
    assert any(each.check.startswith(check) and reason in each.reason for each in failed), report.explain_failures()
