"""Checks what a connector's file adds to the operations of its document."""

from collections.abc import Iterator, Mapping

from connectors.openapi.actions import ImportedActions
from connectors.yaml_form.action_check import check_schemas, check_use
from connectors.yaml_form.connection_check import check_connection
from connectors.yaml_form.merge import has_pages, merge_request
from connectors.yaml_form.names import SECRET_HINT, ConnectorNames
from connectors.yaml_form.request_check import RequestCheck, find_page_problems
from connectors.yaml_form.signature import Signature, take_signature
from durable.known_values import KnownMapping
from durable.language.expression_check import ExpressionCheck
from durable.language.report import Report
from durable.problem import Pointer
from durable.spec_model import Mapped, get_mapping
from durable.wording import quote, suggest


class ImportedSignatures(Mapping[str, Signature]):
    """The inputs and outputs of a document's actions, of which only those that are asked for are compiled."""

    def __init__(self, actions: ImportedActions) -> None:
        self._actions = actions

    def __getitem__(self, name: str) -> Signature:
        return take_signature(self._actions[name])

    def __iter__(self) -> Iterator[str]:
        return iter(self._actions)

    def __len__(self) -> int:
        return len(self._actions)


class AdditionsCheck:
    """Checks the keys `connection`, `http` and `actions`; `actions` are those of the document, without additions."""

    def __init__(self, data: Mapped, actions: ImportedActions, report: Report) -> None:
        self._data = data
        self._actions = actions
        self._report = report
        self._signatures = ImportedSignatures(actions)

    def run(self) -> None:
        data, report = self._data, self._report
        expressions = ExpressionCheck(report, None, secret_hint=SECRET_HINT)
        connection = get_mapping(data.get("connection"))
        if connection:
            check_connection(connection, self._signatures, expressions, report)
        known = KnownMapping(dict.fromkeys(get_mapping(connection.get("fields")))) if "fields" in connection else None
        requests, http = RequestCheck(report, expressions, known), get_mapping(data.get("http"))
        requests.check(http, ("http",), None)
        self._refuse_encode(http, ("http",))
        for name, added in get_mapping(data.get("actions")).items():
            pointer = ("actions", name)
            operation = self._actions.operations.get(name)
            if operation is None or name not in self._actions:
                why = self._actions.skipped.get(name, "the document has no such operation, or it is not selected")
                hint = suggest(name, self._actions.operations)
                report.add(pointer, f"there is no action {quote(name)}: {why}", hint, is_key=True, severity="warning")
            else:
                self._check_action(name, get_mapping(added), pointer, requests)
                merged = merge_request(http, {operation.method: operation.path, **get_mapping(added)})
                for key, message, hint in find_page_problems(get_mapping(merged["page"])) if has_pages(merged) else ():
                    report.add((*pointer, key), message, hint, is_key=True)

    def _check_action(self, name: str, added: Mapped, pointer: Pointer, requests: RequestCheck) -> None:
        own = self._signatures[name]
        names = requests.check(added, pointer, own.known_inputs)
        self._refuse_encode(added, pointer)
        requests.check_templates(added.get("output"), (*pointer, "output"), names, "this is the output")
        if isinstance(returns := added.get("returns"), dict):
            check_schemas({"returns": returns} if "type" in returns else returns, pointer, self._report)
        if has_pages(added) and "output" in added:
            hint = "the output is the list of all items; remove 'output', or shape the list by 'page.items'"
            self._report.add((*pointer, "output"), "'output' does not go with 'page'", hint, is_key=True)
        undo = get_mapping(added.get("undo"))
        if isinstance(undo.get("use"), str):
            reading = ConnectorNames({"inputs": own.known_inputs, "output": own.known_output})
            requests.check_sent(undo.get("with"), (*pointer, "undo", "with"), reading)
            check_use(str(undo["use"]), undo.get("with"), (*pointer, "undo"), self._signatures, self._report)

    def _refuse_encode(self, owner: Mapped, pointer: Pointer) -> None:
        if "encode" in owner:
            hint = "the document says how each body is encoded; remove it"
            self._report.add((*pointer, "encode"), "'encode' does not go with 'openapi'", hint, is_key=True)
