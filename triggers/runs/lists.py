"""Lists of runs and of failures: by filters, whose unknown names are errors, in pages."""

from collections.abc import Callable, Collection
from typing import Literal, TypeAlias

import msgspec

from durable.history.words import RunStatus
from durable.ids import first_id
from durable.journal.failures import list_error_keys, list_failures
from durable.journal.reads import Reads
from durable.journal.runs import RunFilter, list_pipelines, list_triggers
from durable.reports import FailureGroup
from durable.wording import quote, suggest
from triggers.documents.errors import ErrorGroupDocument, ErrorGroupsDocument
from triggers.documents.fields import format_time
from triggers.documents.runs import RunLineDocument, RunsDocument
from triggers.not_found import IdAmbiguous, IdNotFound, PipelineNotFound, TriggerNotFound, WebhookNotFound
from triggers.runs.rows import ExplainProgress, explain_nothing, list_run_lines
from triggers.runs.search import search_runs

API = "api"
"""The trigger of runs that were started over the API."""

CALL = "call"
"""The trigger of runs that another run called."""


RunOrder: TypeAlias = Literal["newest", "oldest"]
"""Which runs of a list come first."""


class RunQuery(msgspec.Struct, frozen=True):
    """What is listed: the filters, of which all hold, and the page. `since`, `until`: the time of the start, in ms.
    `trigger`: the id of a trigger, or PIPELINE/TRIGGER. `error`: an error key. `source`: the run or the delivery that
    is repeated. `q`: a text in the inputs."""

    pipeline: str | None = None
    status: RunStatus | None = None
    tag: str | None = None
    trigger: str | None = None
    event: str | None = None
    error: str | None = None
    version: str | None = None
    source: str | None = None
    since: int | None = None
    until: int | None = None
    after: str | None = None
    order: RunOrder = "newest"
    limit: int = 50
    q: str | None = None


class ServedNames(msgspec.Struct, frozen=True):
    """The names that a filter may have although no run has them yet."""

    pipelines: Collection[str] = ()
    triggers: Collection[str] = ()
    full_names: Collection[str] = ()
    """Those of the triggers, as PIPELINE/TRIGGER."""


class RunLists:
    """Lists runs and failures. `names` gives the pipelines and the triggers of the config folder."""

    def __init__(
        self, reads: Reads, names: Callable[[], ServedNames], now: Callable[[], int], explain: ExplainProgress
    ) -> None:
        self._reads = reads
        self._names = names
        self._now = now
        self._explain = explain

    async def list_runs(self, query: RunQuery, *, may_answer: bool) -> RunsDocument:
        """A page of runs, the newest first; raises `PipelineNotFound`, `TriggerNotFound`, `IdNotFound` and
        `IdAmbiguous`."""
        pipeline, trigger = split_trigger(query.pipeline, query.trigger)
        await ensure_known(self._reads, self._names, pipeline, trigger)
        error = await find_error_key(self._reads, query.error)
        wanted = RunFilter(
            pipeline=pipeline,
            status=query.status,
            tag=query.tag,
            trigger=trigger,
            event=query.event,
            error_key=error,
            version=query.version,
            source=query.source,
            since=_first_run(query.since),
            before=_first_run(query.until),
            after=query.after,
            is_oldest_first=query.order == "oldest",
            limit=query.limit,
        )
        if query.q is not None:
            found, after, looked_at = await search_runs(self._reads, query.q, may_answer=may_answer, **wanted)
        else:
            found, looked_at = await self._reads.list_runs(**wanted), None
            after = found[-1].id if len(found) == query.limit else None
        lines = await list_run_lines(self._reads, found, self._now(), may_answer=may_answer, explain=self._explain)
        return RunsDocument(lines, after, looked_at)

    async def list_errors(self, query: RunQuery, *, may_answer: bool) -> ErrorGroupsDocument:
        """A page of failures, that with the newest run first; raises `PipelineNotFound`. Of the query only pipeline,
        times and page count."""
        await ensure_known(self._reads, self._names, query.pipeline, None)
        found = await self._reads.read(
            list_failures,
            pipeline=query.pipeline,
            since=_first_run(query.since),
            before=_first_run(query.until),
            after=query.after,
            limit=query.limit,
        )
        newest = [group.newest for group in found]
        lines = await list_run_lines(self._reads, newest, self._now(), may_answer=may_answer, explain=explain_nothing)
        groups = [_make_group(group, line) for group, line in zip(found, lines, strict=True)]
        return ErrorGroupsDocument(groups, found[-1].newest.id if len(found) == query.limit else None)


async def ensure_known(
    reads: Reads, names: Callable[[], ServedNames], pipeline: str | None, trigger: str | None
) -> None:
    """Raise an error for a name that neither the config folder nor any run has: an empty list would look as if
    there were no such runs. The config folder is asked only for a name that no run has: without a service, it has to be
    loaded first."""
    if pipeline is not None and not await reads.list_runs(pipeline=pipeline, limit=1):
        known = names().pipelines
        if pipeline not in known:
            raise PipelineNotFound(pipeline, {*known, *await reads.read(list_pipelines)})
    if trigger not in (None, API, CALL) and not await reads.list_runs(trigger=trigger, limit=1):
        known = names().triggers
        if trigger not in known:
            raise TriggerNotFound(str(trigger), {*known, API, CALL, *await reads.read(list_triggers)})


async def ensure_webhook(reads: Reads, names: ServedNames, webhook: str | None) -> None:
    """Raise `TriggerNotFound` for a webhook that neither the config folder nor any delivery has."""
    if webhook is None or webhook in names.full_names or await reads.list_deliveries(trigger=webhook, limit=1):
        return
    known = sorted(names.full_names)
    meant = [name for name in known if webhook in name.split("/")]
    hint = f"name it PIPELINE/TRIGGER: {', '.join(meant[:5])}" if meant else suggest(webhook, known)
    raise WebhookNotFound(webhook, hint)


async def find_error_key(reads: Reads, error: str | None) -> str | None:
    """Return the whole key of a failure of which the beginning is given; raises `IdNotFound` and `IdAmbiguous`."""
    if error is None:
        return None
    found = await reads.read(list_error_keys, error, 2)
    if not found:
        what = f"no run has failed with an error whose key begins with {quote(error)}"
        raise IdNotFound("error", f"{what}; `waypost errors` lists them")
    if len(found) > 1 and error not in found:
        raise IdAmbiguous(f"several errors have a key that begins with {quote(error)}; give more characters")
    return found[0]


def split_trigger(pipeline: str | None, trigger: str | None) -> tuple[str | None, str | None]:
    """The pipeline and the id of the trigger of a filter, whose trigger may be named PIPELINE/TRIGGER."""
    if trigger is None or "/" not in trigger:
        return pipeline, trigger
    named, _, id = trigger.partition("/")
    return pipeline or named, id


def _first_run(at: int | None) -> str | None:
    return first_id("run", at) if at is not None else None


def _make_group(group: FailureGroup, line: RunLineDocument) -> ErrorGroupDocument:
    error = line.error
    return ErrorGroupDocument(
        key=group.key,
        count=group.count,
        has_more=group.has_more,
        newest=line.id,
        why=line.why,
        step=error.step if error else None,
        error_class=error.error_class if error else None,
        code=error.code if error else None,
        message=error.message if error else None,
        pipelines=list(group.pipelines),
        first_seen=format_time(group.first_at),
        last_seen=line.finished_at or line.created_at,
    )
