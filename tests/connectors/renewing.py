"""A process that renews the grant of a connection until it is killed:
`python -m tests.connectors.renewing DATA KEY_FILE SETTINGS`."""

import asyncio
import json
import sys
from pathlib import Path

from connectors.auth.oauth2 import FLOW, OAuth2Settings
from connectors.wire.client import HttpClient
from connectors.wire.egress import Egress
from durable.action import LoginNeeded
from durable.clock import now
from durable.encrypted_store.key_ring import KeyRing
from durable.encrypted_store.store import EncryptedStore
from durable.grants.grants import Grants
from durable.grants.stored import GrantStore
from durable.journal.journal import Journal
from durable.redactor import Redactor

HOUR = 3_600_000


async def renew(data: Path, key: Path, settings: OAuth2Settings) -> None:
    """Print `ready`, then each new access token; or, at the end, why a login is needed."""
    journal = await Journal.open(data, node="node-1", on_fatal=print)
    hours = 0

    def tell_time() -> int:
        return now() + hours * HOUR

    store = GrantStore(EncryptedStore(journal, KeyRing.parse(key.read_text()), tell_time))
    async with HttpClient(egress=Egress.parse("127.0.0.0/8")) as client:
        grants = Grants(store, {HttpClient: client}, Redactor(), tell_time, holder=f"process-{now()}")
        await grants.load()
        context = grants.make_context("crm")
        print("ready", flush=True)
        while True:
            hours += 2
            try:
                print(await grants.get_token(context, FLOW, settings), flush=True)
            except LoginNeeded as needed:
                print(f"lost: {needed.message}", flush=True)
                return


if __name__ == "__main__":
    asyncio.run(renew(Path(sys.argv[1]), Path(sys.argv[2]), OAuth2Settings.model_validate(json.loads(sys.argv[3]))))
