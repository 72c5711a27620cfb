"""`connections.yaml`: mistakes are reported with their positions, and valid connections can be opened."""

from collections.abc import Mapping
from pathlib import Path

import pytest
from pydantic import BaseModel, field_validator

from connectors.http import HttpConnection
from durable.action import Action, ActionError, Connector, Context
from durable.language.connections import FILE
from durable.limit import Limit
from durable.redactor import MARK
from durable.schema_model import make_inputs_schema, make_model
from durable.secrets import SecretMissing, Secrets
from triggers.config.catalogue import Connectors, load_connectors
from triggers.config.connections import Connections
from triggers.config.folder import Folder
from triggers.starter import find_starter

CONNECTORS = load_connectors()
SECRETS = {"WAYPOST_SECRET_CRM": "canary-crm-1", "WAYPOST_SECRET_HOST": "crm.example.com"}
CRM = 'crm:\n  use: http\n  base_url: https://crm.example.com\n  headers: {authorization: "Bearer {{ secrets.CRM }}"}\n'


def connections(config: Path, text: str | None, environment: Mapping[str, str] = SECRETS) -> Connections:
    if text is not None:
        (config / FILE).write_text(text)
    return Connections(config, CONNECTORS, Secrets(environment))


@pytest.mark.parametrize("text", [None, "", "# nothing yet\n"])
def test_a_missing_or_empty_file_has_no_connections_and_no_problems(tmp_path: Path, text: str | None) -> None:
    found = connections(tmp_path, text)
    assert (found.names, found.problems) == ([], ())


def test_the_shipped_file_is_valid_and_defines_nothing_until_it_is_uncommented(tmp_path: Path) -> None:
    text = (find_starter() / FILE).read_text()
    assert connections(tmp_path, text).problems == ()
    example = text.partition("to begin.\n")[2].replace("\n#", "\n")
    found = connections(tmp_path, example)
    assert (found.names, found.problems) == (["crm"], ())


def test_a_connection_is_opened_with_its_secret_values(tmp_path: Path) -> None:
    found = connections(tmp_path, CRM.replace("https://crm.example.com", '"https://{{ secrets.HOST }}/v2"'))
    assert found.problems == ()
    opened = found.open("crm", "http.get")
    assert isinstance(opened.fields, HttpConnection)
    assert opened.fields.base_url == "https://crm.example.com/v2"
    assert opened.fields.headers == {"authorization": "Bearer canary-crm-1"}
    assert opened.secrets == {"canary-crm-1", "crm.example.com"}


def test_a_connector_needs_a_connection_if_what_one_says_has_no_defaults() -> None:
    assert {name for name in CONNECTORS.names if CONNECTORS.needs_connection(name)} == {"github", "slack", "stripe"}


def test_a_connection_that_cannot_be_opened_fails_with_a_reason_before_sending(tmp_path: Path) -> None:
    found = connections(tmp_path, CRM + 'odd: {use: http, base_url: "{{ secrets.CRM }}"}\n')
    for name, use, expected, error_class, code in (
        ("crn", "http.get", "there is no connection 'crn'; add it to connections.yaml", "auth", "connection_missing"),
        ("crm", "log.write", "belongs to the connector 'http', not to 'log'", "auth", "connection_missing"),
        ("odd", "http.get", "is not valid with the values of its secrets: base_url", "invalid", "connection_invalid"),
    ):
        with pytest.raises(ActionError, match=expected) as caught:
            found.open(name, use)
        assert (caught.value.error_class, caught.value.code, caught.value.ending) == (error_class, code, "not_sent")
        assert "canary" not in str(caught.value)


def test_the_auth_of_a_connection_is_opened_with_its_secrets(tmp_path: Path) -> None:
    text = '  auth: {query: {key: "{{ secrets.HOST }}"}, basic: {username: "me", password: "{{ secrets.CRM }}"}}\n'
    opened = connections(tmp_path, CRM + text).open("crm", "http.get")
    assert {name: settings.model_dump() for name, settings in opened.auth.items()} == {
        "query": {"key": "crm.example.com"},
        "basic": {"username": "me", "password": "canary-crm-1"},
    }
    assert opened.secrets == {"canary-crm-1", "crm.example.com"}


def test_a_connection_has_the_limits_of_its_connector_with_what_the_file_says_in_their_place(tmp_path: Path) -> None:
    shop = Connector("shop", "A shop", (), HttpConnection, limit=Limit.parse("50/m", at_once=5))
    own = "{use: shop, base_url: https://shop.example.com"
    (tmp_path / FILE).write_text(
        f"as_declared: {own}}}\nslower: {own}, limit: {{rate: 5/m}}}}\n"
        f"free: {own}, limit: {{rate: none, at_once: none}}}}\n"
    )
    found = Connections(tmp_path, Connectors({"shop": shop}), Secrets({}))
    assert found.problems == ()
    limits = {name: found.find_limit(name).describe() for name in [*found.names, "missing"]}
    assert limits == {
        "as_declared": ["50 requests a minute", "5 at once"],
        "slower": ["5 requests a minute", "5 at once"],
        "free": [],
        "missing": [],
    }


def test_a_url_that_may_contain_a_secret_is_no_credential_itself(tmp_path: Path) -> None:
    fields = {name: {"type": "string", "secret": True, **more} for name, more in (("url", {"url": True}), ("code", {}))}
    shop = Connector("shop", "A shop", (), make_model("Shop", make_inputs_schema(fields)))
    (tmp_path / FILE).write_text("mine: {use: shop, url: 'https://shop.example.com', code: canary-1}\n")
    found = Connections(tmp_path, Connectors({"shop": shop}), Secrets({}))
    assert [problem.message for problem in found.problems] == ["'code' is written in plain text"]
    assert found.open("mine", "shop.x").secrets == {"canary-1"}


def test_a_secret_is_read_when_a_connection_is_opened(tmp_path: Path) -> None:
    environment: dict[str, str] = {}
    found = connections(tmp_path, CRM, environment)
    (problem,) = found.problems
    cure = "set WAYPOST_SECRET_CRM, or run `waypost secrets set CRM`"
    assert str(problem).endswith(f"connections.yaml:4:39: warning: the secret 'CRM' is not set; {cure}")
    with pytest.raises(SecretMissing):
        found.open("crm", "http.get")
    file = tmp_path / "crm"
    environment["WAYPOST_SECRET_CRM_FILE"] = str(file)
    for value in ("first", "second"):
        file.write_text(value)
        assert found.open("crm", "http.get").secrets == {value}


@pytest.mark.parametrize(
    ("text", "place", "expected"),
    [
        ("- crm\n", "1:1", "the file is not a mapping"),
        ("crm: https://canary\n", "1:6", "'crm' must be a mapping"),
        ("crm:\n", "1:1", "'crm' is empty; give it a mapping"),
        ("Our-CRM: {use: http, base_url: https://a.b}\n", "1:1", "'Our-CRM' is not a valid name"),
        ("crm: {base_url: https://a.b}\n", "1:6", "'use' is missing; add 'use: …'"),
        ("crm: {use: htp, base_url: https://a.b}\n", "1:12", "there is no connector 'htp'; did you mean 'http'"),
        ("crm: {use: log}\n", "1:12", "the connector 'log' does not use connections; known: github"),
        ("crm: {use: http}\n", "1:6", "'base_url' is missing; add 'base_url: …'"),
        ("crm: {use: http, base_url: crm.example.com}\n", "1:28", "'base_url': the URL has no scheme"),
        (
            "crm: {use: http, base_url: https://canary:p@a.b}\n",
            "1:28",
            "'base_url': the URL contains a user or password",
        ),
        (
            'crm: {use: http, base_url: "https://u:{{ secrets.CRM }}@a.b"}\n',
            "1:28",
            "'base_url': the URL contains a user or password",
        ),
        (
            'crm: {use: http, base_url: "https://{{ secrets.CRM }}:0/"}\n',
            "1:28",
            "port is not a number from 1 to 65535",
        ),
        (CRM + "  heders: {}\n", "5:3", "unknown key 'heders'; did you mean 'headers'"),
        (CRM + "  params: {a: {b: 1}}\n", "5:15", "'a' must be text or a whole number"),
        (CRM.replace("{auth", "canary #{auth"), "4:12", "'headers' must be a mapping"),
        (
            CRM.replace("secrets.CRM", "inputs.token"),
            "4:28",
            "expressions other than secrets are not allowed in a connection",
        ),
        (
            CRM.replace("secrets.CRM", "1 + 1"),
            "4:28",
            "expressions other than secrets are not allowed in a connection; write '{{ secrets.NAME }}'",
        ),
        (CRM.replace("{{ secrets.CRM", "{{ secrets.CRM | upper"), "4:39", "an expression cannot compute with a secret"),
        (CRM.replace("{{", "${{"), "4:36", "the '$' before '{{' is text"),
        (CRM + CRM, "5:1", "crm"),
        (CRM + "  params: &a {}\n", "5:11", "anchor"),
        (CRM + "  params: [\n", "5:11", "has no end"),
        (CRM + '  use: "{{ secrets.CRM }}"\n', "5:3", "use"),
        (CRM + "  test: {use: http.gt}\n", "5:15", "'http.gt' is not an action of 'http'; did you mean 'http.get'"),
        (CRM + "  test: {use: log.write}\n", "5:15", "'log.write' is not an action of 'http'"),
        (CRM + "  test: {use: http.get}\n", "5:9", "'url' is missing"),
        (CRM + "  test: {use: http.get, with: {ulr: /}}\n", "5:32", "unknown key 'ulr'; did you mean 'url'"),
        (CRM + "  test: {use: http.get, with: {url: '/{{ 1 }}'}}\n", "5:31", "expressions are not allowed in a test"),
        (CRM + "  test: /me\n", "5:9", "'test' must be a mapping"),
        (CRM + "  auth:\n", "5:3", "'auth' is empty"),
        (CRM + "  auth: {}\n", "5:9", "name a scheme: aws_sigv4, basic, bearer"),
        (CRM + "  auth: basic\n", "5:9", "'auth' must be a mapping"),
        (CRM + "  auth: bearer:canary\n", "5:9", "'auth' must be a mapping"),
        (CRM + "  auth: {bearer:canary}\n", "5:10", "unknown key 'bearer:…'; put a space after the colon"),
        (CRM + "  auth: {basic: {username: 'me:canary'}}\n", "5:28", "'username' does not have the required form"),
        (CRM + "  auth: {basic: [canary]}\n", "5:17", "'basic' must be a mapping"),
        (CRM + "  auth: {baerer: x}\n", "5:10", "unknown key 'baerer'; did you mean 'bearer'"),
        (CRM + "  auth: {bearer: {token: x}}\n", "5:18", "'bearer' must be text, not a mapping"),
        (CRM + "  auth: {basic: {password: canary}}\n", "5:17", "'username' is missing"),
        (
            CRM + '  auth: {basic: {username: u, password: "{{ secrets.CRM | b64encode }}"}}\n',
            "5:45",
            "let 'auth' of a connection make basic credentials",
        ),
        (CRM + '  auth: {header: {"x y": canary}}\n', "5:18", "'x y' cannot be a header's name"),
        (
            CRM + "  auth: {hmac: {secret: canary, sign: '{bdy}', header: x}}\n",
            "5:39",
            "'{bdy}' is not a part of a request; did you mean 'body'",
        ),
        (CRM + "  auth: {hmac: {secret: canary, sign: '{body}'}}\n", "5:16", "name one place: 'header' or 'param'"),
    ],
)
def test_a_mistake_is_reported_with_its_position_and_defines_no_connection(
    tmp_path: Path, text: str, place: str, expected: str
) -> None:
    found = connections(tmp_path, text)
    result = [str(problem) for problem in found.problems if problem.severity == "error"]
    assert any(f"{FILE}:{place}: error: " in each and expected in each for each in result), result
    assert "canary" not in "".join(result)
    assert found.names == []


@pytest.mark.parametrize(
    ("line", "place"),
    [
        ("headers: {authorization: Bearer canary-1}", "1:66"),
        ("headers: {X-Api-Key: canary-1}", "1:62"),
        ("params: {access_token: canary-1}", "1:64"),
        ("params: {token: [canary-1]}", "1:58"),
        ("auth: {bearer: canary-1}", "1:56"),
        ("auth: {query: {k: canary-1}}", "1:59"),
    ],
)
def test_literal_credentials_are_a_warning_and_stay_secret(tmp_path: Path, line: str, place: str) -> None:
    secrets = Secrets({})
    (tmp_path / FILE).write_text(f"crm: {{use: http, base_url: https://a.b, {line}}}\n")
    found = Connections(tmp_path, CONNECTORS, secrets)
    (problem,) = found.problems
    assert f"{FILE}:{place}: warning: " in str(problem)
    assert "write '{{ secrets.NAME }}', and set WAYPOST_SECRET_NAME" in str(problem)
    assert "canary" not in str(problem)
    assert "canary-1" in found.open("crm", "http.get").secrets
    assert secrets.redactor.redact_text("sent canary-1") == f"sent {MARK}"


def test_literal_values_that_are_not_credentials_raise_no_warning(tmp_path: Path) -> None:
    text = (
        "crm: {use: http, base_url: https://a.b, headers: {accept: text/csv}, params: {sort_key: name, author: me}}\n"
    )
    found = connections(tmp_path, text)
    assert found.problems == ()
    assert found.open("crm", "http.get").secrets == frozenset()


def test_an_invalid_connection_disables_only_itself(tmp_path: Path) -> None:
    found = connections(tmp_path, CRM + "stock: {use: http}\n")
    assert found.names == ["crm"]
    assert len(found.problems) == 1


def test_a_broken_edit_keeps_the_last_valid_connection_until_it_is_fixed_or_removed(tmp_path: Path) -> None:
    found = connections(tmp_path, CRM)
    for broken in (CRM.replace("base_url", "bas_url"), CRM + "x: [", CRM + CRM):
        (tmp_path / FILE).write_text(broken)
        found.refresh()
        assert found.problems
        assert found.open("crm", "http.get").secrets == {"canary-crm-1"}
    (tmp_path / FILE).write_text(CRM)
    assert found.refresh() is True
    assert found.problems == ()
    (tmp_path / FILE).write_text(CRM.replace("crm.example.com", "new.example.com"))
    assert found.refresh() is False
    fields = found.open("crm", "http.get").fields
    assert fields.model_dump()["base_url"] == "https://new.example.com"
    (tmp_path / FILE).unlink()
    assert found.refresh() is True
    assert found.names == []


def test_an_unreadable_file_is_reported(tmp_path: Path) -> None:
    (tmp_path / FILE).mkdir()
    found = connections(tmp_path, None)
    assert "the file cannot be read: Is a directory" in str(found.problems[0])


# -- pipelines that use connections -----------------------------------------------------------------------------------

STEP = "steps:\n  - {id: a, use: http.get, connection: crm, with: {url: /a}}\n"


def test_a_pipeline_without_its_connection_is_disabled_until_the_connection_returns(tmp_path: Path) -> None:
    (tmp_path / "pipelines").mkdir()
    (tmp_path / "pipelines" / "p.yaml").write_text(STEP)
    (tmp_path / "pipelines" / "q.yaml").write_text("steps:\n  - {id: a, use: log.write, with: {message: x}}\n")
    known = connections(tmp_path, CRM.replace("crm:", "crn:"))
    folder = Folder(tmp_path, CONNECTORS, Secrets(SECRETS), connections=known)
    missing, other = folder.files
    assert (missing.is_valid, other.is_valid) == (False, True)
    assert "p.yaml:2:40: error: there is no connection 'crm'; did you mean 'crn', or add it" in str(missing.problems[0])
    (tmp_path / FILE).write_text(CRM)
    assert [file.path.name for file in folder.serve(folder.read())] == ["p.yaml"]
    assert [file.is_valid for file in folder.files] == [True, True]
    (tmp_path / FILE).write_text(CRM.replace("crm.example.com", "new.example.com"))
    assert folder.serve(folder.read()) == []
    (tmp_path / FILE).write_text("")
    (refused,) = folder.serve(folder.read())
    assert (refused.is_valid, refused.describe().status) == (False, "serving the version before")
    assert "there is no connection 'crm'; add it to connections.yaml" in str(refused.problems[0])


@pytest.mark.parametrize("broken", [CRM.replace("base_url", "bas_url"), CRM + "x: [", CRM + CRM, "- crm\n"])
def test_the_message_about_an_invalid_connection_says_to_fix_it_not_to_add_it(tmp_path: Path, broken: str) -> None:
    (tmp_path / "pipelines").mkdir()
    (tmp_path / "pipelines" / "p.yaml").write_text(STEP)
    known = connections(tmp_path, broken)
    folder = Folder(tmp_path, CONNECTORS, Secrets(SECRETS), connections=known)
    said = "the connection 'crm' cannot be used; connections.yaml has errors; run `waypost validate` to see"
    assert said in str(folder.files[0].problems[0])
    with pytest.raises(ActionError, match=r"the connection 'crm' cannot be used; connections\.yaml has errors"):
        known.open("crm", "http.get")
    (tmp_path / FILE).write_text("stock: {use: http, base_url: https://a.b}\n")
    (now,) = folder.serve(folder.read())
    assert "there is no connection 'crm'; add it to connections.yaml" in str(now.problems[0])


class RaisingInputs(BaseModel):
    n: int

    @field_validator("n")
    @classmethod
    def raise_error(cls, n: int) -> int:
        raise RuntimeError("a connector's own mistake")


async def do_nothing(context: Context, input: BaseModel) -> None:
    """Do nothing."""


def test_a_connector_that_raises_on_a_file_disables_only_that_file(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "pipelines").mkdir()
    (tmp_path / "pipelines" / "p.yaml").write_text("steps: [{id: a, use: plug.in, with: {n: 1}}]\n")
    (tmp_path / "pipelines" / "q.yaml").write_text("steps: [{id: a, use: log.write, with: {message: x}}]\n")
    plug = Connector("plug", "", (Action("in", do_nothing, RaisingInputs),))
    folder = Folder(tmp_path, Connectors({**CONNECTORS.installed, "plug": plug}), Secrets({}))
    assert [file.is_valid for file in folder.files] == [False, True]
    assert "p.yaml:1:1: error: checking the file failed: RuntimeError; a bug in a connector" in str(
        folder.files[0].problems[0]
    )
    assert "a connector's own mistake" in caplog.text


@pytest.mark.parametrize(
    ("step", "message"),
    [
        ("use: http.get, with: {url: /a}", ["p.yaml:2:40: error: 'url': the URL is relative; name a connection"]),
        ("use: http.get, with: {url: https://a.b}, undo: {use: http.delete, with: {url: a}}", ["p.yaml:2:91: error: "]),
        ("use: http.get, connection: crm, with: {url: /a}", []),
        ('use: http.get, with: {url: "{{ run.url }}"}', []),
        ("use: http.get, with: {url: https://a.b}", []),
    ],
)
def test_a_relative_url_needs_a_connection(tmp_path: Path, step: str, message: list[str]) -> None:
    (tmp_path / "pipelines").mkdir()
    (tmp_path / "pipelines" / "p.yaml").write_text(f"steps:\n  - {{id: a, {step}}}\n")
    (file,) = Folder(tmp_path, CONNECTORS, Secrets(SECRETS), connections=connections(tmp_path, CRM)).files
    assert len(file.problems) == len(message)
    for problem, expected in zip(file.problems, message, strict=True):
        assert expected in str(problem)
