"""A client of the service that works on a data folder, over its API."""

import contextlib
import json
import os
import re
import ssl
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from typing import Any, NamedTuple, TypeVar
from urllib.parse import quote, urlsplit

import httpx
import msgspec

from durable import __version__
from durable.audit import COMMAND_AGENT
from durable.bulks import BulkOutcome
from durable.encrypted_store.errors import StoreError
from durable.units import IdKind
from durable.values import JSON
from triggers.documents.audit import AuditDocument, AuditRecordDocument
from triggers.documents.bulks import (
    BulkDocument,
    BulkItemDocument,
    BulkItemsDocument,
    BulkPreviewDocument,
    BulksDocument,
)
from triggers.documents.connections import (
    BegunLoginDocument,
    ConnectionDocument,
    ConnectionListDocument,
    ConnectionTestDocument,
    LogoutDocument,
)
from triggers.documents.deliveries import DeliveriesDocument, DeliveryDetailsDocument, DeliveryDocument
from triggers.documents.errors import ErrorGroupDocument, ErrorGroupsDocument
from triggers.documents.fields import KeyGrant, KeyScope
from triggers.documents.found import FoundDocument
from triggers.documents.keys import KeyDocument, KeyListDocument, MadeKeyDocument
from triggers.documents.overview import AttentionDocument, OverviewDocument, Period
from triggers.documents.pipelines import PipelineLineDocument, PipelinesDocument
from triggers.documents.runs import (
    CancelledDocument,
    EntryDocument,
    RunDocument,
    RunLineDocument,
    RunsDocument,
    RunValueDocument,
    StepDocument,
    StepsDocument,
    TakenDocument,
)
from triggers.documents.schedules import ScheduleDocument, ScheduleListDocument
from triggers.documents.secrets import (
    RemovedSecretDocument,
    RotationDocument,
    SecretDocument,
    SecretListDocument,
)
from triggers.documents.sessions import EnterLinkDocument
from triggers.documents.starts import EmittedDocument, RepeatedDocument, ReplayedDocument, StartedDocument
from triggers.documents.unknown_paths import UnknownPathDocument, UnknownPathsDocument
from triggers.documents.versions import VersionDocument, VersionsDocument, VersionTextDocument
from triggers.documents.waits import PendingDocument, PendingListDocument
from triggers.instance import ADDRESS_FILE, Instance
from triggers.not_found import BulkNotFound, ConnectionNotFound, DeliveryNotFound, IdNotFound, RunNotFound, StepNotFound
from triggers.reading.body import DeliveryBody
from triggers.reading.event_stream import ServerEvent, read_events

Answer = TypeVar("Answer")

STREAM_TIMEOUT = 45.0
"""Seconds without anything on a stream, on which the service sends something every 15 s."""


class InvalidField(NamedTuple):
    """One thing that is wrong with what was sent: its name in the API, and why."""

    name: str
    detail: str


class ServiceRefused(Exception):
    """The service answered with an error; the message is its own, `status` that of HTTP."""

    def __init__(self, message: str, status: int, invalid: Sequence[InvalidField] = ()) -> None:
        super().__init__(message)
        self.status = status
        self.invalid = tuple(invalid)


class ServiceClient:
    """Asks the running service; raises `ServiceRefused`, `RunNotFound` and `httpx.TransportError`."""

    def __init__(self, client: httpx.AsyncClient, url: str, pid: int) -> None:
        self._client = client
        self.url = url
        self.pid = pid

    async def find_id(self, kind: IdKind, text: str, pipeline: str | None = None) -> str:
        """Return the whole id that a text means; raises `IdNotFound`."""
        wanted = _drop_none({"kind": kind, "id": text, "pipeline": pipeline})
        try:
            return (await self._ask(FoundDocument, "GET", "/api/find", params=wanted)).id
        except ServiceRefused as refused:
            if refused.status == 404:
                raise IdNotFound(kind, str(refused)) from None
            raise

    async def list_runs(self, **filters: str | int | None) -> list[RunLineDocument]:
        return (await self._ask(RunsDocument, "GET", "/api/runs", params=_drop_none(filters))).runs

    async def stream_runs(self, pipeline: str | None, tag: str | None, after: str | None) -> AsyncIterator[ServerEvent]:
        """Receive the states of runs as they change, after the event with this id, until the stream ends."""
        parameters = _drop_none({"pipeline": pipeline, "tag": tag, "after": after})
        timeout = httpx.Timeout(30, read=STREAM_TIMEOUT)
        async with self._client.stream("GET", "/api/stream", params=parameters, timeout=timeout) as answer:
            if answer.is_error:
                await answer.aread()
                self._ensure_success(answer)
            async for event in read_events(answer.aiter_lines()):
                yield event

    async def get_overview(self, period: Period) -> OverviewDocument:
        return await self._ask(OverviewDocument, "GET", "/api/overview", params={"period": period})

    async def get_attention(self) -> AttentionDocument:
        return await self._ask(AttentionDocument, "GET", "/api/attention")

    async def list_errors(self, **filters: str | int | None) -> list[ErrorGroupDocument]:
        return (await self._ask(ErrorGroupsDocument, "GET", "/api/errors", params=_drop_none(filters))).errors

    async def get_run(self, run: str) -> RunDocument:
        return await self._ask_of(run, RunDocument, "GET", "")

    async def get_run_if_changed(self, run: str, tag: str | None) -> tuple[RunDocument | None, str | None]:
        """Return a run with the tag of its document; None instead of a run that is still as that tag says."""
        headers = {"If-None-Match": tag} if tag else {}
        answer = await self._client.get(_make_path(run, ""), headers=headers)
        if answer.status_code == 304:
            return None, tag
        if answer.status_code == 404:
            raise RunNotFound(run)
        return self._decode(RunDocument, answer), answer.headers.get("etag")

    async def get_run_part(self, run: str, part: str) -> JSON:
        """Return a part of a run that its document leaves out."""
        value: JSON = (await self._ask_of(run, RunValueDocument, "GET", f"/values/{part}")).value
        return value

    async def get_step(self, run: str, path: str) -> StepDocument:
        """Return one step with nothing left out; raises `StepNotFound`."""
        try:
            return await self._ask(StepDocument, "GET", _make_path(run, f"/steps/{quote(path, safe='')}"))
        except ServiceRefused as refused:
            if refused.status == 404:
                await self._ensure_run(run)
                raise StepNotFound(run, path) from None
            raise

    async def read_steps(self, run: str, **filters: str) -> AsyncIterator[list[StepDocument]]:
        """Read the steps of a run, page by page."""
        after: str | None = None
        while True:
            page = await self._ask_of(
                run, StepsDocument, "GET", "/steps", params=_drop_none({**filters, "after": after})
            )
            yield page.steps
            if (after := page.after) is None:
                return

    async def read_history(self, run: str) -> AsyncIterator[list[EntryDocument]]:
        """Read the history of a run, page by page."""
        after: int | None = 0
        while after is not None:
            # The entries have keys of their types, which a decoder of `HistoryDocument` would leave out.
            page = await self._ask_of(run, dict[str, Any], "GET", "/history", params={"after": after})
            yield page["entries"]
            after = page["after"]

    async def export_run(self, run: str) -> str:
        answer = await self._client.get(_make_path(run, "/export"))
        if answer.status_code == 404:
            raise RunNotFound(run)
        self._ensure_success(answer)
        return answer.text

    async def list_waits(self, run: str | None) -> list[PendingDocument]:
        waits: list[PendingDocument] = []
        parameters: dict[str, str | int | None] = {"run": run}
        while True:
            page = await self._get_waits_page(parameters)
            waits += page.waits
            if page.after is None:
                return waits
            parameters["after"] = page.after

    async def _get_waits_page(self, parameters: Mapping[str, str | int | None]) -> PendingListDocument:
        try:
            return await self._ask(PendingListDocument, "GET", "/api/waits", params=_drop_none(parameters))
        except ServiceRefused as refused:
            if refused.status == 404 and parameters.get("run"):
                raise RunNotFound(str(parameters["run"])) from None
            raise

    async def list_deliveries(self, **filters: str | int | None) -> list[DeliveryDocument]:
        return (await self._ask(DeliveriesDocument, "GET", "/api/deliveries", params=_drop_none(filters))).deliveries

    async def get_delivery(self, delivery: str) -> DeliveryDetailsDocument:
        return await self._ask_of_delivery(delivery, DeliveryDetailsDocument, "GET", "")

    async def get_delivery_body(self, delivery: str) -> DeliveryBody:
        answer = await self._client.get(f"/api/deliveries/{quote(delivery, safe='')}/body")
        if answer.status_code == 404:
            raise DeliveryNotFound(delivery)
        if answer.is_error:  # a body may be anything, and an error is JSON
            self._ensure_success(answer)
        return DeliveryBody(answer.content, "waypost-redacted" in answer.headers)

    async def replay_delivery(self, delivery: str, body: Mapping[str, JSON]) -> ReplayedDocument:
        return await self._ask_of_delivery(delivery, ReplayedDocument, "POST", "/replay", json=body)

    async def list_unknown_paths(self, since: str | None = None) -> list[UnknownPathDocument]:
        parameters = _drop_none({"from": since})
        return (await self._ask(UnknownPathsDocument, "GET", "/api/deliveries/unknown", params=parameters)).paths

    async def answer_run(self, run: str, body: Mapping[str, JSON]) -> TakenDocument:
        return await self._send(run, "/answer", body)

    async def resolve_step(self, run: str, body: Mapping[str, JSON]) -> TakenDocument:
        return await self._send(run, "/resolve", body)

    async def resume_run(self, run: str, reason: str | None) -> TakenDocument:
        return await self._ask_of(run, TakenDocument, "POST", "/resume", json={"reason": reason})

    async def emit_event(self, event: Mapping[str, JSON], key: str | None) -> EmittedDocument:
        headers = {} if key is None else {"Idempotency-Key": key}
        return await self._ask(EmittedDocument, "POST", "/api/events", json=event, headers=headers)

    async def start_run(self, pipeline: str, inputs: Mapping[str, JSON]) -> StartedDocument:
        path = f"/api/pipelines/{quote(pipeline, safe='')}/runs"
        return await self._ask(StartedDocument, "POST", path, json={"inputs": inputs})

    async def trigger_run(self, pipeline: str, body: Mapping[str, JSON]) -> StartedDocument:
        path = f"/api/pipelines/{quote(pipeline, safe='')}/trigger"
        return await self._ask(StartedDocument, "POST", path, json=body)

    async def cancel_run(self, run: str, reason: str | None) -> CancelledDocument:
        return await self._ask_of(run, CancelledDocument, "POST", "/cancel", json={"reason": reason})

    async def rerun_run(self, run: str, reason: str | None) -> RepeatedDocument:
        return await self._ask_of(run, RepeatedDocument, "POST", "/rerun", json={"reason": reason})

    async def fork_run(self, run: str, body: Mapping[str, JSON]) -> RepeatedDocument:
        return await self._ask_of(run, RepeatedDocument, "POST", "/fork", json=body)

    async def retry_run(self, run: str, reason: str | None) -> TakenDocument:
        return await self._ask_of(run, TakenDocument, "POST", "/retry", json={"reason": reason})

    async def preview_bulk(self, wanted: Mapping[str, JSON]) -> BulkPreviewDocument:
        return await self._ask(BulkPreviewDocument, "POST", "/api/bulks/preview", json=wanted)

    async def create_bulk(self, wanted: Mapping[str, JSON]) -> BulkDocument:
        return await self._ask(BulkDocument, "POST", "/api/bulks", json=wanted)

    async def list_bulks(self, limit: int) -> list[BulkDocument]:
        return (await self._ask(BulksDocument, "GET", "/api/bulks", params={"limit": limit})).bulks

    async def get_bulk(self, bulk: str) -> BulkDocument:
        return await self._ask_of_bulk(bulk, BulkDocument, "GET", "")

    async def list_bulk_items(self, bulk: str, outcome: BulkOutcome | None, limit: int) -> list[BulkItemDocument]:
        wanted = _drop_none({"outcome": outcome, "limit": limit})
        return (await self._ask_of_bulk(bulk, BulkItemsDocument, "GET", "/items", params=wanted)).items

    async def stop_bulk(self, bulk: str) -> BulkDocument:
        return await self._ask_of_bulk(bulk, BulkDocument, "POST", "/stop")

    async def resume_bulk(self, bulk: str, rate: int | None) -> BulkDocument:
        return await self._ask_of_bulk(bulk, BulkDocument, "POST", "/resume", json={"rate": rate})

    async def list_pipelines(self) -> list[PipelineLineDocument]:
        return (await self._ask(PipelinesDocument, "GET", "/api/pipelines")).pipelines

    async def list_versions(self, pipeline: str, limit: int) -> list[VersionDocument]:
        path = f"/api/pipelines/{quote(pipeline, safe='')}/versions"
        return (await self._ask(VersionsDocument, "GET", path, params={"limit": limit})).versions

    async def get_version(self, pipeline: str, version: str, against: str | None) -> VersionTextDocument:
        path = f"/api/pipelines/{quote(pipeline, safe='')}/versions/{quote(version, safe='')}"
        return await self._ask(VersionTextDocument, "GET", path, params=_drop_none({"against": against}))

    async def list_connections(self) -> list[ConnectionDocument]:
        return (await self._ask(ConnectionListDocument, "GET", "/api/connections")).connections

    async def test_connection(self, name: str) -> ConnectionTestDocument:
        return await self._ask_of_connection(name, ConnectionTestDocument, "POST", "/test")

    async def get_connection(self, name: str) -> ConnectionDocument:
        return await self._ask_of_connection(name, ConnectionDocument, "GET")

    async def begin_login(self, name: str) -> BegunLoginDocument:
        path = f"/api/connections/{quote(name, safe='')}/login"
        return await self._ask_store(BegunLoginDocument, path, missing=ConnectionNotFound(name))

    async def complete_login(self, query: str) -> None:
        """Pass on the answer of a service, as a browser would; the state of the login then shows the result."""
        await self._client.get(f"/oauth/callback?{query}")

    async def log_out(self, name: str) -> LogoutDocument:
        return await self._ask(LogoutDocument, "POST", f"/api/connections/{quote(name, safe='')}/logout")

    async def list_audit(self, **filters: str | int | None) -> list[AuditRecordDocument]:
        return (await self._ask(AuditDocument, "GET", "/api/audit", params=_drop_none(filters))).records

    async def list_schedules(self) -> list[ScheduleDocument]:
        return (await self._ask(ScheduleListDocument, "GET", "/api/schedules")).schedules

    async def list_keys(self) -> list[KeyDocument]:
        return (await self._ask(KeyListDocument, "GET", "/api/keys")).keys

    async def create_key(self, name: str, scope: KeyScope | None, grants: Collection[KeyGrant]) -> MadeKeyDocument:
        return await self._ask(
            MadeKeyDocument, "POST", "/api/keys", json={"name": name, "scope": scope, "grants": [*grants]}
        )

    async def create_enter_link(self) -> EnterLinkDocument:
        return await self._ask(EnterLinkDocument, "POST", "/api/enter-links", json={})

    async def list_secrets(self) -> SecretListDocument:
        return await self._ask(SecretListDocument, "GET", "/api/secrets")

    async def set_secret(self, name: str, value: str) -> SecretDocument:
        return await self._ask_store(SecretDocument, "/api/secrets", json={"name": name, "value": value})

    async def remove_secret(self, name: str) -> RemovedSecretDocument:
        return await self._ask(RemovedSecretDocument, "DELETE", f"/api/secrets/{quote(name, safe='')}")

    async def rotate_store_key(self) -> RotationDocument:
        return await self._ask_store(RotationDocument, "/api/secrets/key/rotate")

    async def _ask_store(
        self, document: type[Answer], path: str, *, missing: LookupError | None = None, **more: Any
    ) -> Answer:
        """Ask for a change of the encrypted store; raises `StoreError` if its keys do not permit it, and `missing`
        for a 404."""
        try:
            return await self._ask(document, "POST", path, **more)
        except ServiceRefused as refused:
            if refused.status == 409:
                raise StoreError(str(refused)) from None
            if missing and refused.status == 404:
                raise missing from None
            raise

    async def revoke_key(self, key: str) -> KeyDocument:
        return await self._ask(KeyDocument, "DELETE", f"/api/keys/{quote(key, safe='')}")

    async def find_unready_reason(self) -> str | None:
        """Why the service takes no events at the moment; None if it does."""
        answer: dict[str, Any] = (await self._client.get("/ready")).json()
        return None if answer.get("ready") else str(answer.get("reason"))

    async def is_healthy(self) -> bool:
        """Whether it is a Waypost that answers there."""
        with contextlib.suppress(httpx.TransportError, ValueError):
            return bool((await self._client.get("/health")).json() == {"status": "ok"})
        return False

    async def _send(self, run: str, what: str, body: Mapping[str, JSON]) -> TakenDocument:
        """Send something to a run; a 404 is about the run or about one of its steps."""
        try:
            return await self._ask(TakenDocument, "POST", _make_path(run, what), json=body)
        except ServiceRefused as refused:
            if refused.status == 404:
                await self._ensure_run(run)
            raise

    async def _ensure_run(self, run: str) -> None:
        """Raise `RunNotFound` if there is no such run."""
        await self._ask_of(run, dict[str, Any], "GET", "/history", params={"limit": 1})

    async def _ask_of(self, run: str, document: type[Answer], method: str, what: str, **more: Any) -> Answer:
        return await self._ask_for(RunNotFound(run), document, method, _make_path(run, what), **more)

    async def _ask_of_delivery(
        self, delivery: str, document: type[Answer], method: str, what: str, **more: Any
    ) -> Answer:
        path = f"/api/deliveries/{quote(delivery, safe='')}{what}"
        return await self._ask_for(DeliveryNotFound(delivery), document, method, path, **more)

    async def _ask_of_bulk(self, bulk: str, document: type[Answer], method: str, what: str, **more: Any) -> Answer:
        path = f"/api/bulks/{quote(bulk, safe='')}{what}"
        return await self._ask_for(BulkNotFound(bulk), document, method, path, **more)

    async def _ask_of_connection(self, name: str, document: type[Answer], method: str, what: str = "") -> Answer:
        path = f"/api/connections/{quote(name, safe='')}{what}"
        return await self._ask_for(ConnectionNotFound(name), document, method, path)

    async def _ask_for(
        self, missing: LookupError, document: type[Answer], method: str, path: str, **more: Any
    ) -> Answer:
        """Ask for something that there may not be; raises `missing` then."""
        try:
            return await self._ask(document, method, path, **more)
        except ServiceRefused as refused:
            if refused.status == 404:
                raise missing from None
            raise

    async def _ask(self, document: type[Answer], method: str, path: str, **more: Any) -> Answer:
        return self._decode(document, await self._client.request(method, path, **more))

    def _decode(self, document: type[Answer], answer: httpx.Response) -> Answer:
        self._ensure_success(answer)
        try:
            return msgspec.json.decode(answer.content, type=document)
        except msgspec.MsgspecError:
            raise self._make_stranger(answer) from None

    def _ensure_success(self, answer: httpx.Response) -> None:
        """Raise `ServiceRefused` for an error, and for an answer that is no JSON."""
        try:
            document: dict[str, Any] = answer.json()
        except ValueError:
            raise self._make_stranger(answer) from None
        if answer.is_error:
            raise ServiceRefused(
                str(document.get("detail", document)), answer.status_code, _find_invalid_fields(document)
            )

    def _make_stranger(self, answer: httpx.Response) -> ServiceRefused:
        what = f"{self.url} answered {answer.status_code} without JSON: is it Waypost?"
        return ServiceRefused(what, answer.status_code)


def _make_path(run: str, what: str) -> str:
    return f"/api/runs/{quote(run, safe='')}{what}"


def _find_invalid_fields(document: dict[str, Any]) -> list[InvalidField]:
    return [InvalidField(str(each["name"]), str(each["detail"])) for each in document.get("errors", ())]


def _drop_none(parameters: Mapping[str, str | int | None]) -> dict[str, str | int]:
    return {name: value for name, value in parameters.items() if value is not None}


@contextlib.asynccontextmanager
async def connect_service(instance: Instance) -> AsyncIterator[ServiceClient | None]:
    """The service that works on a data folder, None if none answers."""
    try:
        noted = json.loads((instance.data / ADDRESS_FILE).read_text())
        url, pid = str(noted["url"]), int(noted["pid"])
        urlsplit(url).port  # noqa: B018  # raises ValueError for an invalid address
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        yield None
        return
    key = instance.find_key()
    if key and not re.fullmatch("[!-~]+", key):
        raise ServiceRefused(
            "the API key (WAYPOST_API_KEY, or `api_key` in settings.toml) should be printable ASCII", 401
        )
    headers = {"User-Agent": f"{COMMAND_AGENT}/{__version__}"}
    if key:
        headers["Authorization"] = f"Bearer {key}"
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # never spoken on this machine, so no authority need be read
    async with httpx.AsyncClient(base_url=url, headers=headers, trust_env=False, timeout=30, verify=tls) as client:
        running = ServiceClient(client, url, pid)
        # The note of a killed service outlives it, and another folder's service may listen there by now.
        yield running if _is_alive(pid) and await running.is_healthy() else None


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except OSError:
        pass  # it exists, and belongs to another user
    return True
