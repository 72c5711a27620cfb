"""Checks a connector: its tests, and each of its actions with everything that services do."""

from collections.abc import Awaitable, Sequence

from connectors.conformance.checks import CHECKS, Subject, check_bounded_answer
from connectors.conformance.exchanges import check_exchange, name_test, read_tests
from connectors.conformance.report import CheckResult, ConformanceReport
from connectors.conformance.samples import ActionSample, make_connection
from connectors.conformance.world import CheckFailed, CheckWorld, NotApplicable, open_world
from connectors.yaml_form.spec import ConnectorTestSpec
from durable.action import Action, Connector

MOST = 20
"""The maximum number of actions that are checked, unless all are requested."""

BOUNDED = "an endless answer is refused"
TESTS = "its tests are valid"
CONNECTION = "a connection can be made"


async def check_connector(
    connector: Connector, *, only: str | None = None, most: int | None = MOST
) -> ConformanceReport:
    """Check a connector against a stub of its service. `only` is the name of an action; otherwise, `most` actions are
    checked, spread over all of them and including those that have tests; None for all."""
    try:
        tests = read_tests(connector)
    except CheckFailed as failed:
        return ConformanceReport(connector.name, [CheckResult(TESTS, "failed", None, str(failed))])
    try:
        connection = make_connection(connector, next((test.connection for test in tests if test.connection), None))
    except NotApplicable as problem:
        return ConformanceReport(connector.name, [CheckResult(CONNECTION, "failed", None, str(problem))])
    names = _choose_actions(connector, tests, only, most)
    results: list[CheckResult] = []
    async with open_world(connector, connection) as world:
        for number, test in enumerate(tests, 1):
            if only in (None, test.action):
                results.append(await _judge(name_test(test, number), test.action, check_exchange(world, test)))
        for name in names:
            results += await _check_action(world, connector.actions[name], tests)
        results += await _check_bounds(world, [connector.actions[name] for name in names], tests)
    left_out = len(connector.actions) - len(names) if only is None else 0
    untested = [name for name in names if name not in {test.action for test in tests}]
    return ConformanceReport(connector.name, results, left_out, untested)


def _choose_actions(
    connector: Connector, tests: Sequence[ConnectorTestSpec], only: str | None, most: int | None
) -> list[str]:
    if only is not None:
        return [only]
    names = list(connector.actions)
    if most is None or len(names) <= most:
        return names
    shown = {test.action for test in tests if test.action in connector.actions}
    step = len(names) / most
    return sorted(shown | {names[int(number * step)] for number in range(most)}, key=names.index)


async def _check_action(world: CheckWorld, action: Action, tests: Sequence[ConnectorTestSpec]) -> list[CheckResult]:
    subject = Subject(world, ActionSample(world.connector, action, tests))
    return [await _judge(name, action.name, check(subject)) for name, check in CHECKS.items()]


async def _check_bounds(
    world: CheckWorld, actions: Sequence[Action], tests: Sequence[ConnectorTestSpec]
) -> list[CheckResult]:
    """Check once that an answer has a limit: it takes a second, and all actions have the same HTTP client."""
    for action in actions:
        subject = Subject(world, ActionSample(world.connector, action, tests))
        result = await _judge(BOUNDED, action.name, check_bounded_answer(subject))
        if result.verdict != "skipped":
            return [result]
    return []


async def _judge(name: str, action: str, check: Awaitable[None]) -> CheckResult:
    try:
        await check
    except NotApplicable as reason:
        return CheckResult(name, "skipped", action, str(reason))
    except CheckFailed as failed:
        return CheckResult(name, "failed", action, str(failed))
    return CheckResult(name, "passed", action)
