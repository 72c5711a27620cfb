"""The form `openapi`: a file that names an OpenAPI document, every operation of which is an action."""

from collections.abc import Mapping

from connectors.openapi.document import ImportedDocument
from connectors.openapi.files import locate_document, open_document
from connectors.openapi.load import load_import
from durable.action import LoadedConnector

SCAFFOLD = """\
# Put the service's OpenAPI document (JSON or YAML, version 3.0 or 3.1) at this path, or change the path.
openapi: documents/{name}.json

# Without 'select', every operation is an action. `waypost connector show {name}` lists them.
# select: {{tags: [issues], names: [repos_get], paths: ["/search/*"]}}
# rename: {{repos_get: get_repository}}
"""

EXAMPLE = """\
{{
  "openapi": "3.1.0",
  "info": {{"title": "{name}", "version": "1"}},
  "servers": [{{"url": "https://api.example.com"}}],
  "paths": {{
    "/items/{{id}}": {{
      "get": {{
        "operationId": "getItem",
        "summary": "Get an item",
        "parameters": [{{"name": "id", "in": "path", "required": true, "schema": {{"type": "string"}}}}]
      }}
    }}
  }},
  "components": {{"securitySchemes": {{"token": {{"type": "http", "scheme": "bearer"}}}}}}
}}
"""


class OpenApiForm:
    """Reads files that import OpenAPI documents."""

    def load(self, path: str, data: bytes, memory: str | None = None, /) -> LoadedConnector:
        used: list[str] = []

        def open_named(name: str) -> ImportedDocument:
            located = locate_document(path, name)
            used.append(str(located))
            return open_document(located, name)

        loaded = load_import(data, path, open_named)
        return LoadedConnector(loaded.connector, loaded.problems, tuple(used))

    def scaffold(self, name: str, /) -> Mapping[str, str]:
        return {
            f"{name}.yaml": SCAFFOLD.format(name=name),
            f"documents/{name}.json": EXAMPLE.format(name=name),
        }

    def make_schema(self) -> None:
        return None


FORM = OpenApiForm()
