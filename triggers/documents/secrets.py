"""Secrets, without their values."""

from typing import Annotated

from msgspec import Struct

from durable.secrets import SecretSource
from triggers.documents.fields import Time, note


class SecretDocument(Struct, frozen=True):
    """A secret: where its value comes from, and who set it. Its value is shown nowhere."""

    name: str
    source: Annotated[SecretSource, note("A variable, a file that a variable names, or the encrypted store")]
    doubts: Annotated[list[str], note("What is wrong or doubtful about it, as ends of sentences that begin with it")]
    key: Annotated[str | None, note("The id of the store key that its stored value is encrypted with")] = None
    updated_at: Annotated[Time | None, note("When its stored value was set")] = None
    updated_by: Annotated[str | None, note("Who set its stored value: the name of an API key, or the command")] = None


class SecretListDocument(Struct, frozen=True):
    """Every secret that is set, by name."""

    secrets: list[SecretDocument]
    store_key: Annotated[str | None, note("The id of the store key that encrypts; null if there is none")]
    problem: Annotated[str | None, note("Why the store key cannot be used, if one is set")] = None


class RemovedSecretDocument(Struct, frozen=True):
    """A stored secret that was removed."""

    name: str
    source: Annotated[SecretSource | None, note("Where its value comes from now; null if it is not set any more")]


class RotationDocument(Struct, frozen=True):
    """What a rotation of the store key did."""

    store_key: Annotated[str, note("The id of the key that encrypts from now on")]
    is_new: Annotated[bool, note("Whether this rotation made the key; otherwise it was there before")]
    older_keys: Annotated[list[str], note("The ids of the other keys, which are needed for older backups")]
    resealed: Annotated[int, note("How many values were encrypted anew")]
    unreadable: Annotated[list[str], note("What remains encrypted with a key that is missing, and why")]
