"""The entries of a history as a stream shows them: which of their fields, and how long they may be."""

from collections.abc import Collection, Mapping

import msgspec

from durable.history.encoding import list_values
from durable.history.entries import AnyEntry
from durable.history.words import Failure
from durable.journal.scan import Scan
from triggers.documents.streams import See
from triggers.runs.encoder import DocumentEncoder
from triggers.runs.history import make_entry

ENTRY_LIMIT = 64 * 1024
"""The bytes of an entry in a stream, since every client gets a copy. A longer one is sent without its values."""

STATUS_FIELDS = frozenset(
    ("path", "attempt", "status", "kind", "branch", "index", "count", "page", "due", "run", "pipeline", "version")
)
"""The fields of an entry that are no data of the pipeline."""

FIELDS: Mapping[See, Collection[str] | None] = {
    "status": STATUS_FIELDS,
    "outputs": STATUS_FIELDS | {"output", "outputs", "items", "reason", "verdict"},
    "history": None,
}


class EntryView(msgspec.Struct, frozen=True):
    """What somebody sees of entries. Without `may_answer`, they have no links to waits."""

    see: See
    may_answer: bool

    def make_encoder(self, scan: Scan, run: str) -> DocumentEncoder:
        return DocumentEncoder(scan, run, may_answer=self.may_answer)

    def encode(self, run: str, number: int, entry: AnyEntry, encoder: DocumentEncoder) -> bytes:
        """An entry as JSON. A longer one names in `omitted` where it is whole."""
        if sum(value.size for value in list_values(entry).values()) <= ENTRY_LIMIT:
            encoded = encoder.encode(self._describe(number, entry, encoder, self.see))
            if len(encoded) <= ENTRY_LIMIT:
                return encoded
        where = f"/api/runs/{run}/history?after={number - 1}&limit=1"
        return encoder.encode(self._describe(number, entry, encoder, "status") | {"omitted": where})

    def _describe(self, number: int, entry: AnyEntry, encoder: DocumentEncoder, see: See) -> dict[str, object]:
        line: dict[str, object] = {**make_entry(number, entry, encoder, FIELDS[see])}
        if see != "history" and isinstance(error := getattr(entry, "error", None), Failure):
            told: dict[str, object] = {"class": error.error_class, "step": error.step, "attempt": error.attempt}
            if see == "outputs":
                told |= {"code": error.code, "message": error.message}
            line["error"] = told
        return line
