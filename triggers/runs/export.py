"""A run's history to be replayed elsewhere, without keys that open anything."""

import msgspec

from durable.history.encoding import list_values
from durable.history.entries import AnyEntry, RunStarted
from durable.history.words import Links
from durable.journal.reads import Reads
from durable.journal.scan import Scan
from durable.units import Run
from durable.values import Value
from triggers.runs.rows import find_run
from triggers.waits.proofs import STAND_IN, replace_proofs


async def export_run(reads: Reads, run: str) -> bytes:
    """A JSON text with the `definition` in its resolved form, the `run`'s id and its `entries` as they are stored, with
    large values inside them; raises `RunNotFound`.

    Secrets stand in it as references, as they do in the journal. The key of the run's links is another, and so are the
    proofs made with it, so that a replay makes the same ones.
    """
    found = await find_run(reads, run)
    return await reads.scan(lambda scan: _export(scan, found), found.sequence)


def _export(scan: Scan, run: Run) -> bytes:
    definition = replace_proofs(scan.load_definition(run.version) or b"null")
    entries: list[bytes] = []
    for _, entry in scan.read_entries(run.id):
        for value in list_values(entry).values():
            scan.load_value(value)
        entries.append(replace_proofs(msgspec.json.encode(_disarm_entry(entry))))
    ends = b'{"definition":%b,"run":%b,"entries":[' % (definition, msgspec.json.encode(run.id))
    return b"".join([ends, b",".join(entries), b"]}"])


def _disarm_entry(entry: AnyEntry) -> AnyEntry:
    changes: dict[str, Value | Links] = {}
    for name, value in list_values(entry).items():
        text = bytes(value.data)
        if (other := replace_proofs(text)) != text:
            changes[name] = Value.from_json(other)  # a large value is named by the hash of its bytes
    if isinstance(entry, RunStarted) and entry.links:
        changes["links"] = Links(entry.links.url, STAND_IN)
    return msgspec.structs.replace(entry, **changes) if changes else entry
