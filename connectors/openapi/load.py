"""Loads a connector's file that imports an OpenAPI document. No text or bytes make it raise."""

import re
from collections.abc import Callable

from connectors.openapi.actions import ImportedActions
from connectors.openapi.document import DocumentRefused, ImportedDocument
from connectors.openapi.names import shorten_text
from connectors.openapi.operations import OperationCompiler, list_operations
from connectors.openapi.security import find_credentials, read_security
from connectors.openapi.selection import check_selection, rename_operations, select_operations
from connectors.openapi.servers import find_main_server
from connectors.openapi.spec import ImportSpec
from durable.action import Connector, LoadedConnector
from durable.language.report import Report
from durable.language.validation import find_data_problems
from durable.schema_model import make_inputs_schema, make_model
from durable.spec_model import IDENTIFIER, Mapped
from durable.wording import quote
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
    written = _add_id(read.data, report)
    report.add_all(find_data_problems(ImportSpec, written))
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
    connector = _make_connector(spec, document, report)
    return LoadedConnector(None if _has_errors(report) else connector, report.problems())


def _check_kind(data: Mapped, report: Report) -> bool:
    """Report a document that lies where a connector's file belongs."""
    if "paths" not in data and not re.fullmatch(r"3\.\d+(\.\d+)?", str(data.get("openapi"))):
        return True
    hint = "move it to a folder of its own, and write a file here with 'openapi: documents/NAME.yaml'"
    report.add((), "this is an OpenAPI document, and not a connector that refers to one", hint)
    return False


def _add_id(data: Mapped, report: Report) -> Mapped:
    """Return the data with an id, which is the name of the file."""
    name = report.document.source.file.replace("\\", "/").rpartition("/")[2].partition(".")[0]
    if not re.match(IDENTIFIER, name):
        what = f"the file's name {quote(name)} cannot be a connector's id"
        report.add((), what, "rename the file: lower-case letters, digits and '_'")
    elif "id" in data and data["id"] != name:
        report.add(("id",), f"the id {quote(str(data['id']))} is not the name of the file", f"write {quote(name)}")
    return {"id": name, **data}


def _has_errors(report: Report) -> bool:
    return any(problem.severity == "error" for problem in report.problems())


def _make_connector(spec: ImportSpec, document: ImportedDocument, report: Report) -> Connector:
    operations = list(list_operations(document))
    report.add_all(check_selection(operations, spec.select, spec.rename))
    chosen = rename_operations(select_operations(operations, spec.select), spec.rename)
    if not chosen:
        report.add(("select",), "no operation of the document is selected", "change the patterns, or remove 'select'")
    connection = read_security(document, find_main_server(document))
    compiler = OperationCompiler(document, find_credentials(document))
    actions = ImportedActions(chosen, compiler.compile)
    return Connector(
        spec.id,
        spec.about or _find_title(document),
        actions,
        make_model(f"{spec.id}_connection", make_inputs_schema(connection.fields)),
        auth=connection.auth,
        skipped=actions.skipped,
    )


def _find_title(document: ImportedDocument) -> str:
    info = document.read(("info",))
    title = shorten_text(info.get("title"), SUMMARY_LIMIT) if isinstance(info, dict) else ""
    return title or "The operations of an OpenAPI document"
