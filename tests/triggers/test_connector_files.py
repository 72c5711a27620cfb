"""The connector files of a config folder: which are used, and which are refused."""

from pathlib import Path

import pytest

from durable.action import ActionError
from durable.language.connections import FILE
from durable.secrets import Secrets
from triggers.config.catalogue import load_connectors
from triggers.config.connections import Connections
from triggers.config.connector_files import ConnectorFolder

SHOP = """\
about: A shop
connection: {fields: {token: {type: string, secret: true}}, auth: [{bearer: "{{ connection.token }}"}]}
http: {base_url: https://shop.example.com}
actions: {ping: {about: Ping it., get: /ping}}
"""


PYTHON = """\
from waypost import Connector, Inputs, Undo, action
async def perform(context: object, input: object) -> None:
    "Do it."
class Bought(Inputs):
    name: str
buy = action("buy", input=Bought, undo=Undo("sell", {}))(perform)
more = action("buy", input=Bought)(perform)

"""


def write(config: Path, name: str, text: str = SHOP) -> Path:
    folder = config / "connectors"
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(text)
    return folder / name


@pytest.mark.parametrize(
    ("name", "text", "problem"),
    [
        ("flow.yaml", SHOP, "Waypost itself has actions named 'flow'; rename the file"),
        ("shop.py", "class Stop(BaseException): pass\nraise Stop('it')\n", "Stop: it"),
        ("shop.yaml", f"{SHOP}code: _shop.py\n", "_shop.py cannot be loaded: Stop: it"),
        ("shop.yaml", 'openapi: "a\\0b"', "1:10: error: there is no document 'a·b'"),
        (
            "shop.yaml",
            "openapi: ~nobody/a.json",
            "1:10: error: there is no document '~nobody/a.json'; paths are relative",
        ),
        (
            "shop.py",
            f"{PYTHON}C = Connector('shop', 'A shop', [buy])",
            "9:1: error: ValueError: there is no action 'sell'",
        ),
        ("shop.py", f"{PYTHON}C = Connector('shop', 'A shop', [buy, buy, more])", "two actions are named 'buy'"),
        (
            "shop.py",
            "from waypost import Connector\nC = Connector('shop', '', [], test='a')",
            "2:1: error: ValueError: there is",
        ),
    ],
)
def test_a_file_that_cannot_be_a_connector_is_refused(tmp_path: Path, name: str, text: str, problem: str) -> None:
    write(tmp_path, "_shop.py", "class Stop(BaseException): pass\nraise Stop('it')\n")
    write(tmp_path, name, text)
    [file] = ConnectorFolder(tmp_path).files.values()
    assert file.connector is None
    assert problem in str(file.problems[0])


def test_a_connection_that_a_change_of_its_connector_made_useless_is_missing(tmp_path: Path) -> None:
    file = write(tmp_path, "shop.yaml")
    (tmp_path / FILE).write_text("mine: {use: shop, token: t}\n")
    connectors = load_connectors(tmp_path)
    found = Connections(tmp_path, connectors, Secrets({}))
    assert found.open("mine", "shop.ping").auth
    for change, reason in (
        (SHOP.replace("token", "key"), "the connection 'mine' cannot be used; connections.yaml has errors"),
        (None, "there is no connector 'shop' any more; put its file back"),
    ):
        if change:
            file.write_text(change)
        else:
            file.unlink()
        connectors.refresh()
        for _ in range(2):  # before the connections are read again, too
            with pytest.raises(ActionError, match=reason) as caught:
                found.open("mine", "shop.ping")
            assert caught.value.code == "connection_missing", "the run is paused"
            found.refresh()
