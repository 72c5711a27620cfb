"""The form `yaml`: a connector in one file, with further actions in a Python file next to it if needed."""

from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from connectors.yaml_form.editor_schema import make_connector_schema
from connectors.yaml_form.load import load_connector
from durable.action import Action, LoadedConnector
from durable.lazy import load_file

SCAFFOLD = """\
about: What the service is
connection:
  fields:
    token: {{type: string, secret: true, about: Where to get it}}
  auth: [{{bearer: "{{{{ connection.token }}}}"}}]
  test: list_items

http:
  base_url: https://api.example.com

actions:
  list_items:
    about: List the items
    get: /items

  create_item:
    about: Create an item
    post: /items
    inputs:
      name: {{type: string}}

tests:
  - action: create_item
    with: {{name: Tea}}
    answer: {{status: 201, body: {{id: 7, name: Tea}}}}
    expect:
      request: {{method: POST, path: /items, body: {{name: Tea}}}}
      output: {{id: 7, name: Tea}}
"""


class YamlForm:
    """Reads files in the declarative grammar."""

    def load(self, path: str, data: bytes, memory: str | None = None, /) -> LoadedConnector:
        used: list[str] = []
        loaded = load_connector(data, path, partial(_load_code, Path(path).parent, used))
        return LoadedConnector(loaded.connector, loaded.problems, tuple(used))

    def scaffold(self, name: str, /) -> Mapping[str, str]:
        return {f"{name}.yaml": SCAFFOLD.format()}

    def make_schema(self) -> Mapping[str, Any]:
        return make_connector_schema()


def _load_code(folder: Path, used: list[str], name: str) -> list[Action]:
    """Return the actions of a Python file, and add its path to `used`. Raises `ValueError`."""
    path = folder / name
    used.append(str(path))
    try:
        module = load_file(path, path.read_bytes())
    except OSError as error:
        raise ValueError(f"{name} cannot be read: {error.strerror}; put it into the folder of this file") from None
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # noqa: BLE001  # a file of the operator may raise anything
        raise ValueError(f"{name} cannot be loaded: {type(error).__name__}: {error}") from None
    found = list(_list_actions(vars(module)))
    if not found:
        raise ValueError(f"{name} defines no actions; decorate its functions with '@action(…)'")
    return found


def _list_actions(names: Mapping[str, object]) -> Iterator[Action]:
    yield from {id(value): value for value in names.values() if isinstance(value, Action)}.values()


FORM = YamlForm()
