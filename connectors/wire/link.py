"""The Link header (RFC 8288): from a response to other resources, each by its relation."""

import re

from connectors.wire.response import Response

_PARAMETER = r"""\s*+;\s*+(?P<name>[^\s=;,<>"]*+)(?:\s*+=\s*+(?P<value>"(?:[^"\\]|\\.)*+"|[^\s;,"]*+))?+"""
_ANONYMOUS = re.sub(r"\?P<\w+>", "?:", _PARAMETER)
_LINK = re.compile(f"<([^<>]*+)>((?:{_ANONYMOUS})*+)", re.DOTALL)
_PARAMETERS = re.compile(_PARAMETER, re.DOTALL)


def find_link(response: Response, relation: str) -> str | None:
    """Return the URL of the first link with a relation, as the service wrote it; None if there is none. The names of
    parameters and relations match in any case."""
    for link in _LINK.finditer(response.headers.get("link", "")):
        if relation.lower() in _read_relations(link[2]):
            return link[1].strip()
    return None


def _read_relations(parameters: str) -> list[str]:
    """Return the relations of a link in lower case; only its first `rel` counts."""
    for found in _PARAMETERS.finditer(parameters):
        if found["name"].lower() == "rel" and found["value"]:
            value = re.sub(r"\\(.)", r"\1", found["value"].strip("\"'"))
            return value.lower().split()
    return []
