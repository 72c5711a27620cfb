"""Traces of runs, as a real receiver of OTLP gets them."""

from pathlib import Path

import pytest
from starlette.responses import Response

from durable.clock import now
from durable.trace import make_span_id, make_trace_id
from tests.service.gates import until_status
from tests.service.receiver import ReceivedSpan, receiving
from tests.service.running import ENVIRONMENT, outside, running
from triggers.traces.exporter import LONG

pytestmark = pytest.mark.anyio

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
CLIENT, CONSUMER, INTERNAL = 3, 5, 1

SHOP = """
triggers: [{id: shop, use: webhook, with: {path: /shop, verify: none}}]
steps:
  - {id: note, use: transform.set, with: {values: {secret: "canary-{{ trigger.body.card }}"}}}
  - {id: ask, use: http.post, with: {url: "URL/ask", json: "{{ trigger.body }}"}, retry: {min_delay: 1ms}}
  - {id: nap, use: wait.delay, with: {for: 1ms}}
  - id: each
    foreach: "{{ [1, 2] }}"
    steps: [{id: hold, use: http.get, with: {url: "URL/hold"}}]
  - {id: call, use: flow.call, with: {pipeline: child}}
"""
ASKS = """
steps:
  - {id: add, use: transform.set, with: {values: {a: 1}}}
  - {id: ask, use: wait.webhook, timeout: 1h, on_timeout: fail}
"""
UNSTARTED = """
triggers: [{id: hook, use: webhook, with: {path: /unstarted, verify: none}, inputs: {n: "{{ trigger.body.n }}"}}]
inputs: {n: {type: integer}}
steps: [{id: set, use: transform.set, with: {values: {a: 1}}}]
"""
CHILD = "steps: [{id: set, use: transform.set, with: {values: {a: 1}}}]"
FAILS = """
inputs: {card: {}}
steps: [{id: pay, use: http.post, with: {url: "URL/pay", json: "{{ inputs.card }}"}, retry: {max_attempts: 1}}]
"""


def draw(spans: list[ReceivedSpan], parent: str = "", depth: int = 0) -> list[str]:
    """Draw the tree below a span, in the order of starts."""
    lines: list[str] = []
    for span in sorted(spans, key=lambda each: (each.start, each.attributes.get("waypost.step", ""))):
        if span.parent == parent:
            lines += ["  " * depth + str(span.attributes.get("waypost.step", span.name))]
            lines += draw(spans, span.id, depth + 1)
    return lines


async def test_a_run_arrives_as_a_tree_below_the_span_of_its_sender(tmp_path: Path) -> None:
    async with outside() as world, receiving() as receiver:
        world.answers = [lambda: Response("canary-answer", status_code=503)]
        files = {"shop": SHOP.replace("URL", world.url), "child": CHILD}
        environment = {**ENVIRONMENT, "WAYPOST_SECRET_OTEL_HEADERS": "x-team=blue,authorization=Basic%20abc"}
        async with running(tmp_path, files, environment, otel_endpoint=receiver.url) as service:
            sent = {"traceparent": f"00-{TRACE}-{SPAN}-01"}
            answer = await service.client.post("/hooks/shop", json={"card": "canary-card"}, headers=sent)
            [run] = answer.json()["runs"]
            await service.wait_for_end(run)
            spans = await receiver.wait_for_run(run)
    assert draw(spans, SPAN) == [
        "shop",
        *("  note", "  ask", "  ask", "  nap", "  each", "    each[0]", "      each[0].hold"),
        *("    each[1]", "      each[1].hold", "  call", "    child", "      set"),
    ]
    assert {each.trace for each in spans} == {TRACE}
    assert {each.service for each in spans} == {"waypost"}
    first, second = [each for each in spans if each.name == "ask"]
    assert (first.id, second.id) == tuple(make_span_id(f"{run}:ask", "ask", number) for number in (1, 2))
    assert [each["headers"]["traceparent"] for each in world.requests[:2]] == [
        f"00-{TRACE}-{span.id}-01" for span in (first, second)
    ]
    assert (first.status, first.message, first.links) == (2, "server 503", [])
    assert (second.status, second.links) == (0, [(TRACE, first.id)])
    assert second.attributes["waypost.action"] == "http.post"
    assert {each.name: each.kind for each in spans if each.name in {"shop", "child", "ask", "note"}} == {
        "shop": CONSUMER,
        "child": INTERNAL,
        "ask": CLIENT,
        "note": INTERNAL,
    }
    assert (receiver.headers[0]["x-team"], receiver.headers[0]["authorization"]) == ("blue", "Basic abc")
    assert not any(b"canary" in body for body in receiver.bodies)


async def test_repeated_runs_link_to_what_they_repeat(tmp_path: Path) -> None:
    async with outside() as world, receiving() as receiver:
        world.answers = [lambda: Response(status_code=400)]
        async with running(tmp_path, {"fails": FAILS.replace("URL", world.url)}, otel_endpoint=receiver.url) as service:
            run = (await service.start("fails", {"card": 7})).json()["id"]
            await receiver.wait_for_run(run)
            again = (await service.client.post(f"/api/runs/{run}/rerun", json={})).json()["id"]
            await receiver.wait_for_run(again)
            assert (await service.client.post(f"/api/runs/{run}/retry", json={})).status_code < 300
            await receiver.wait_for(lambda spans: sum(each.name == "fails" for each in spans) == 3)
    ends = [each for each in receiver.spans if each.name == "fails"]
    root = (make_trace_id(run), make_span_id(run, "", 0))
    assert [(each.trace, each.id, each.links) for each in ends] == [
        (*root, []),
        (make_trace_id(again), make_span_id(again, "", 0), [root]),
        (make_trace_id(run), make_span_id(run, "", 1), [root]),
    ]
    assert [(each.status, each.message, each.attributes["waypost.status"]) for each in ends] == [
        (2, "client 400", "failed"),
        (0, "", "completed"),
        (0, "", "completed"),
    ]
    attempts = [each for each in receiver.spans if each.name == "pay"]
    assert len({each.id for each in receiver.spans}) == len(receiver.spans)
    assert [(each.parent, each.attributes["waypost.attempt"]) for each in attempts] == [
        (end.id, number) for end, number in zip(ends, (1, 1, 2), strict=True)
    ]


async def test_a_receiver_that_is_down_gets_everything_later_and_once(tmp_path: Path) -> None:
    async with receiving() as receiver:
        receiver.statuses = [500, 503, 400]
        async with running(tmp_path, {"child": CHILD}, otel_endpoint=receiver.url) as service:
            lost = (await service.start("child")).json()["id"]
            await receiver.wait_for_requests(3)
            taken = [(await service.start("child")).json()["id"] for _ in range(20)]
            for run in taken:
                await receiver.wait_for_run(run)
    runs = [each.attributes["waypost.run"] for each in receiver.spans if each.name == "child"]
    assert sorted(runs) == sorted(taken)
    assert lost not in runs


async def test_a_run_whose_sender_records_nothing_is_not_exported(tmp_path: Path) -> None:
    async with receiving() as receiver, running(tmp_path, {"child": CHILD}, otel_endpoint=receiver.url) as service:
        await service.start("child", traceparent=f"00-{TRACE}-{SPAN}-00")
        run = (await service.start("child")).json()["id"]
        await receiver.wait_for_run(run)
        assert [each.name for each in receiver.spans] == ["set", "child"]


@pytest.mark.parametrize(
    ("variables", "is_on"),
    [
        ({}, False),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9"}, True),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://127.0.0.1:9/v1/traces"}, True),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9", "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}, False),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9", "OTEL_TRACES_EXPORTER": "none"}, False),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9", "OTEL_SDK_DISABLED": "true"}, False),
    ],
)
async def test_the_standard_variables_turn_the_export_on(
    tmp_path: Path, variables: dict[str, str], is_on: bool
) -> None:
    async with running(tmp_path, {}, {**ENVIRONMENT, **variables}) as service:
        assert (service.service.traces is not None) == is_on


async def test_the_steps_of_a_long_run_arrive_before_its_end_and_once(tmp_path: Path) -> None:
    late = 0

    def tell_time() -> int:
        return now() + late

    async with (
        receiving() as receiver,
        running(tmp_path, {"asks": ASKS}, now=tell_time, otel_endpoint=receiver.url) as service,
    ):
        run = (await service.start("asks")).json()["id"]
        await until_status(service, run, "waiting")
        late = 2 * LONG
        await receiver.wait_for(bool)
        assert [each.name for each in receiver.spans] == ["add"]
        (await service.client.post(f"/api/runs/{run}/cancel", json={})).raise_for_status()
        await receiver.wait_for_run(run)
        assert draw(receiver.spans) == ["asks", "  add", "  ask"]


async def test_a_run_that_ends_in_the_commit_that_accepts_its_event_is_exported(tmp_path: Path) -> None:
    async with receiving() as receiver, running(tmp_path, {"u": UNSTARTED}, otel_endpoint=receiver.url) as service:
        answer = await service.client.post("/hooks/unstarted", json={"n": "canary"})
        [span] = await receiver.wait_for_run(answer.json()["runs"][0])
        assert (span.name, span.status, span.message) == ("u", 2, "invalid inputs")
        assert not any(b"canary" in body for body in receiver.bodies)
