"""What starting runs and sending events is answered with."""

from collections.abc import Sequence
from typing import Annotated, Any, Literal

from msgspec import UNSET, Meta, Struct, UnsetType

from durable.history.words import RunStatus
from triggers.documents.fields import COMPONENTS, IsDuplicate, note
from triggers.documents.runs import RunDocument
from triggers.documents.streams import TokenDocument
from triggers.problem_details import ProblemDetails


class StartedDocument(Struct, frozen=True):
    """A run that is durable."""

    id: str
    status: Annotated[RunStatus | None, note("Null for a duplicate whose run was removed")]
    duplicate: IsDuplicate
    hint: Annotated[
        str | None, note("What to do about a duplicate whose run has failed; or that this was repeated before")
    ]
    token: Annotated[
        TokenDocument | UnsetType, note("A token that permits to follow the run, if one was asked for")
    ] = UNSET


class RepeatedDocument(StartedDocument, frozen=True, kw_only=True):
    """A run that repeats another and is durable."""

    of: Annotated[str, note("The run that it repeats")]
    version: Annotated[str, note("The version of the pipeline that it runs on")]
    inputs: Annotated[
        Literal["mapped", "recorded", "given"],
        note("Where its inputs come from: the trigger's newest mapping, the run that it repeats, or the request"),
    ]
    copied: Annotated[int, note("The number of checkpoints copied from that run")]
    again: Annotated[
        list[str], note("Steps that ran beside the fork's step and had no checkpoint yet: they are performed again")
    ]


class ReplayedDocument(StartedDocument, frozen=True, kw_only=True):
    """A run that replays a delivery and is durable."""

    of: Annotated[str, note("The delivery that it replays")]
    event: Annotated[str, note("Its event: that of the delivery, or a new one if the delivery brought none")]
    pipeline: str
    version: Annotated[str, note("The version of the pipeline that it runs on")]


class EndedDocument(RunDocument, frozen=True):
    """A run that ended while the request waited for it."""

    duplicate: IsDuplicate


class EmittedDocument(Struct, frozen=True):
    """An event that is durable."""

    event: Annotated[str, note("Its id")]
    runs: Annotated[list[str], note("The runs that it started")]
    duplicate: Annotated[bool, note("Whether an earlier request with the same key brought it")]
    hint: Annotated[str | None, note("What to do about a duplicate whose runs have failed")]


class BatchAnswerDocument(Struct, frozen=True, omit_defaults=True):
    """What became of one item: a run, or a problem."""

    code: Annotated[int, note("The status with which a request for this run alone is answered")]
    run: Annotated[
        Any, Meta(extra_json_schema={"anyOf": [{"$ref": f"{COMPONENTS}/{name}"} for name in ("Started", "Ended")]})
    ] = None
    problem: ProblemDetails | None = None


class BatchAnswersDocument(Struct, frozen=True):
    """One answer for every item, in the order of the items."""

    answers: list[BatchAnswerDocument]


def suggest_retry(failed: Sequence[str]) -> str | None:
    """What to do about the runs of a duplicate that have failed; None if none has."""
    if not failed:
        return None
    what = f"{failed[0]} has failed" if len(failed) == 1 else f"{len(failed)} runs have failed"
    return f"{what}: `waypost show {failed[0]}` says why and what to do, `waypost rerun {failed[0]}` starts a new run"
