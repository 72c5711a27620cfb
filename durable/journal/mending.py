"""Rows of runs that damage or somebody else's hand has changed, mended by what the run's history says."""

from typing import Any

import msgspec

from durable.journal.cursor import Cursor, Unit
from durable.journal.statements import Statements

_decode = msgspec.json.Decoder(list[msgspec.Raw]).decode


def mend_due_times(sql: Statements) -> Unit[None]:
    """Make unfinished runs due at once whose rows do not say when they are: whoever takes them over knows."""

    def unit(cursor: Cursor) -> None:
        cursor.execute(sql.mend_due_times, {})

    return unit


def ensure_sequence(cursor: Cursor, sql: Statements, run: str, sequence: Any) -> int:
    """The number of a run's last entry: what its row says, unless its history goes on beyond that. Then the row is
    damaged, and mended: the history alone counts, and whoever appends to it is held to what the row says."""
    is_number = isinstance(sequence, int)
    said = int(sequence) if is_number else 0
    cursor.execute(sql.find_last_append, {"run": run})
    found = cursor.fetchone()
    try:
        last: int = found[0] + len(_decode(found[1])) - 1
    except (msgspec.MsgspecError, TypeError):  # whoever reads the history finds that too, and says so
        return said
    if is_number and last <= said:
        return said
    last = max(last, said)
    cursor.execute(sql.mend_sequence, {"run": run, "sequence": last})
    return last
