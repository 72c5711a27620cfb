"""The id that a short one means."""

from typing import Annotated

from msgspec import Struct

from triggers.documents.fields import note


class FoundDocument(Struct, frozen=True):
    """What a short id means."""

    kind: Annotated[str, note("What it is the id of")]
    id: Annotated[str, note("The whole id")]
