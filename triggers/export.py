"""A run's history as it leaves the house: whole enough to be replayed, and without what opens anything."""

import msgspec

from durable.history import AnyEntry, Links, RunStarted, values
from durable.journal import Reads
from durable.values import Value
from triggers.runs import find, loaded_history
from triggers.waits.proofs import STAND_IN, replaced


async def exported(reads: Reads, run: str) -> bytes:
    """A JSON text with the `definition` in its resolved form, the `run`'s id and its `entries` as they are stored, with
    large values inside them; raises `RunMissing`.

    Secrets stand in it as references, as they do in the journal. The key of the run's links is another, and so are the
    proofs made with it, so that a replay makes the same ones.
    """
    found = await find(reads, run)
    definition = await reads.definition(found.version)
    entries = [_disarmed(entry) for _, entry in await loaded_history(reads, run)]
    document = {"definition": msgspec.Raw(definition or b"null"), "run": run, "entries": entries}
    return replaced(msgspec.json.encode(document))


def _disarmed(entry: AnyEntry) -> AnyEntry:
    changes: dict[str, Value | Links] = {}
    for name, value in values(entry).items():
        text = bytes(value.data)
        if (other := replaced(text)) != text:
            changes[name] = Value.encoded(other)  # a large value is named by the hash of its bytes
    if isinstance(entry, RunStarted) and entry.links:
        changes["links"] = Links(entry.links.url, STAND_IN)
    return msgspec.structs.replace(entry, **changes) if changes else entry
