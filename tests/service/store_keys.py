"""Environments of services that have a store key."""

from pathlib import Path

from durable.encrypted_store.key_ring import StoreKey
from tests.service.running import ENVIRONMENT


def make_environment(tmp_path: Path, *keys: StoreKey, **more: str) -> dict[str, str]:
    """An environment in which a file has these store keys."""
    file = tmp_path / "store.key"
    file.write_text("".join(f"{key.encode()}\n" for key in keys))
    file.chmod(0o600)
    return {**ENVIRONMENT, "WAYPOST_STORE_KEY_FILE": str(file), **more}
