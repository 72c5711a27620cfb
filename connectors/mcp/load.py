"""Loads a connector's file that names an MCP server. No text or bytes make it raise."""

import hashlib
from functools import partial
from pathlib import Path

import msgspec

from connectors.mcp.actions import check_tools, make_actions, name_tools
from connectors.mcp.server import McpServer
from connectors.mcp.servers import McpServers
from connectors.mcp.spec import McpConnectorSpec
from connectors.mcp.tool_list import ToolList, read_tool_list, store_problem
from connectors.wire.url import RELATIVE, ensure_written
from connectors.yaml_form.connection_check import check_connection
from connectors.yaml_form.hints import CONNECTOR_HINTS
from connectors.yaml_form.load import add_id
from connectors.yaml_form.names import SECRET_HINT, ConnectorNames
from connectors.yaml_form.schemas import name_notes
from connectors.yaml_form.signature import take_signature
from durable.action import Action, ActionError, Connector, Context, Discovery, Inputs, LiteralError, LoadedConnector
from durable.expressions.template import Template
from durable.known_values import KnownMapping, has_template
from durable.language.expression_check import ExpressionCheck
from durable.language.report import Report
from durable.language.validation import find_data_problems
from durable.limit import NO_LIMIT
from durable.schema_model import make_inputs_schema, make_model
from durable.spec_model import Mapped, get_mapping
from durable.values import JSON
from durable.yaml.document import YamlDocument

NOT_ASKED = "its server has not listed its tools yet"


def load_server_file(data: str | bytes, file: str, memory: Path | None) -> LoadedConnector:
    """Load and check the text of a connector's file. The tools of the server are those that it listed last, which the
    folder `memory` holds."""
    document = YamlDocument.read(data, file)
    report = Report(document)
    if document.is_whole and not isinstance(document.data, dict):
        report.add((), "the file is not a mapping", "a connector of an MCP server begins with 'mcp:'")
    if not document.is_whole or not isinstance(document.data, dict):
        return LoadedConnector(None, report.problems())
    written = add_id(document.data, report)
    report.add_all(find_data_problems(McpConnectorSpec, written, hints=CONNECTOR_HINTS))
    if _has_errors(report):
        return LoadedConnector(None, report.problems())
    spec = McpConnectorSpec.model_validate(written)
    _check_server(spec, written, report)
    if _has_errors(report):
        return LoadedConnector(None, report.problems())
    path = memory / f"{spec.id}.json" if memory else None
    server = _make_server(spec, written, Path(file).parent, path)
    found = read_tool_list(path, server.source) if path else ToolList(server.source)
    connector = _make_connector(spec, written, server, found, report)
    files = (str(path),) if path else ()
    return LoadedConnector(None if _has_errors(report) else connector, report.problems(), files)


def _has_errors(report: Report) -> bool:
    return any(problem.severity == "error" for problem in report.problems())


def _check_server(spec: McpConnectorSpec, data: Mapped, report: Report) -> None:
    """Report what the models cannot check: keys that exclude each other, and expressions."""
    written, server = get_mapping(data.get("mcp")), spec.mcp
    if (server.command is None) == (server.url is None):
        what = "names no server" if server.url is None else "names two servers"
        report.add(("mcp",), f"'mcp' {what}", "write either 'command: [PROGRAM, ARGUMENT]' or 'url: https://…'")
    for key, needed in (("env", "command"), ("headers", "url")):
        if key in written and needed not in written:
            report.add(
                ("mcp", key),
                f"{key!r} is only for {needed!r}",
                f"remove it, or add {needed!r}",
                is_key=True,
            )
    for index, word in enumerate(server.command or ()):
        if has_template(word):
            hint = "pass the value in 'env', which other users of the machine cannot see"
            report.add(("mcp", "command", index), "a command cannot contain expressions", hint)
    connection = get_mapping(data.get("connection"))
    expressions = ExpressionCheck(report, None, secret_hint=SECRET_HINT)
    names = ConnectorNames({"connection": KnownMapping(dict.fromkeys(get_mapping(connection.get("fields"))))})
    for key in ("env", "url", "headers"):
        expressions.check_templates(written.get(key), ("mcp", key), names)
    if server.url and (problem := _find_url_problem(server.url)):
        report.add(("mcp", "url"), problem)
    if spec.connection and spec.connection.auth and server.command:
        hint = "pass credentials to the program in 'env'"
        report.add(
            ("connection", "auth"), "'auth' signs HTTP requests, which a program does not get", hint, is_key=True
        )


def _find_url_problem(url: str) -> str | None:
    try:
        ensure_written(url, is_alone=True)
    except LiteralError as error:
        return "the URL is not absolute; begin it with https://" if str(error) == RELATIVE else str(error)
    return None


def _make_server(spec: McpConnectorSpec, data: Mapped, folder: Path, path: Path | None) -> McpServer:
    server = spec.mcp
    identity = msgspec.json.encode([str(folder), data["mcp"]], order="deterministic")
    settings: JSON = {"env": dict[str, JSON](server.env), "url": server.url, "headers": dict[str, JSON](server.headers)}
    return McpServer(
        spec.id,
        hashlib.sha256(identity).hexdigest(),
        server.command or (),
        str(folder),
        Template.parse(settings, [("url",)]),
        path,
    )


def _make_connector(
    spec: McpConnectorSpec, data: Mapped, server: McpServer, found: ToolList, report: Report
) -> Connector:
    tools = found.tools or ()
    if found.problem:
        since = "the tools that it had before stay in use" if found.tools is not None else "no tool can be used"
        report.add(("mcp",), f"{found.problem}; {since}", None, is_key=True, severity="warning")
    if found.tools is not None:
        report.add_all(check_tools(tools, spec))
    actions, skipped = make_actions(server, name_tools(tools, spec), spec)
    if found.tools is not None:
        _check_connection(spec, data, actions, report)
    fields = {name: name_notes(schema) for name, schema in spec.connection.fields.items()} if spec.connection else {}
    takes_auth = bool(spec.mcp.url) and not (spec.connection and spec.connection.auth)
    model = make_model(f"{spec.id}_connection", make_inputs_schema(fields)) if fields else None
    return Connector(
        spec.id,
        spec.about or "The tools of an MCP server",
        actions,
        model or (McpConnection if takes_auth else None),
        auth=spec.connection.auth if spec.connection else (),
        takes_auth=takes_auth and model is None,
        test=spec.connection.test if spec.connection else None,
        limit=spec.limit or NO_LIMIT,
        skipped=skipped,
        discovery=Discovery(
            server.source,
            partial(_ask_server, server),
            (found.problem or NOT_ASKED) if found.tools is None else None,
        ),
    )


class McpConnection(Inputs):
    """A connection to an MCP server over HTTP. Its requests are signed as `auth` says."""


def _check_connection(spec: McpConnectorSpec, data: Mapped, actions: dict[str, Action], report: Report) -> None:
    signatures = {name: take_signature(action) for name, action in actions.items()}
    expressions = ExpressionCheck(report, None, secret_hint=SECRET_HINT)
    connection = get_mapping(data.get("connection"))
    check_connection(connection, get_mapping(connection.get("fields")), signatures, expressions, report)


async def _ask_server(server: McpServer, context: Context) -> None:
    """Let the server list its tools, and store them, or why it did not."""
    try:
        await context.resource(McpServers).refresh_tools(context, server)
    except ActionError as error:
        if server.tool_list:
            message = context.redactor.redact_text(error.message) if context.redactor else error.message
            store_problem(server.tool_list, server.source, message)
        raise
