"""Samples of a pipeline's runs: its newest ones with little of each, so that a summary costs the same however many runs
there are."""

from sqlalchemy import Connection, select

from durable.journal.runs import decode_cause
from durable.journal.tables import runs
from durable.reports import RunSample


def sample_runs(
    connection: Connection, pipeline: str, limit: int, *, since: str = "", trigger: str | None = None
) -> list[RunSample]:
    """Return the newest runs of a pipeline with ids of at least `since`, the newest first; with `trigger`, those of
    them that it started."""
    c = runs.c
    newest = select(c.id, c.trigger, c.status, c.created_at, c.finished_at, c.cause)
    newest = newest.where(c.pipeline == pipeline, c.id >= since).order_by(c.id.desc()).limit(limit)
    return [
        RunSample(id, status, created_at, finished_at, decode_cause(cause))
        for id, of_trigger, status, created_at, finished_at, cause in connection.execute(newest)
        if trigger is None or of_trigger == trigger
    ]
