"""The tests of a connector: exchanges with the service, and the expected results."""

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import ValidationError

from connectors.conformance.checks import ensure, ensure_secret
from connectors.conformance.samples import list_answers, make_connection, play_in_order
from connectors.conformance.stub import StubRequest
from connectors.conformance.world import CheckFailed, CheckWorld, Trace
from connectors.yaml_form.spec import ConnectorTestSpec, ExpectedErrorSpec, ExpectedRequestSpec
from durable.action import Connector
from durable.values import JSON, encode


def read_tests(connector: Connector) -> list[ConnectorTestSpec]:
    """Return the tests of a connector; raises `CheckFailed` if they are not valid."""
    try:
        return [ConnectorTestSpec.model_validate(test) for test in connector.tests]
    except ValidationError as error:
        first = error.errors()[0]
        raise CheckFailed(f"{'.'.join(map(str, first['loc']))}: {first['msg']}") from None


def name_test(test: ConnectorTestSpec, number: int) -> str:
    """Describe a test in a report."""
    return f"test {number}{f': {test.about}' if test.about else ''}"


async def check_exchange(world: CheckWorld, test: ConnectorTestSpec) -> None:
    """Run a test; raises `CheckFailed` or `NotApplicable`."""
    if test.action not in world.connector.actions:
        raise CheckFailed(f"the connector has no action {test.action}")
    before = world.connection
    world.connection = make_connection(world.connector, test.connection) if test.connection else before
    try:
        trace = await world.run(test.action, test.with_, play_in_order(list_answers(test)), on_crash="retry")
    finally:
        world.connection = before
    ensure_secret(trace)
    expect = test.expect
    expected = expect.request if isinstance(expect.request, tuple) else (expect.request,) if expect.request else ()
    _compare_requests(trace.requests, expected)
    if expect.error is not None:
        _compare_error(trace, expect.error)
        return
    ensure(trace.is_completed, f"it should complete; {trace.describe()}")
    if "output" in expect.model_fields_set:
        ensure(trace.output == expect.output, f"the output is {_show(trace.output)}, not {_show(expect.output)}")


def _compare_error(trace: Trace, expected: ExpectedErrorSpec) -> None:
    ensure(bool(trace.failures), f"it should fail; {trace.describe()}")
    failure = trace.failure
    for what, actual, wanted in (
        ("class", failure.error_class, expected.class_),
        ("code", failure.code, expected.code),
    ):
        ensure(wanted is None or actual == wanted, f"the {what} of the error is {actual}, not {wanted}")
    is_in = expected.message is None or expected.message in (failure.message or "")
    ensure(is_in, f"the message {failure.message!r} does not contain {expected.message!r}")


def _compare_requests(sent: Sequence[StubRequest], expected: Sequence[ExpectedRequestSpec]) -> None:
    ensure(not expected or len(sent) == len(expected), f"{len(sent)} requests were sent, not {len(expected)}")
    for number, (request, wanted) in enumerate(zip(sent, expected, strict=False), 1):
        which = f"request {number}" if len(expected) > 1 else "the request"
        for what, actual, value in _list_parts(request, wanted):
            ensure(actual == value, f"{which} has the {what} {_show(actual)}, not {_show(value)}")


def _list_parts(request: StubRequest, wanted: ExpectedRequestSpec) -> Sequence[tuple[str, Any, Any]]:
    """The parts of a request that are compared: what each is called, what it is, and what it should be."""
    parts: list[tuple[str, Any, Any]] = []
    if wanted.method is not None:
        parts.append(("method", request.method, wanted.method))
    if wanted.path is not None:
        is_end = request.path.endswith(wanted.path if wanted.path[:1] == "/" else f"/{wanted.path}")
        parts.append(("path", wanted.path if is_end else request.path, wanted.path))
    if wanted.params is not None:
        parts.append(("parameters", request.params, _to_texts(wanted.params)))
    for name, value in (wanted.headers or {}).items():
        parts.append((f"header {name}", request.headers.get(name.lower()), value))
    if "body" in wanted.model_fields_set:
        parts.append(("body", request.read_body(), wanted.body))
    return parts


def _to_texts(params: Mapping[str, JSON]) -> dict[str, JSON]:
    """Parameters as a URL has them."""

    def to_text(value: JSON) -> str:
        return value if isinstance(value, str) else encode(value).decode()

    return {
        name: [to_text(each) for each in value] if isinstance(value, list) else to_text(value)
        for name, value in params.items()
    }


def _show(value: JSON) -> str:
    return encode(value).decode()
