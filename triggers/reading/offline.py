"""What an instance's files say where no service runs: its journal and its config folder."""

import contextlib
from collections.abc import AsyncIterator, Awaitable, Collection, Mapping
from contextlib import asynccontextmanager
from typing import Any, TypeVar

import msgspec

from durable.bulks import BulkOutcome
from durable.clock import new_id, now
from durable.durations import parse_moment
from durable.journal.audit import list_audit_records
from durable.journal.bulks import find_bulk, list_bulk_items, list_bulks
from durable.journal.journal import Journal
from durable.journal.reads import Reads, open_reader
from durable.journal.sqlite.files import FILE_NAME
from durable.journal.unknown_paths import list_unknown_paths
from durable.redactor import Redactor
from durable.secrets import Secrets
from durable.units import IdKind
from durable.values import JSON
from triggers.audit import AuditLog, Caller
from triggers.bulks.filters import describe_bulk
from triggers.config.catalogue import load_connectors
from triggers.config.connection_list import describe_connections
from triggers.config.connections import Connections
from triggers.documents.audit import AuditRecordDocument
from triggers.documents.bulks import BulkDocument, BulkItemDocument
from triggers.documents.connections import ConnectionDocument
from triggers.documents.deliveries import DeliveryDetailsDocument, DeliveryDocument
from triggers.documents.errors import ErrorGroupDocument
from triggers.documents.fields import KeyGrant, KeyScope
from triggers.documents.keys import KeyDocument, MadeKeyDocument
from triggers.documents.pipelines import PipelineLineDocument
from triggers.documents.runs import EntryDocument, RunDocument, RunLineDocument, StepDocument
from triggers.documents.schedules import ScheduleDocument
from triggers.documents.secrets import (
    RemovedSecretDocument,
    RotationDocument,
    SecretDocument,
    SecretListDocument,
)
from triggers.documents.unknown_paths import UnknownPathDocument
from triggers.documents.versions import VersionDocument, VersionTextDocument
from triggers.documents.waits import PendingDocument
from triggers.instance import Instance
from triggers.keys import Keys
from triggers.not_found import BulkNotFound, KeyNotFound, PipelinesMissing
from triggers.reading.body import DeliveryBody
from triggers.reading.config_folder import load_folder
from triggers.reading.stored_secrets import load_grants, load_secrets
from triggers.refusals import describe_error
from triggers.runs.export import export_run
from triggers.runs.history import encode_history
from triggers.runs.lists import RunLists, RunQuery, ServedNames, ensure_webhook
from triggers.runs.rows import explain_nothing
from triggers.runs.run import encode_run, encode_run_part
from triggers.runs.steps import StepQuery, encode_step, encode_steps
from triggers.runs.waits import list_waits, list_waits_of
from triggers.schedules.timetable import describe_schedules
from triggers.schedules.trigger import ScheduleTrigger
from triggers.secret_store import SecretStore, open_secret_store
from triggers.settings import Settings, SettingsError
from triggers.short_ids import find_id
from triggers.versions import VersionReads, list_served
from triggers.waits.proofs import WAITS_PREFIX
from triggers.webhooks.details import DeliveryQuery, describe_delivery, list_lines, load_body
from triggers.webhooks.trigger import WebhookTrigger
from triggers.webhooks.unknown_paths import describe_unknown_path

Changed = TypeVar("Changed")

COMMAND = "a command"
"""Who has changed what was changed by a command without a service."""

PAGE = 100
"""Unfinished runs that are looked at in one go."""


class Files:
    """Reads the journal and the config folder of an instance. The journal is opened for the first question about it."""

    url: str | None = None
    """No service is asked."""

    def __init__(self, instance: Instance) -> None:
        self._instance = instance
        self._opened: Reads | None = None

    async def find_id(self, kind: IdKind, text: str, pipeline: str | None = None) -> str:
        return await find_id(await self._open(), kind, text, pipeline)

    async def list_runs(self, **filters: Any) -> list[RunLineDocument]:
        return (await (await self._open_lists()).list_runs(_make_query(filters), may_answer=True)).runs

    async def list_errors(self, **filters: Any) -> list[ErrorGroupDocument]:
        return (await (await self._open_lists()).list_errors(_make_query(filters), may_answer=True)).errors

    async def get_run(self, run: str) -> RunDocument:
        encoded = await encode_run(await self._open(), run, waits_url=self._find_waits_url())
        return msgspec.json.decode(encoded.text, type=RunDocument)

    async def get_run_part(self, run: str, part: Any) -> JSON:
        value: JSON = msgspec.json.decode(await encode_run_part(await self._open(), run, part))
        return value

    async def get_step(self, run: str, path: str) -> StepDocument:
        return msgspec.json.decode(await encode_step(await self._open(), run, path), type=StepDocument)

    async def read_steps(self, run: str, **filters: Any) -> AsyncIterator[list[StepDocument]]:
        reads = await self._open()
        after: str | None = None
        while True:
            page, after = await encode_steps(reads, run, StepQuery(**filters, after=after))
            yield msgspec.json.decode(page, type=list[StepDocument])
            if after is None:
                return

    async def read_history(self, run: str) -> AsyncIterator[list[EntryDocument]]:
        reads = await self._open()
        after: int | None = 0
        while after is not None:
            page, after = await encode_history(reads, run, after)
            yield msgspec.json.decode(page)

    async def export_run(self, run: str) -> str:
        return (await export_run(await self._open(), run)).decode()

    async def list_waits(self, run: str | None) -> list[PendingDocument]:
        reads, url = await self._open(), self._find_waits_url()
        waits: list[PendingDocument] = []
        after: str | None = None
        while True:
            if run is not None:
                path = after.partition("/")[2] if after else None
                found, after = await list_waits_of(reads, run, path, PAGE, may_answer=True, waits_url=url)
            else:
                found, after = await list_waits(reads, after, PAGE, may_answer=True, waits_url=url)
            waits += found
            if after is None:
                return waits

    async def list_deliveries(self, **filters: Any) -> list[DeliveryDocument]:
        query = DeliveryQuery(**_read_times(filters))
        if query.trigger is not None:
            await ensure_webhook(await self._open(), self._load_names(), query.trigger)
        return (await list_lines(await self._open(), query, self._redactor, may_answer=True)).deliveries

    async def get_delivery(self, delivery: str) -> DeliveryDetailsDocument:
        return await describe_delivery(await self._open(), delivery, self._redactor, may_answer=True)

    async def get_delivery_body(self, delivery: str) -> DeliveryBody:
        return DeliveryBody(*await load_body(await self._open(), delivery, self._redactor))

    @property
    def _redactor(self) -> Redactor:
        return load_secrets(self._instance).redactor

    async def list_unknown_paths(self) -> list[UnknownPathDocument]:
        """The unknown paths as they were last written, with hints from the config folder if there is one."""
        found = await (await self._open()).read(list_unknown_paths)
        hooks: list[WebhookTrigger] = []
        are_all = False
        with contextlib.suppress(PipelinesMissing, SettingsError):
            folder = load_folder(self._instance)
            hooks, are_all = folder.find_triggers(WebhookTrigger), not folder.broken
        return [describe_unknown_path(each, hooks, are_all=are_all) for each in found]

    async def list_bulks(self, limit: int) -> list[BulkDocument]:
        return [describe_bulk(bulk) for bulk in await (await self._open()).read(list_bulks, limit)]

    async def get_bulk(self, bulk: str) -> BulkDocument:
        found = await (await self._open()).read(find_bulk, bulk)
        if found is None:
            raise BulkNotFound(bulk)
        return describe_bulk(found)

    async def list_bulk_items(self, bulk: str, outcome: BulkOutcome | None, limit: int) -> list[BulkItemDocument]:
        found = await (await self._open()).read(list_bulk_items, bulk, limit, outcome=outcome)
        return [BulkItemDocument.of(each) for each in found]

    async def list_pipelines(self) -> list[PipelineLineDocument]:
        """Return the files as a service describes them, with the status `valid` instead of `serving`: no service serves
        them."""
        folder = load_folder(self._instance)
        files = [file.describe() for file in folder.files]
        return [msgspec.structs.replace(file, status="valid") if file.status == "serving" else file for file in files]

    async def list_versions(self, pipeline: str, limit: int) -> list[VersionDocument]:
        return (await (await self._open_versions()).list_versions(pipeline, None, limit)).versions

    async def get_version(self, pipeline: str, version: str, against: str | None) -> VersionTextDocument:
        return await (await self._open_versions()).get_version(pipeline, version, against)

    async def _open_lists(self) -> RunLists:
        return RunLists(await self._open(), self._load_names, now, explain_nothing)

    def _load_names(self) -> ServedNames:
        try:
            return load_folder(self._instance).list_names()
        except PipelinesMissing:
            return ServedNames()

    async def _open_versions(self) -> VersionReads:
        """The versions in the journal; those of the config folder are current, if there is one."""
        served: dict[str, str] = {}
        with contextlib.suppress(PipelinesMissing, SettingsError):
            served = list_served(load_folder(self._instance).definitions)
        return VersionReads(await self._open(), served)

    async def list_connections(self) -> list[ConnectionDocument]:
        """The connections of the config folder. Without a service, nothing is known of what holds them back."""
        config = self._instance.config
        known = Connections(config, load_connectors(config, self._instance.data), load_secrets(self._instance))
        grants, at = load_grants(self._instance), now()
        return describe_connections(known, lambda opened: grants.find_login_problem(opened, at))

    async def list_audit(self, **filters: Any) -> list[AuditRecordDocument]:
        found = await (await self._open()).read(list_audit_records, **_read_times(filters))
        return [AuditRecordDocument.of(each) for each in found]

    async def list_schedules(self) -> list[ScheduleDocument]:
        """The schedules of the config folder, with what the journal knows of them."""
        has_journal = (self._instance.data / FILE_NAME).exists()
        rows = await (await self._open()).list_schedules() if has_journal else []
        folder = load_folder(self._instance)
        return describe_schedules(folder.find_triggers(ScheduleTrigger), {row.id: row for row in rows}, now())

    def _find_waits_url(self) -> str | None:
        """Where a service with the settings of this instance would answer links; None if that is not known."""
        with contextlib.suppress(SettingsError):
            if url := Settings.load(self._instance.config, self._instance.environment, {}).url:
                return f"{url}{WAITS_PREFIX}"
        return None

    async def close(self) -> None:
        if self._opened:
            await self._opened.close()

    async def _open(self) -> Reads:
        if self._opened is None:
            self._opened = await open_reader(self._instance.data)
        return self._opened


def _make_query(filters: Mapping[str, Any]) -> RunQuery:
    """The query of filters that are named and written as in the API."""
    return RunQuery(**_read_times(filters))


def _read_times(filters: Mapping[str, Any]) -> dict[str, Any]:
    """Filters as the API names and writes them, with the times `from` and `to` as `since` and `until` (ms)."""
    times = {"since": filters.get("from"), "until": filters.get("to")}
    others = {name: value for name, value in filters.items() if name not in ("from", "to")}
    return others | {name: None if text is None else parse_moment(text) for name, text in times.items()}


class JournalKeys:
    """The keys in a journal that no service holds."""

    def __init__(self, keys: Keys, audit: AuditLog) -> None:
        self._keys = keys
        self._audit = audit

    async def list_keys(self) -> list[KeyDocument]:
        return [KeyDocument.of(key) for key in self._keys.list_keys()]

    async def create_key(self, name: str, scope: KeyScope | None, grants: Collection[KeyGrant]) -> MadeKeyDocument:
        record = await self._audit.begin(Caller.of_command(), "create_key", "key")
        key, text = await self._keys.create(name, scope, grants)
        await self._audit.end(record, 201, key.id)
        return MadeKeyDocument.of(key, key=text)

    async def revoke_key(self, key: str) -> KeyDocument:
        record = await self._audit.begin(Caller.of_command(), "revoke_key", "key", key)
        revoked = await self._keys.revoke(key)
        await self._audit.end(record, 404 if revoked is None else 200)
        if revoked is None:
            raise KeyNotFound(key)
        return KeyDocument.of(revoked)


class JournalSecrets:
    """The secrets of an instance whose journal no service holds."""

    def __init__(self, store: SecretStore, audit: AuditLog) -> None:
        self._store = store
        self._audit = audit

    async def list_secrets(self) -> SecretListDocument:
        return await self._store.list_secrets()

    async def set_secret(self, name: str, value: str) -> SecretDocument:
        return await self._perform("set_secret", name, self._store.set_secret(name, value, COMMAND))

    async def remove_secret(self, name: str) -> RemovedSecretDocument:
        return await self._perform("remove_secret", name, self._store.remove_secret(name, COMMAND))

    async def rotate_store_key(self) -> RotationDocument:
        return await self._perform("rotate_store_key", None, self._store.rotate_key(COMMAND))

    async def _perform(self, action: str, name: str | None, change: Awaitable[Changed]) -> Changed:
        """Make a change that the audit log records as the API's operation of this name."""
        record = await self._audit.begin(Caller.of_command(), action, "secret", name)
        try:
            done = await change
        except Exception as error:
            await self._audit.end(record, describe_error(error).status)
            raise
        await self._audit.end(record, 200)
        return done


@asynccontextmanager
async def open_files(instance: Instance) -> AsyncIterator[Files]:
    """The files of an instance, to be read."""
    files = Files(instance)
    try:
        yield files
    finally:
        await files.close()


@asynccontextmanager
async def open_keys(instance: Instance) -> AsyncIterator[JournalKeys]:
    """The keys of an instance's journal, to be read and written."""
    async with _open_journal(instance) as journal:
        keys = Keys(journal, None, now)
        await keys.load()
        yield JournalKeys(keys, AuditLog(journal, Redactor(), now))


@asynccontextmanager
async def open_secrets(instance: Instance) -> AsyncIterator[JournalSecrets]:
    """The secrets of an instance, to be read and written; raises `SettingsError`."""
    settings = Settings.load(instance.config, instance.environment, {})
    async with _open_journal(instance) as journal:
        store = await open_secret_store(settings, instance.data, Secrets(instance.environment), journal, now)
        yield JournalSecrets(store, AuditLog(journal, store.secrets.redactor, now))


@asynccontextmanager
async def _open_journal(instance: Instance) -> AsyncIterator[Journal]:
    """The journal, locked as a service locks it."""
    journal = await Journal.open(instance.data, node=new_id("node", now()), on_fatal=_ignore)
    try:
        yield journal
    finally:
        await journal.close()


def _ignore(error: BaseException) -> None:
    """The write that waits for the failed commit raises the error as well."""
