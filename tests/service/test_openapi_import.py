"""A service whose steps are operations of an OpenAPI document."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from connectors.declared.action import make_action
from connectors.declared.compiled import DeclaredAction
from durable.language.catalogue import Catalogue
from durable.language.editor_schema import make_pipeline_schema
from durable.schema_model import make_model
from tests.connectors.servers import answer, answering, serve
from tests.connectors.test_openapi import JSON_TYPE, SHOP
from tests.service.running import ENVIRONMENT, running
from triggers.config.catalogue import load_connectors
from triggers.config.connector_files import ConnectorFolder
from triggers.config.describe_connector import describe_connector, ensure_known
from triggers.config.folder import make_catalogue
from triggers.not_found import ConnectorNotFound

pytestmark = pytest.mark.anyio

PIPELINE = """
steps:
  - id: line
    use: shop.orders_get_line
    connection: mine
    with: {order-id: "{{ inputs.order }}", line: 1, tag: [a, b]}
  - id: order
    use: shop.create_order
    connection: mine
    with: {name: Ada, id: q, body: {id: b}, lines: [{sku: "{{ steps.line.output.sku }}"}]}
  - {id: charge, use: shop.charge, connection: mine, with: {amount: 5}}
  - {id: upload, use: shop.upload_file, connection: mine, with: {file: {text: hello, filename: a.txt}}}
outputs: {id: "{{ steps.order.output.id }}"}
"""


def write_config(config: Path, server: str) -> None:
    documents = config / "connectors" / "documents"
    documents.mkdir(parents=True)
    (documents / "shop.yaml").write_text(SHOP.read_text().replace("SERVER", "elsewhere.test"))
    (config / "connectors" / "shop.yaml").write_text("openapi: documents/shop.yaml\n")
    connection = f'mine: {{use: shop, base_url: "{server}/v3", key: "{{{{ secrets.SHOP }}}}"}}\n'
    (config / "connections.yaml").write_text(connection)


async def test_the_steps_of_a_run_are_operations_of_a_document(tmp_path: Path) -> None:
    async with serve(answering(answer(b'{"sku": "A", "id": 7}', f"Content-Type: {JSON_TYPE}"))) as server:
        write_config(tmp_path / "config", server.url)
        secrets = {**ENVIRONMENT, "WAYPOST_SECRET_SHOP": "canary-1"}
        async with running(tmp_path, {"buy": PIPELINE}, secrets) as service:
            run = await service.wait_for_end((await service.start("buy", {"order": "o/1"})).json()["id"])
            assert (run["status"], run["steps"]["line"]["status"]) == ("failed", "failed")
            assert "cannot contain '/'" in run["error"]["message"]
            run = await service.wait_for_end((await service.start("buy", {"order": "o 1"})).json()["id"])
            assert (run["status"], run["outputs"]) == ("completed", {"id": 7})
            assert "canary-1" not in str(run)
    assert [each.line for each in server.requests] == [
        "GET /v3/orders/o%201/lines/1?tag=a&tag=b HTTP/1.1",
        "POST /v3/orders?id=q HTTP/1.1",
        "POST /v3/charges HTTP/1.1",
        "POST /v3/files HTTP/1.1",
    ]
    assert {each.headers["x-key"] for each in server.requests} == {"canary-1"}
    assert server.requests[1].headers["idempotency-key"] == f"{run['id']}:order"
    assert server.requests[2].body == b"amount=5"


def test_a_pipeline_that_uses_a_skipped_operation_learns_the_reason(tmp_path: Path) -> None:
    write_config(tmp_path, "http://x.test")
    catalogue = make_catalogue(load_connectors(tmp_path), {})
    message, _ = catalogue.explain_unknown("shop.put_abroad")
    assert message.startswith("the operation 'put_abroad' of the connector 'shop' cannot be used: it refers to another")
    assert "did you mean 'shop.charge'" in str(catalogue.explain_unknown("shop.charg"))


def test_actions_are_listed_and_searched(tmp_path: Path) -> None:
    write_config(tmp_path, "http://x.test")
    connectors = load_connectors(tmp_path)
    found = describe_connector(connectors, "shop", (), search="create order")
    assert [each.use for each in found.actions] == ["shop.create_order"]
    assert len(describe_connector(connectors, "shop", ()).actions) == 11
    with pytest.raises(ConnectorNotFound, match="cannot be used: the method TRACE is not supported"):
        ensure_known(connectors, "shop.trace_it")


def test_a_document_that_changes_changes_its_connector_and_a_broken_one_does_not(tmp_path: Path) -> None:
    write_config(tmp_path, "http://x.test")
    folder = ConnectorFolder(tmp_path)
    document = tmp_path / "connectors" / "documents" / "shop.yaml"
    assert document.parent in folder.folders
    document.write_text(document.read_text().replace("operationId: charge\n", "operationId: debit\n"))
    assert folder.refresh()
    changed = folder.files["shop"]
    assert changed.connector is not None
    assert "debit" in changed.connector.actions
    document.write_text("paths: [")
    assert folder.refresh()
    broken = folder.files["shop"]
    assert (broken.connector, broken.is_refused) == (changed.connector, True)
    assert "it is not YAML" in str(broken.problems[0])


def test_the_schema_for_editors_is_bounded() -> None:
    inside = {f"inside_{number}": {"type": "string", "description": "x" * 80} for number in range(20_000)}
    schema = {"properties": {"a": {"type": "object", "properties": inside}, "b": {"$ref": "#/$defs/B"}}}
    model = make_model("Large", {"type": "object", **schema, "$defs": {"B": {"type": "integer"}}})
    action = make_action("act", DeclaredAction("GET", "http://x.test", "/", {"type": "object"}))
    made = make_pipeline_schema(Catalogue({"big.act": replace(action, input=model)}, {}))
    assert made["definitions"]["big.act"]["properties"]["a"]["type"] == ["object", "string"]
    assert len(json.dumps(made)) < 200_000
