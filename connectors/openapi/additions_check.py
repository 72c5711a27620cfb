"""Checks what a connector's file adds to the operations of its document."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace

from connectors.openapi.actions import ImportedActions
from connectors.openapi.operations import CompiledOperation
from connectors.yaml_form.connection_check import check_connection
from connectors.yaml_form.merge import merge_request
from connectors.yaml_form.names import SECRET_HINT
from connectors.yaml_form.request_check import RequestCheck
from connectors.yaml_form.rules_check import RequestForm, RulesCheck, check_test
from connectors.yaml_form.signature import Signature, take_signature
from durable.action import Action
from durable.expressions.expression import ExpressionError
from durable.known_values import KnownMapping
from durable.language.expression_check import ExpressionCheck
from durable.language.report import Report
from durable.problem import Pointer
from durable.spec_model import Mapped, get_list, get_mapping
from durable.wording import quote, suggest


class ImportedSignatures(Mapping[str, Signature]):
    """The inputs and outputs of the actions, of which only those that are asked for are compiled."""

    def __init__(self, plain: ImportedActions, actions: ImportedActions) -> None:
        self._plain = plain
        self._actions = actions

    def __getitem__(self, name: str) -> Signature:
        action = self._find_action(name)
        is_read = self._plain.operations[name].method in {"get", "head"}
        is_query = self._plain.operations[name].method == "post" and action.idempotent == "yes"
        return replace(take_signature(action), is_read=is_read or is_query)

    def _find_action(self, name: str) -> Action:
        try:
            return self._actions[name]
        except (ValueError, ExpressionError):  # what the file adds has mistakes, which are reported
            return self._plain[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._plain)

    def __len__(self) -> int:
        return len(self._plain)


class AdditionsCheck:
    """Checks the keys `connection`, `http`, `actions` and `tests`. `plain` are the actions of the document, and
    `actions` the same with what the file adds."""

    def __init__(self, data: Mapped, plain: ImportedActions, actions: ImportedActions, report: Report) -> None:
        self._data = data
        self._plain = plain
        self._actions = actions
        self._report = report
        self._signatures = ImportedSignatures(plain, actions)

    def run(self, credentials: Iterable[str], fields: Iterable[str]) -> None:
        """Check the file. `fields` are those of connections, and `credentials` those that `auth` could read."""
        data, report = self._data, self._report
        expressions = ExpressionCheck(report, None, secret_hint=SECRET_HINT)
        connection = get_mapping(data.get("connection"))
        check_connection(connection, credentials, self._signatures, expressions, report)
        requests = RequestCheck(report, expressions, KnownMapping(dict.fromkeys(fields)))
        http = get_mapping(data.get("http"))
        requests.check(http, ("http",), None)
        self._refuse_encode(http, ("http",))
        rules = RulesCheck(report, requests, self._signatures)
        for name, added in get_mapping(data.get("actions")).items():
            operation = self._plain.find(name)
            if isinstance(operation, CompiledOperation):
                self._check_action(name, operation, http, get_mapping(added), rules)
            else:
                self._report_unknown(name, ("actions", name))
        for index, test in enumerate(get_list(data.get("tests"))):
            check_test(get_mapping(test), ("tests", index), self._signatures, fields, report)

    def _report_unknown(self, name: str, pointer: Pointer) -> None:
        why = self._plain.skipped.get(name, "the document has no such operation, or it is not selected")
        hint = suggest(name, self._plain.operations)
        self._report.add(pointer, f"there is no action {quote(name)}: {why}", hint, is_key=True, severity="warning")

    def _check_action(
        self, name: str, operation: CompiledOperation, http: Mapped, added: Mapped, rules: RulesCheck
    ) -> None:
        pointer, own = ("actions", name), take_signature(self._plain[name])
        declared = operation.declared
        merged = merge_request(http, {declared.method.lower(): declared.path, **added})
        form = RequestForm(declared.method.lower(), declared.has_body, has_fields=operation.has_fields)
        rules.check(name, added, merged, form, pointer, own)
        self._refuse_encode(added, pointer)
        for each, said in get_mapping(added.get("inputs")).items():
            if each in own.known_inputs.keys:
                rules.check_options(get_mapping(said), each, (*pointer, "inputs", each), own)
            else:
                what, hint = f"the action has no input {quote(each)}", suggest(each, own.known_inputs.keys)
                self._report.add((*pointer, "inputs", each), what, hint, is_key=True, severity="warning")
        if not any(problem.severity == "error" for problem in self._report.problems()):
            try:
                self._actions[name]
            except ValueError as error:
                self._report.add(pointer, str(error), None, is_key=True)

    def _refuse_encode(self, owner: Mapped, pointer: Pointer) -> None:
        if "encode" in owner:
            hint = "the document says how each body is encoded; remove it"
            self._report.add((*pointer, "encode"), "'encode' does not go with 'openapi'", hint, is_key=True)
