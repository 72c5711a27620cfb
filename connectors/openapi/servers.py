"""The servers of a document: where its operations are."""

import re
from collections.abc import Mapping
from typing import Any

from connectors.openapi.document import ImportedDocument, OperationSkipped, Part
from connectors.openapi.inputs import quote_text
from connectors.wire.url import MalformedURL, parse_url
from durable.wording import quote

_VARIABLE = re.compile(r"\{([^{}]*)\}")

BASE_URL = "base_url"
"""The field of a connection that takes the place of the document's servers."""

NO_SERVER = "the document has no server for it; set 'base_url' under 'http'"


def choose_server(document: ImportedDocument, *owners: Part) -> str:
    """Return the first server of an operation, of its path, or of the document, with the defaults of its variables.
    `owners`: the path, then the operation. Raises `OperationSkipped`."""
    listed = [owner.get("servers") if isinstance(owner, dict) else None for owner in reversed(owners)]
    servers = next((each for each in [*listed, document.read(("servers",))] if isinstance(each, list) and each), None)
    server = document.resolve(servers[0]) if servers else None
    if not isinstance(server, dict) or not isinstance(server.get("url"), str):
        raise OperationSkipped(NO_SERVER)
    variables = server.get("variables")
    url = _fill_in(server["url"].strip(), variables if isinstance(variables, dict) else {})
    base_url = f"https:{url}" if url.startswith("//") else url
    if not base_url.startswith(("http://", "https://")):
        raise OperationSkipped(f"its server {quote(url)} has no host; set 'base_url' under 'http'")
    try:
        parse_url(base_url)
    except MalformedURL as error:
        raise OperationSkipped(f"its server {quote(url)} is not valid: {error}") from None
    if "?" in base_url or "#" in base_url or "{{" in base_url:
        raise OperationSkipped(f"its server {quote(url)} contains more than an address; set 'base_url' under 'http'")
    return base_url


def make_base_url(server: str) -> str:
    """Return the template of a base URL: the connection's own, so that its credentials never go to another host, or
    else the server that the document names."""
    return f"{{{{ connection.{BASE_URL} | default({quote_text(server)}, true) }}}}"


def find_main_server(document: ImportedDocument) -> str | None:
    """Return the server of the operations that name none; None if the document names none."""
    try:
        return choose_server(document)
    except OperationSkipped:
        return None


def _fill_in(url: str, variables: Mapping[str, Any]) -> str:
    def find(name: str) -> str:
        variable = variables.get(name)
        default = variable.get("default") if isinstance(variable, dict) else None
        values = variable.get("enum") if isinstance(variable, dict) else None
        found = default if default is not None else values[0] if isinstance(values, list) and values else None
        if not isinstance(found, str | int):
            raise OperationSkipped(
                f"its server {quote(url)} has no default for {quote(name)}; set 'base_url' under 'http'"
            )
        return str(found)

    return _VARIABLE.sub(lambda match: find(match[1]), url)
