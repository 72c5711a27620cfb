"""A process that rotates the store key until it is killed: `python -m tests.journal.rotating DATA KEY_FILE`."""

import asyncio
import sys
from pathlib import Path

from durable.clock import now
from durable.journal.journal import Journal
from durable.secrets import Secrets
from triggers.secret_store import open_secret_store
from triggers.settings import Settings


async def rotate(data: Path, key: str) -> None:
    """Print a line before the first rotation, and one after each."""
    settings = Settings.load(data, {"WAYPOST_STORE_KEY_FILE": key}, {})
    journal = await Journal.open(data, node="node-1", on_fatal=print)
    store = await open_secret_store(settings, data, Secrets({}), journal, now)
    print("ready", flush=True)
    while True:
        done = await store.rotate_key("ada")
        print(done.store_key, flush=True)


if __name__ == "__main__":
    asyncio.run(rotate(Path(sys.argv[1]), sys.argv[2]))
