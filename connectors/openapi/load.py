"""Loads a connector's file that imports an OpenAPI document. No text or bytes make it raise."""

import re
from collections.abc import Callable

from connectors.openapi.actions import ImportedActions
from connectors.openapi.additions import add_to_operation
from connectors.openapi.additions_check import AdditionsCheck
from connectors.openapi.document import DocumentRefused, ImportedDocument
from connectors.openapi.names import shorten_text
from connectors.openapi.operations import CompiledOperation, ListedOperation, OperationCompiler, list_operations
from connectors.openapi.security import combine_connection, find_credentials, read_security
from connectors.openapi.selection import check_selection, rename_operations, select_operations
from connectors.openapi.servers import find_main_server
from connectors.openapi.spec import ImportSpec
from connectors.yaml_form.hints import CONNECTOR_HINTS
from connectors.yaml_form.load import add_id
from durable.action import Connector, LoadedConnector
from durable.known_values import is_template
from durable.language.report import Report
from durable.language.validation import find_data_problems
from durable.limit import NO_LIMIT
from durable.schema_model import make_inputs_schema, make_model
from durable.spec_model import Mapped, get_list, get_mapping
from durable.yaml.document import YamlDocument

OpenDocument = Callable[[str], ImportedDocument]
"""Opens the document at the path that the file names; raises `DocumentRefused`."""

SUMMARY_LIMIT = 120


def load_import(data: str | bytes, file: str, open_document: OpenDocument) -> LoadedConnector:
    """Load and check the text of a connector's file, and the list of operations of its document."""
    read = YamlDocument.read(data, file)
    report = Report(read)
    if not read.is_whole:
        return LoadedConnector(None, report.problems())
    if not isinstance(read.data, dict) or not _check_kind(read.data, report):
        return LoadedConnector(None, report.problems())
    written = add_id(read.data, report)
    report.add_all(find_data_problems(ImportSpec, written, hints=CONNECTOR_HINTS))
    if _has_errors(report):
        return LoadedConnector(None, report.problems())
    spec = ImportSpec.model_validate(written)
    try:
        document = open_document(spec.openapi)
    except DocumentRefused as refused:
        what = refused.explanation.message
        report.add(
            ("openapi",), f"{what} (line {refused.line})" if refused.line > 1 else what, refused.explanation.hint
        )
        return LoadedConnector(None, report.problems())
    connector = _make_connector(spec, written, document, report)
    return LoadedConnector(connector, report.problems())


def _check_kind(data: Mapped, report: Report) -> bool:
    """Report an OpenAPI document in the place of a connector's file."""
    if "paths" not in data and not re.fullmatch(r"3\.\d+(\.\d+)?", str(data.get("openapi"))):
        return True
    hint = "move it to a separate folder, and write a file here with 'openapi: documents/NAME.yaml'"
    report.add((), "this is an OpenAPI document, not a connector file", hint)
    return False


def _has_errors(report: Report) -> bool:
    return any(problem.severity == "error" for problem in report.problems())


def _make_connector(spec: ImportSpec, data: Mapped, document: ImportedDocument, report: Report) -> Connector | None:
    operations = list(list_operations(document))
    report.add_all(check_selection(operations, spec.select, spec.rename))
    chosen = rename_operations(select_operations(operations, spec.select), spec.rename)
    if not chosen:
        report.add(("select",), "no operation of the document is selected", "change the patterns, or remove 'select'")
    http, added = get_mapping(data.get("http")), get_mapping(data.get("actions"))
    given = spec.http.base_url
    default = given if given and not is_template(given) else find_main_server(document)
    compiler = OperationCompiler(document, find_credentials(document), has_base_url=given is not None)

    def compile_operation(operation: ListedOperation) -> CompiledOperation:
        return add_to_operation(compiler.compile(operation), http, get_mapping(added.get(operation.name)))

    actions = ImportedActions(chosen, compile_operation)
    found = read_security(document, default)
    connection = combine_connection(found, spec.connection)
    checks = AdditionsCheck(data, ImportedActions(chosen, compiler.compile), actions, report)
    checks.run({**found.fields, **connection.fields}, connection.fields)
    if _has_errors(report):
        return None
    return Connector(
        spec.id,
        spec.about or _find_title(document),
        actions,
        make_model(f"{spec.id}_connection", make_inputs_schema(connection.fields)),
        auth=connection.auth,
        test=spec.connection.test if spec.connection else None,
        limit=spec.http.limit or NO_LIMIT,
        skipped=actions.skipped,
        tests=[get_mapping(test) for test in get_list(data.get("tests"))],
    )


def _find_title(document: ImportedDocument) -> str:
    info = document.read(("info",))
    title = shorten_text(info.get("title"), SUMMARY_LIMIT) if isinstance(info, dict) else ""
    return title or "The operations of an OpenAPI document"
