"""The files of declarative connectors: what they compile to, and what is said about mistakes."""

import json
import random
from pathlib import Path
from typing import Any

import jsonschema_rs
import msgspec
import pytest

from connectors.declared.compiled import decode_action
from connectors.yaml_form.editor_schema import make_connector_schema
from connectors.yaml_form.form import FORM
from connectors.yaml_form.load import load_connector
from durable.action import Connector
from durable.values import JSON
from durable.yaml.document import YamlDocument
from tests.bench.fuzz import ensure_connector_sound, list_connectors, make_damaged_bytes, make_damaged_data
from tests.language.mistakes import Mistake, list_said, read_mistakes

DATA = Path(__file__).parents[1] / "data"
SHIPPED = sorted((Path(__file__).parents[2] / "connectors").glob("*.yaml"))

BEGINNING = """\
about: A shop
connection:
  fields: {token: {type: string, secret: true}, shop: {type: string, default: main}}
  auth: [{bearer: "{{ connection.token }}"}]
http: {base_url: https://api.example.com}
actions:
"""


def load(actions: str, beginning: str = BEGINNING) -> Connector:
    loaded = load_connector(beginning + actions, "shop.yaml")
    assert loaded.connector, [str(problem) for problem in loaded.problems]
    return loaded.connector


def compile_one(action: str) -> dict[str, Any]:
    """The stored form of one action, written as a flow mapping."""
    return read_stored(load(f"  one: {{about: It, {action}}}\n"), "one")


def read_stored(connector: Connector, name: str) -> dict[str, Any]:
    """The stored form of an action, as a pipeline version keeps it."""
    stored: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(connector.actions[name].stored))
    decode_action(stored)
    return stored


@pytest.mark.parametrize("file", SHIPPED, ids=lambda path: path.stem)
def test_each_shipped_file_is_a_connector_without_problems(file: Path) -> None:
    loaded = load_connector(file.read_bytes(), str(file))
    assert loaded.problems == ()
    assert loaded.connector is not None
    assert loaded.connector.name == file.stem
    assert loaded.connector.test in loaded.connector.actions
    for action in loaded.connector.actions.values():
        assert action.summary.endswith(".")
        assert all("description" in each for each in action.input.model_json_schema()["properties"].values())


# -- what an action compiles to -----------------------------------------------------------------------------------

ID = "inputs: {id: {type: string}}"
TWO = "inputs: {id: {type: string}, name: {type: string}}"


@pytest.mark.parametrize(
    ("action", "expected"),
    [
        pytest.param(
            f'get: "/items/{{id}}", {TWO}',
            {"path": "/items/{id}", "params": {"name": "{{ inputs.name }}"}, "body": None},
            id="what the path of a GET does not take is the query",
        ),
        pytest.param(
            f'delete: "/items/{{id}}", {TWO}',
            {"params": {"name": "{{ inputs.name }}"}, "body": None},
            id="also of a DELETE",
        ),
        pytest.param(
            f'put: "/items/{{id}}", {TWO}',
            {"params": None, "body": {"name": "{{ inputs.name }}"}, "has_body": True},
            id="of others it is the body",
        ),
        pytest.param(f'post: "/items/{{id}}", {ID}', {"body": None, "has_body": None}, id="nothing is left for a body"),
        pytest.param(
            f"post: /items, {TWO}, json: {{item: {{id: '{{{{ inputs.id }}}}'}}, state: new}}",
            {"body": {"item": {"id": "{{ inputs.id }}"}, "state": "new", "name": "{{ inputs.name }}"}},
            id="what no expression reads is added to the written body",
        ),
        pytest.param(
            f"post: /items, {TWO}, params: {{q: '{{{{ inputs.id | upper }}}}'}}, encode: form",
            {"encode": "form", "params": {"q": "{{ inputs.id | upper }}"}, "body": {"name": "{{ inputs.name }}"}},
            id="what an expression reads is not sent twice",
        ),
        pytest.param(
            f"delete: /items, {TWO}, form: {{id: 7}}",
            {"encode": "form", "body": {"id": 7, "name": "{{ inputs.name }}"}, "params": None},
            id="a key that is written replaces the input of its name",
        ),
        pytest.param(
            f"post: /graphql, {ID}, graphql: 'query($id: ID!) {{ item(id: $id) {{ name }} }}'",
            {
                "encode": "graphql",
                "body": {"query": "query($id: ID!) { item(id: $id) { name } }", "variables": {"id": "{{ inputs.id }}"}},
            },
            id="the inputs are the variables of a GraphQL query",
        ),
        pytest.param(
            f"post: /files, {ID}, body: {{base64: '{{{{ inputs.id }}}}'}}, media_type: image/png",
            {"encode": "base64", "body": "{{ inputs.id }}", "media_type": "image/png"},
            id="a binary body",
        ),
        pytest.param(
            f"post: /files, {ID}, body: 'id {{{{ inputs.id }}}}'",
            {"encode": "text", "body": "id {{ inputs.id }}"},
            id="a body of text",
        ),
        pytest.param(
            "get: /x, inputs: {in: {type: string}}",
            {"params": {"in": "{{ inputs['in'] }}"}},
            id="an input named like a word of expressions",
        ),
        pytest.param(
            "get: /x, returns: {a: {type: string, about: It}, b: {type: integer, default: 0}}",
            {
                "returns": {
                    "type": "object",
                    "properties": {"a": {"type": "string"}, "b": {"type": "integer", "default": 0}},
                    "required": ["a"],
                }
            },
            id="returns by name",
        ),
        pytest.param(
            "get: /x, returns: {type: array, items: {type: string}}",
            {"returns": {"type": "array", "items": {"type": "string"}}},
            id="returns as one schema",
        ),
        pytest.param(
            "get: /x, page: {items: '{{ answer.body }}', number: {param: p, first: 0}, delay: 1s}, "
            "returns: {a: {type: string}}",
            {
                "page": {"items": "answer.body", "number": "p", "first": 0, "delay": 1000},
                "returns": {
                    "type": "array",
                    "items": {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"]},
                },
                "params": None,
            },
            id="a list in pages has a limit that is not sent, and returns describes its items",
        ),
        pytest.param(
            "post: /search, page: {items: answer.body.hits, cursor: answer.body.next, param: after}",
            {"page": {"items": "answer.body.hits", "cursor": "answer.body.next", "param": "after", "is_in_body": True}},
            id="the cursor of a POST is in the body",
        ),
        pytest.param(
            "post: /x, idempotency: {header: X-Key, max: 36, as: uuid}",
            {"idempotency": {"header": "X-Key", "max": 36, "format": "uuid"}},
            id="the form of a key",
        ),
        pytest.param(
            "get: /x, "
            "errors: {ok: [404, gone], classes: {server: [busy, 423], auth: [{when: '{{ answer.body.no }}'}]}}",
            {
                "errors": {
                    "ok": ["404", "gone"],
                    "classes": [
                        ["server", {"code": "busy"}],
                        ["server", {"code": "423"}],
                        ["auth", {"when": "answer.body.no"}],
                    ],
                }
            },
            id="codes and statuses, and expressions with and without braces",
        ),
        pytest.param(
            "get: /x, base_url: 'https://bot{{ connection.token }}.example.com'",
            {"has_secret_url": True},
            id="a secret URL",
        ),
        pytest.param(
            "get: /x, base_url: 'https://{{ connection.shop }}.example.com'",
            {"has_secret_url": None},
            id="no secret URL",
        ),
        pytest.param("get: /x, output: null", {"output": None}, id="an action without an output"),
    ],
)
def test_an_action_compiles_to_its_request(action: str, expected: dict[str, JSON]) -> None:
    stored = compile_one(action)
    assert {key: stored.get(key) for key in expected} == expected


@pytest.mark.parametrize(
    ("action", "idempotent", "on_crash"),
    [
        ("get: /x", "yes", "retry"),
        ("put: /x", "yes", "retry"),
        ("delete: /x", "yes", "retry"),
        ("post: /x", "no", "park"),
        ("patch: /x", "no", "park"),
        ("post: /x, idempotent: yes", "yes", "retry"),
        ("post: /x, idempotency: {header: X-Key}", "key", "retry"),
        ("post: /x, idempotency: {header: X-Key}, idempotent: no", "no", "park"),
        ("put: /x, idempotent: no", "no", "park"),
    ],
)
def test_whether_an_action_can_be_repeated_follows_from_its_method_and_key(
    action: str, idempotent: str, on_crash: str
) -> None:
    [made] = load(f"  one: {{about: It, {action}}}\n").actions.values()
    assert (made.idempotent, made.on_crash) == (idempotent, on_crash)


def test_an_action_adds_to_what_all_share_and_takes_precedence() -> None:
    beginning = BEGINNING.replace(
        "http: {",
        "http:\n  limit: {rate: 5/s}\n  params: {v: 1, lang: en}\n  headers: {Accept: a/b, x-team: t}\n"
        "  errors: {when: answer.body.bad, code: '{{ answer.body.code }}', classes: {server: [a]}}\n"
        "  idempotency: {header: X-Key}\n  redirects: without_credentials\n"
        "  page: {items: answer.body, cursor: answer.body.next, param: c, size: {param: n, value: 9}}\n  ",
    ).replace(".com}", ".com")
    connector = load(
        "  read: {about: It, get: /x, params: {lang: de}, headers: {accept: null}, errors: {ok: [404]}}\n"
        "  send: {about: It, post: /x}\n"
        "  list: {about: It, get: /x, page: {link: next}}\n",
        beginning,
    )
    read, send, listing = (read_stored(connector, name) for name in connector.actions)
    assert read["params"] == {"v": 1, "lang": "de"}
    assert read["headers"] == {"x-team": "t", "accept": None}
    assert read["errors"]["ok"] == ["404"]
    assert read["errors"]["when"] == "answer.body.bad"
    assert (read.get("page"), read.get("idempotency"), read["redirects"]) == (None, None, "without_credentials")
    assert (send["idempotency"], send.get("redirects")) == ({"header": "X-Key"}, None)
    assert listing["page"] == {"items": "answer.body", "link": "next", "size": {"param": "n", "value": 9}}
    assert connector.limit.describe() == ["5 requests a second"]


def test_what_is_only_for_people_is_not_stored() -> None:
    bare = load("  one: {about: It, get: /x, inputs: {a: {type: string}}}\n")
    noted = load(
        "  one: {about: What it does, get: /x, inputs: {a: {type: string, about: A, title: T, options: {use: two}}}}\n"
        "  two: {about: It, get: /y}\n"
    )
    assert noted.actions["one"].stored == bare.actions["one"].stored
    described = noted.actions["one"].input.model_json_schema()["properties"]["a"]
    assert described == {"description": "A", "type": "string", "title": "T", "options": {"use": "two"}}


def test_the_fields_of_a_connection_are_checked_by_its_model() -> None:
    connection = load("  one: {about: It, get: /x}\n").connection
    assert connection is not None
    assert connection.model_validate({"token": "t"}).model_dump() == {"token": "t", "shop": "main"}
    with pytest.raises(ValueError, match="tokn"):
        connection.model_validate({"tokn": "t"})


# -- mistakes -----------------------------------------------------------------------------------------------------

MISTAKES = read_mistakes(DATA / "connector_mistakes.txt", str)


@pytest.mark.parametrize("mistake", MISTAKES, ids=lambda mistake: mistake.said[0][2])
def test_a_mistake_is_reported_with_its_position_and_a_fix(mistake: Mistake) -> None:
    loaded = load_connector(mistake.text, "shop.yaml")
    assert list_said(loaded.problems) == mistake.said
    assert (loaded.connector is None) == any(problem.severity == "error" for problem in loaded.problems)


def test_a_file_with_every_key_is_a_connector_and_its_tests_are_read() -> None:
    data = (DATA / "connector.yaml").read_bytes()
    loaded = load_connector(data, "connector.yaml")
    assert loaded.problems == ()
    assert loaded.connector is not None
    create, whoami = loaded.connector.tests
    assert (create["action"], create["with"]) == ("create_item", {"folder": "a", "name": "b"})
    assert whoami["expect"] == {"error": {"class": "auth", "code": "401", "message": "GET"}}


NO_CONNECTORS = ["", "[]", "5", "a: &x 1", "a: *x", "a: !x 1", "a: 1\n---\nb: 1", "\x00", b"\xff"]
BOMBS = ["a: " + "[" * 100, "#" * 2**20 + "\n", "a: [" + "1," * 50_000 + "]", f"{BEGINNING}  a: {{get: {'{' * 3_000}}}"]


@pytest.mark.parametrize("text", [*NO_CONNECTORS, *BOMBS], ids=lambda text: repr(text[:12]))
def test_a_text_that_is_no_connector_is_an_error_with_a_position(text: str | bytes) -> None:
    loaded = load_connector(text, "shop.yaml")
    assert loaded.connector is None
    assert all(problem.line >= 1 for problem in loaded.problems)
    assert loaded.problems


def test_damage_never_breaks_the_loader() -> None:
    chance = random.Random(1)
    for _ in range(150):
        ensure_connector_sound(json.dumps(make_damaged_data(chance, list_connectors()), indent=1))
        ensure_connector_sound(make_damaged_bytes(chance, list_connectors()))


@pytest.mark.slow
def test_much_damage_never_breaks_the_loader() -> None:
    chance = random.Random(2)
    for _ in range(10_000):
        ensure_connector_sound(json.dumps(make_damaged_data(chance, list_connectors()), indent=1))


# -- a Python file beside the file ----------------------------------------------------------------------------------

CODE = '''
from waypost import Context, Inputs, action


class Upload(Inputs):
    name: str


@action("upload", input=Upload)
async def upload(context: Context, input: Upload) -> dict[str, str]:
    """Upload a file."""
    return {"id": input.name}
'''


def test_the_actions_of_a_python_file_beside_it_belong_to_the_connector(tmp_path: Path) -> None:
    file = tmp_path / "shop.yaml"
    file.write_text(
        BEGINNING + "  put: {about: It, post: /x, undo: {use: upload, with: {name: x, nam: y}}}\ncode: _shop.py\n"
    )
    (tmp_path / "_shop.py").write_text(CODE)
    refused = FORM.load(str(file), file.read_bytes())
    assert [problem.message for problem in refused.problems] == ["unknown key 'nam'"]
    file.write_text(file.read_text().replace(", nam: y", ""))
    loaded = FORM.load(str(file), file.read_bytes())
    assert loaded.connector is not None
    assert list(loaded.connector.actions) == ["put", "upload"]
    assert loaded.files == (str(tmp_path / "_shop.py"),)


@pytest.mark.parametrize(
    ("code", "message"),
    [
        (None, "_shop.py cannot be read: No such file or directory"),
        ("1 / 0", "_shop.py cannot be loaded: ZeroDivisionError: division by zero"),
        ("def f(", "_shop.py cannot be loaded: SyntaxError: '(' was never closed (_shop.py, line 1)"),
        ("a = 1", "_shop.py defines no actions"),
        (CODE.replace('"upload"', '"one"'), "_shop.py also has an action 'one'"),
    ],
)
def test_a_python_file_that_cannot_be_used_is_an_error_of_the_file(
    tmp_path: Path, code: str | None, message: str
) -> None:
    file = tmp_path / "shop.yaml"
    file.write_text(f"{BEGINNING}  one: {{about: It, get: /x}}\ncode: _shop.py\n")
    if code is not None:
        (tmp_path / "_shop.py").write_text(code)
    assert [problem.message for problem in FORM.load(str(file), file.read_bytes()).problems] == [message]


def test_the_scaffold_of_a_connector_loads() -> None:
    [(name, text)] = FORM.scaffold("shop").items()
    assert name == "shop.yaml"
    loaded = load_connector(text, name)
    assert loaded.problems == ()
    assert list(loaded.connector.actions if loaded.connector else ()) == ["list_items", "create_item"]


# -- editors ------------------------------------------------------------------------------------------------------

EDITOR = jsonschema_rs.Draft7Validator(make_connector_schema())


@pytest.mark.parametrize("file", [*SHIPPED, DATA / "connector.yaml"], ids=lambda path: path.stem)
def test_each_valid_file_is_valid_for_editors(file: Path) -> None:
    data = YamlDocument.read(file.read_bytes(), file.name).data
    assert [error.message for error in EDITOR.iter_errors(data)] == []


@pytest.mark.parametrize(
    "actions",
    [
        "  one: {about: It}\n",
        "  one: {about: It, get: /x, parms: {a: 1}}\n",
        "  one: {about: It, get: /x, inputs: {a: {type: strin}}}\n",
        "  one: {about: It, get: /x, inputs: {a: {options: {us: two}}}}\n",
        "  one: {about: It, get: /x, errors: {classes: {ratelimit: [a]}}}\n",
        "  one: {about: It, get: /x}\nconnection: {auth: [{beare: x}]}\n",
        "  one: {about: It, get: /x}\nconnection: {auth: [{basic: {user: x}}]}\n",
    ],
)
def test_editors_reject_mistakes(actions: str) -> None:
    beginning = "about: A\nactions:\n"
    assert not EDITOR.is_valid(YamlDocument.read(beginning + actions, "shop.yaml").data)


def test_a_schema_with_references_is_moved_as_a_whole() -> None:
    tree = (
        "{type: object, properties: {inner: {$ref: '#'}, name: {$ref: '#/$defs/name'}}, $defs: {name: {type: string}}}"
    )
    model = load(f"  one: {{about: It, post: /x, inputs: {{tree: {tree}}}, returns: {tree}}}\n").actions["one"].input
    assert model.model_validate({"tree": {"inner": {"inner": {"name": "a"}}}})
    with pytest.raises(ValueError, match=r"tree\.inner\.name"):
        model.model_validate({"tree": {"inner": {"name": 5}}})
