"""What a short id, or any word, means."""

from typing import Annotated, Literal, TypeAlias

from msgspec import Struct

from triggers.documents.fields import Time, note


class FoundDocument(Struct, frozen=True):
    """What a short id means."""

    kind: Annotated[str, note("What it is the id of")]
    id: Annotated[str, note("The whole id")]


HitKind: TypeAlias = Literal["run", "event", "delivery", "version", "bulk", "pipeline", "tag"]


class HitDocument(Struct, frozen=True):
    """Something that a text can mean."""

    kind: HitKind
    id: Annotated[str, note("Its id; of a tag or a pipeline, its name")]
    about: Annotated[str | None, note("Its pipeline, trigger, type or action")]
    status: str | None
    at: Annotated[Time | None, note("When it was made")]
    why: Annotated[str, note("How it was found")]


class HitsDocument(Struct, frozen=True):
    """What a text can mean, the likeliest first; twenty at most of each kind."""

    hits: list[HitDocument]
