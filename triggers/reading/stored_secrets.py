"""The secrets and grants of an instance for commands that read its files: the environment and the encrypted store."""

from pathlib import Path
from typing import TypeVar

from sqlalchemy.exc import DBAPIError

from durable.encrypted_store.key_ring import KeyRing
from durable.encrypted_store.secrets import decrypt_secrets
from durable.grants.known import KnownGrants
from durable.journal.errors import DataFolderUnusable
from durable.journal.migrate import ensure_current
from durable.journal.sealed_values import list_sealed_values
from durable.journal.sqlite.database import SQLite
from durable.secrets import Secrets
from durable.units import SealedValue
from triggers.instance import Instance
from triggers.settings import Settings
from triggers.store_key import StoreKeySource

Filled = TypeVar("Filled", bound=Secrets)


def load_secrets(instance: Instance) -> Secrets:
    """The secrets of an instance. Without a journal that can be read, only those of the environment; raises
    `SettingsError`."""
    return fill_in_stored(Secrets(instance.environment), instance)


def fill_in_stored(secrets: Filled, instance: Instance) -> Filled:
    """The secrets with those of the encrypted store, decrypted with the store key of this environment."""
    if values := read_sealed_values(instance.data):
        secrets.replace_stored(decrypt_secrets(_load_key_ring(instance), values)[0])
    return secrets


def load_grants(instance: Instance) -> KnownGrants:
    """What is stored of the grants of connections; raises `SettingsError`."""
    values = read_sealed_values(instance.data)
    return KnownGrants.decrypt(_load_key_ring(instance), values) if values else KnownGrants()


def _load_key_ring(instance: Instance) -> KeyRing:
    return StoreKeySource(Settings.load(instance.config, instance.environment, {}), instance.data).load()


def read_sealed_values(data: Path) -> list[SealedValue]:
    """The encrypted values in the journal of a data folder; none if it cannot be read, or has other tables."""
    database = SQLite(data)
    if not database.path.exists():
        return []
    engine = database.readers()
    try:
        with engine.connect() as connection:
            ensure_current(connection)
            return list_sealed_values(connection)
    except (DataFolderUnusable, DBAPIError):
        return []
    finally:
        engine.dispose()
