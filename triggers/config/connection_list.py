"""The list of connections, as the API and the commands show it."""

from collections.abc import Callable

from durable.action import OpenConnection
from durable.reports import GateReport, TokenReport
from triggers.config.connections import Connections, ConnectionState
from triggers.documents.connections import ConnectionDocument, GateDocument, LoginDocument, TokenStateDocument


def describe_connections(
    connections: Connections,
    find_login_problem: Callable[[OpenConnection], str | None],
    report_gate: Callable[[str], GateReport | None] = lambda name: None,
    find_login: Callable[[str], LoginDocument | None] = lambda name: None,
    find_pipelines: Callable[[str], list[str]] = lambda name: [],
    report_token: Callable[[str], TokenReport | None] = lambda name: None,
) -> list[ConnectionDocument]:
    """The connections as entries of a list."""
    return [
        _describe(
            state,
            connections,
            report_gate(state.name),
            find_login(state.name),
            find_pipelines(state.name),
            report_token(state.name),
        )
        for state in connections.list_states(find_login_problem)
    ]


def _describe(
    state: ConnectionState,
    connections: Connections,
    report: GateReport | None,
    login: LoginDocument | None,
    pipelines: list[str],
    token: TokenReport | None,
) -> ConnectionDocument:
    test = connections.find_test(state.name)
    return ConnectionDocument(
        name=state.name,
        connector=state.connector,
        status=state.status,
        reason=state.reason,
        test=test.use if test else None,
        pipelines=pipelines,
        gate=GateDocument.of(report) if report else None,
        login=login,
        token=TokenStateDocument.of(token) if token else None,
        has_login=state.has_login,
    )
