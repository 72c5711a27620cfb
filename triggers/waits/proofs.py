"""The proofs in links to waits: removed from documents for readers who may not answer."""

import re
from collections.abc import Iterator
from urllib.parse import unquote

from durable.history.entries import RunStarted
from durable.history.words import Links
from durable.journal.errors import RunUnreadable
from durable.journal.scan import Scan
from durable.links import LINK, hide_links, make_proof, make_token
from durable.redactor import LAYERS, Redactor, run_slices
from triggers.documents.fields import Redacted, redact_document

ANCESTORS_LIMIT = 20
"""Runs of which one called the next, or sent the event that started it. Calls are nested 16 deep at most."""

WAITS_PREFIX = "/waits"
"""The path below which the service answers links."""

_RUN = re.compile("run_[0-9a-z]{26}")

STAND_IN = "exported"
"""The key of the proofs in an exported history."""


def disarm_links(scan: Scan, run: str, document: Redacted) -> Redacted:
    """A document about a run in which no link can be used, in whatever way it is written."""
    redactor = Redactor(find_tokens(scan, run), layers=LAYERS)
    return redact_document(document, lambda tree: run_slices(redactor.redact_in_slices(hide_links(tree)), scan.rest))


def find_tokens(scan: Scan, run: str) -> set[str]:
    """The tokens of the links that a run can know: its own, and those of the runs that started it."""
    return {make_token(links.key, each) for each, links in _find_ancestors(scan, run) if links}


def _find_ancestors(scan: Scan, run: str | None) -> Iterator[tuple[str, Links | None]]:
    for _ in range(ANCESTORS_LIMIT):
        started = _read_start(scan, run) if run else None
        if run is None or started is None:
            return
        yield run, started.links
        run = started.parent.run if started.parent else _find_sender(scan, started)


def _read_start(scan: Scan, run: str) -> RunStarted | None:
    try:
        _, entry = next(scan.read_entries(run), (0, None))
    except RunUnreadable:
        return None
    return entry if isinstance(entry, RunStarted) else None


def _find_sender(scan: Scan, started: RunStarted) -> str | None:
    """The run that sent the event which started another."""
    found = _RUN.match(scan.find_event_key(started.event) or "") if started.event else None
    return found[0] if found else None


def replace_proofs(text: bytes) -> bytes:
    """A JSON text in which each proof is replaced by one of the same length under the stand-in's key. Equal proofs stay
    equal."""
    return LINK.sub(_replace_proof, text.decode()).encode() if b"run_" in text else text


def _replace_proof(link: re.Match[str]) -> str:
    return link["head"] + make_proof(STAND_IN, link["run"], unquote(unquote(link["path"])))
