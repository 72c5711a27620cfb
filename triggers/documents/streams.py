"""What streams of runs send, and the tokens that permit them."""

from typing import Annotated, Any, Literal, Self, TypeAlias

from msgspec import Struct

from durable.history.words import RunStatus
from durable.units import Run
from triggers.documents.fields import Time, note

See: TypeAlias = Literal["status", "outputs", "history"]
"""What a stream shows: statuses and the paths of steps; also outputs and the texts of errors; or every entry whole."""


class RunStateDocument(Struct, frozen=True):
    """The present state of a run, in a stream."""

    run: str
    pipeline: str
    status: RunStatus
    step: Annotated[str | None, note("The path of the step that its last entries are about")]
    sequence: Annotated[int, note("The number of its last entry")]

    @classmethod
    def of(cls, run: Run, step: str | None) -> Self:
        return cls(run.id, run.pipeline, run.status, step, run.sequence)


class ProgressDocument(Struct, frozen=True):
    """What an attempt has reported. It is not durable: it is lost in a crash, and its checkpoint replaces it."""

    run: str
    step: str
    attempt: int
    value: Annotated[Any, note("What was reported last; null if nothing was")]
    text: Annotated[str, note("The text that has arrived since the last event of this attempt")]
    offset: Annotated[int, note("The length of the attempt's text before that; 0: begin anew")]
    durable: Literal[False] = False


class ExpiryDocument(Struct, frozen=True):
    """When the token of a stream expires. Connect again with a new token, after the last id."""

    expires_at: Time


class TokenScopeDocument(Struct, frozen=True, omit_defaults=True):
    """The runs that a token permits: these, those with one of the tags, and those of the pipelines."""

    runs: list[str] = []
    tags: list[str] = []
    pipelines: list[str] = []


class TokenDocument(Struct, frozen=True):
    """A token for streams."""

    token: Annotated[str, note("Send it as `Authorization: Bearer TOKEN`, or as `?token=`")]
    expires_at: Time
    scope: TokenScopeDocument
    see: See
