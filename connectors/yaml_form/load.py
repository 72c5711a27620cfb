"""Loads a connector's file: from its text to a `Connector`, or to a list of everything that is wrong with it.

Pure: the caller has read the file. No text or bytes make it raise.
"""

import re
from collections.abc import Callable, Iterable, Mapping

from connectors.yaml_form.action_check import ActionCheck
from connectors.yaml_form.compile import UncompilableAction, compile_connector
from connectors.yaml_form.connection_check import check_connection
from connectors.yaml_form.hints import CONNECTOR_HINTS
from connectors.yaml_form.merge import list_methods
from connectors.yaml_form.names import SECRET_HINT
from connectors.yaml_form.request_check import RequestCheck
from connectors.yaml_form.rules_check import check_test
from connectors.yaml_form.signature import Signature, read_signature, take_signature
from connectors.yaml_form.spec import ConnectorSpec
from durable.action import Action, LoadedConnector
from durable.known_values import KnownMapping
from durable.language.expression_check import ExpressionCheck
from durable.language.report import Report
from durable.language.step_check import check_filled
from durable.language.validation import find_data_problems
from durable.spec_model import IDENTIFIER, Mapped, get_list, get_mapping
from durable.wording import quote
from durable.yaml.document import YamlDocument
from durable.yaml.syntax import Words

WORDS = Words(conditions=frozenset({"when", "more", "next", "cursor", "items", "value"}))

LoadCode = Callable[[str], Iterable[Action]]
"""Returns the actions of a Python file beside the connector's file, by its name. Raises `ValueError`."""


def load_connector(data: str | bytes, file: str, load_code: LoadCode | None = None) -> LoadedConnector:
    """Load and check the text of a connector."""
    report, written = _read(data, file)
    if written is None:
        return LoadedConnector(None, report.problems())
    more = _load_code(written, report, load_code)
    _check_models(written, report)
    check = FileCheck(written, report, {each.name: each for each in more})
    check.run()
    problems = report.problems()
    if any(problem.severity == "error" for problem in problems):
        return LoadedConnector(None, problems)
    try:
        connector = compile_connector(ConnectorSpec.model_validate(written), written, check.signatures, more)
    except UncompilableAction as error:
        report.add(("actions", error.name), str(error), None, is_key=True)
        return LoadedConnector(None, report.problems())
    return LoadedConnector(connector, problems)


def _read(data: str | bytes, file: str) -> tuple[Report, "Mapped | None"]:
    """Read the text; returns its data with an id, or None if it is not a mapping."""
    document = YamlDocument.read(data, file, words=WORDS)
    report = Report(document)
    if not document.is_whole:
        return report, None
    if not isinstance(document.data, dict):
        what = "the file is empty" if document.data is None else "the file is not a mapping"
        report.add((), what, "a connector begins with 'about:', 'http:' and 'actions:'")
        return report, None
    return report, add_id(document.data, report)


def add_id(data: Mapped, report: Report) -> Mapped:
    """Return the data with an id, which is the file's name."""
    name = report.document.source.file.replace("\\", "/").rpartition("/")[2].partition(".")[0]
    if not re.match(IDENTIFIER, name):
        what = f"the file's name {quote(name)} cannot be a connector's id"
        report.add((), what, "rename the file: lower-case letters, digits and '_'")
        name = "unnamed"
    elif "id" in data and data["id"] != name and isinstance(data["id"], str):
        what = f"the id {quote(data['id'])} is not the name of the file"
        report.add(("id",), what, f"write {quote(name)}, or rename the file")
    return {"id": name, **data}


def _load_code(data: Mapped, report: Report, load_code: LoadCode | None) -> list[Action]:
    code = data.get("code")
    if not isinstance(code, str):
        return []
    if load_code is None:
        report.add(("code",), "this connector cannot have a Python file", "remove 'code'")
        return []
    try:
        found = list(load_code(code))
    except ValueError as error:
        message, _, hint = str(error).partition("; ")
        report.add(("code",), message, hint or None)
        return []
    written = get_mapping(data.get("actions"))
    for each in found:
        if each.name in written:
            what = f"{code} also has an action {quote(each.name)}"
            report.add(("actions", each.name), what, "rename one of them", is_key=True)
    return [each for each in found if each.name not in written]


def _check_models(data: Mapped, report: Report) -> None:
    misplaced = _find_misplaced(data)
    for name in misplaced:
        what = f"{quote(name)} is a key of an action, but the name of an action is expected here"
        report.add(("actions", name), what, f"put the name above it: 'list_items: {{{name}: …}}'", is_key=True)
    for each in find_data_problems(ConnectorSpec, data, hints=CONNECTOR_HINTS):
        if each.pointer[:1] == ("actions",) and len(each.pointer) > 1 and each.pointer[1] in misplaced:
            continue
        report.add(each.pointer, each.message, each.hint, is_key=each.is_key)


def _find_misplaced(data: Mapped) -> list[str]:
    """Return the keys under `actions` that are keys of an action without a name above them."""
    actions = get_mapping(data.get("actions"))
    keys = [*list_methods(actions), *({"about", "inputs"} & actions.keys())]
    return [key for key in keys if not isinstance(actions[key], dict) or (key == "inputs" and len(keys) > 1)]


class FileCheck:
    """Checks what the models cannot. Walks the data, so that an invalid part does not hide the problems of others."""

    def __init__(self, data: Mapped, report: Report, more: Mapping[str, Action]) -> None:
        self._data = data
        self._report = report
        self._expressions = ExpressionCheck(report, None, secret_hint=SECRET_HINT)
        self._connection = get_mapping(data.get("connection"))
        self._fields = get_mapping(self._connection.get("fields"))
        self._actions = {
            name: action for name, action in get_mapping(data.get("actions")).items() if isinstance(action, dict)
        }
        self.signatures: dict[str, Signature] = {
            **{name: take_signature(action) for name, action in more.items()},
            **{name: read_signature(name, action) for name, action in self._actions.items()},
        }

    def run(self) -> None:
        data, report = self._data, self._report
        for at in ((), ("connection",), ("http",)):
            check_filled(get_mapping(data.get(at[0])) if at else data, at, report)
        if not self.signatures and not data.get("actions") and "code" not in data:
            report.add((), "the connector has no actions", "list them under 'actions', by name")
        check_connection(self._connection, self._fields, self.signatures, self._expressions, report)
        http = get_mapping(data.get("http"))
        known = KnownMapping(dict.fromkeys(self._fields))
        requests = RequestCheck(report, self._expressions, known)
        requests.check(http, ("http",), None)
        actions = ActionCheck(report, requests, http, self.signatures)
        for name, action in self._actions.items():
            actions.check(name, action, ("actions", name))
        if data.get("triggers"):
            what, hint = "triggers of connectors are not supported yet", "this part of the file is ignored"
            report.add(("triggers",), what, hint, is_key=True, severity="warning")
        for index, test in enumerate(get_list(data.get("tests"))):
            check_test(get_mapping(test), ("tests", index), self.signatures, self._fields, report)
