"""The form `python`: a file of the operator's folder with one `Connector`, executed when it changes."""

import traceback
from collections.abc import Mapping
from pathlib import Path

from durable.action import Connector, LoadedConnector
from durable.lazy import load_file
from durable.problem import Problem

SCAFFOLD = '''"""What the service is."""

from typing import Any

from waypost import Connector, Context, Credential, Inputs, action


class Account(Inputs):
    token: Credential  # connections.yaml gives it: {name}: {{use: {name}, token: "{{{{ secrets.TOKEN }}}}"}}


class NewItem(Inputs):
    name: str


@action("create_item", input=NewItem, idempotent="key")  # "key": the service honours the header Idempotency-Key
async def create_item(context: Context, input: NewItem) -> Any:
    """Create an item."""
    response = await context.http.post("/items", json={{"name": input.name}})
    return response.json()


CONNECTOR = Connector(
    "{name}",
    "What the service is",
    [create_item],
    Account,
    base_url="https://api.example.com",
    auth=[{{"bearer": "{{{{ connection.token }}}}"}}],
    tests=[  # `waypost connector check {name}` runs them
        {{
            "action": "create_item",
            "with": {{"name": "Tea"}},
            "answer": {{"status": 201, "body": {{"id": 7, "name": "Tea"}}}},
            "expect": {{
                "request": {{"method": "POST", "path": "/items", "body": {{"name": "Tea"}}}},
                "output": {{"id": 7, "name": "Tea"}},
            }},
        }}
    ],
)
'''


class PythonForm:
    """Reads Python files that define one `Connector`."""

    def load(self, file: str, data: bytes, memory: str | None = None, /) -> LoadedConnector:
        path = Path(file)
        try:
            module = load_file(path, data)
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # noqa: BLE001  # a file of the operator may raise anything
            return LoadedConnector(None, (_locate(error, path),))
        found = {id(value): value for value in vars(module).values() if isinstance(value, Connector)}
        if len(found) != 1:
            what = f"the file defines {len(found)} connectors" if found else "the file defines no connector"
            hint = f'define one: CONNECTOR = Connector("{path.stem}", "what it is", [the actions])'
            return LoadedConnector(None, (Problem(str(path), 1, 1, what, hint),))
        [connector] = found.values()
        return LoadedConnector(connector)

    def scaffold(self, name: str) -> Mapping[str, str]:
        return {f"{name}.py": SCAFFOLD.format(name=name)}

    def make_schema(self) -> None:
        return None


def _locate(error: BaseException, path: Path) -> Problem:
    """Report an exception of a file at the line of the file at which it was raised."""
    what = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
    if isinstance(error, SyntaxError) and error.filename == str(path):
        return Problem(str(path), error.lineno or 1, error.offset or 1, f"{type(error).__name__}: {error.msg}")
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(path)]
    return Problem(str(path), (lines[-1] if lines else 1) or 1, 1, what)


FORM = PythonForm()
