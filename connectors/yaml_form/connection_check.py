"""Checks `connection` of a connector's file: the fields, how requests are signed, and the test."""

from collections.abc import Iterable, Mapping

from connectors.yaml_form.names import ConnectorNames
from connectors.yaml_form.rules_check import check_schemas, find_used
from connectors.yaml_form.signature import Signature
from durable.auth_schemes import load_schemes
from durable.known_values import KnownMapping, has_template, is_template
from durable.language.expression_check import ExpressionCheck
from durable.language.report import Report
from durable.language.validation import find_data_problems
from durable.problem import Pointer
from durable.spec_model import Mapped, get_list, get_mapping
from durable.values import JSON
from durable.wording import quote, suggest


def check_connection(
    connection: Mapped,
    fields: Iterable[str],
    signatures: Mapping[str, Signature],
    expressions: ExpressionCheck,
    report: Report,
) -> None:
    """Check the key `connection` of a file. `fields` are the names that `auth` can read; `signatures` are those of
    the connector's actions."""
    check_schemas(get_mapping(connection.get("fields")), ("connection", "fields"), report)
    names = ConnectorNames({"connection": KnownMapping(dict.fromkeys(fields))})
    for index, scheme in enumerate(get_list(connection.get("auth"))):
        for name, settings in get_mapping(scheme).items():
            pointer = ("connection", "auth", index, name)
            expressions.check_templates(settings, pointer, names)
            _check_scheme(name, settings, pointer, report)
    test = connection.get("test")
    if not isinstance(test, str):
        return
    at = ("connection", "test")
    used = find_used(test, at, signatures, report)
    if used and (required := used.input.model_json_schema().get("required")):
        what = f"the test {quote(test)} has required inputs ({', '.join(required)}), and a test passes none"
        report.add(at, what, "name an action without required inputs")
    elif used and not used.is_read:
        what, hint = f"the test {quote(test)} changes something", "name an action that only reads"
        report.add(at, what, hint, severity="warning")


def _check_scheme(name: str, settings: JSON, pointer: Pointer, report: Report) -> None:
    schemes = load_schemes()
    scheme = schemes.loaded.get(name)
    if scheme is None:
        why = f": {schemes.broken[name]}" if name in schemes.broken else ""
        what = f"there is no authentication scheme {quote(name)}{why}"
        report.add(pointer, what, suggest(name, schemes.loaded), is_key=True)
        return
    for each in find_data_problems(scheme.settings, settings, is_open=is_template, context={"connection": None}):
        report.add((*pointer, *each.pointer), each.message, each.hint, is_key=each.is_key)
    if not has_template(settings):
        hint = "read a field of the connection: '{{ connection.NAME }}'"
        report.add(pointer, "the same credentials would be used for every connection", hint)
