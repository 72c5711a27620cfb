"""Whatever can answer a command that only reads: the running service, or the instance's files."""

from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from typing import Protocol

from durable.bulks import BulkOutcome
from durable.lazy import load_module
from durable.units import IdKind
from durable.values import JSON
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
from triggers.reading.body import DeliveryBody
from triggers.reading.client import connect_service

OFFLINE = "triggers.reading.offline"
"""Loaded only where no service runs: the journal's libraries take half a second to import."""


class Reader(Protocol):
    """What a command can ask; `url` is the address of the running service, None if there is none."""

    @property
    def url(self) -> str | None: ...

    async def find_id(self, kind: IdKind, text: str, pipeline: str | None = None) -> str: ...
    async def list_runs(self, **filters: str | int | None) -> list[RunLineDocument]: ...
    async def list_errors(self, **filters: str | int | None) -> list[ErrorGroupDocument]: ...
    async def get_run(self, run: str) -> RunDocument: ...
    async def get_run_part(self, run: str, part: str) -> JSON: ...
    async def get_step(self, run: str, path: str) -> StepDocument: ...
    def read_steps(self, run: str, **filters: str) -> AsyncIterator[list[StepDocument]]: ...
    def read_history(self, run: str) -> AsyncIterator[list[EntryDocument]]: ...
    async def export_run(self, run: str) -> str: ...
    async def list_waits(self, run: str | None) -> list[PendingDocument]: ...
    async def list_deliveries(self, **filters: str | int | None) -> list[DeliveryDocument]: ...
    async def get_delivery(self, delivery: str) -> DeliveryDetailsDocument: ...
    async def get_delivery_body(self, delivery: str) -> DeliveryBody: ...
    async def list_unknown_paths(self) -> list[UnknownPathDocument]: ...
    async def list_bulks(self, limit: int) -> list[BulkDocument]: ...
    async def get_bulk(self, bulk: str) -> BulkDocument: ...
    async def list_bulk_items(self, bulk: str, outcome: BulkOutcome | None, limit: int) -> list[BulkItemDocument]: ...
    async def list_pipelines(self) -> list[PipelineLineDocument]: ...
    async def list_versions(self, pipeline: str, limit: int) -> list[VersionDocument]: ...
    async def get_version(self, pipeline: str, version: str, against: str | None) -> VersionTextDocument: ...
    async def list_connections(self) -> list[ConnectionDocument]: ...
    async def list_schedules(self) -> list[ScheduleDocument]: ...
    async def list_audit(self, **filters: str | int | None) -> list[AuditRecordDocument]: ...


class KeyStore(Protocol):
    """What keeps the keys of the API: the running service, or the journal."""

    async def list_keys(self) -> list[KeyDocument]: ...
    async def create_key(self, name: str, scope: KeyScope | None, grants: Collection[KeyGrant]) -> MadeKeyDocument: ...
    async def revoke_key(self, key: str) -> KeyDocument: ...


class SecretKeeper(Protocol):
    """What keeps the secrets: the running service, or the journal with the environment of the command."""

    async def list_secrets(self) -> SecretListDocument: ...
    async def set_secret(self, name: str, value: str) -> SecretDocument: ...
    async def remove_secret(self, name: str) -> RemovedSecretDocument: ...
    async def rotate_store_key(self) -> RotationDocument: ...


@asynccontextmanager
async def open_reader(instance: Instance) -> AsyncIterator[Reader]:
    """The running service if there is one, otherwise the instance's files. Reading them raises the journal's errors."""
    async with connect_service(instance) as client:
        if client:
            yield client
            return

    async with load_module(OFFLINE).open_files(instance) as files:
        yield files


@asynccontextmanager
async def open_key_store(instance: Instance) -> AsyncIterator[KeyStore]:
    """The running service if there is one, otherwise the journal, which is locked meanwhile as a service locks it."""
    async with connect_service(instance) as client:
        if client:
            yield client
            return

    async with load_module(OFFLINE).open_keys(instance) as keys:
        yield keys


@asynccontextmanager
async def open_secret_keeper(instance: Instance) -> AsyncIterator[SecretKeeper]:
    """The running service if there is one, otherwise the journal, which is locked meanwhile as a service locks it."""
    async with connect_service(instance) as client:
        if client:
            yield client
            return

    async with load_module(OFFLINE).open_secrets(instance) as secrets:
        yield secrets
