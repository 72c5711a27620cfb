"""Connectors and their actions, as `waypost connector show` documents them."""

from typing import Annotated, Any

from msgspec import Struct

from durable.action import Idempotent, OnCrash
from triggers.documents.fields import note


class ValueDocument(Struct, frozen=True):
    """An input of an action, a part of its output, or a field of a connection."""

    name: str
    type: Annotated[str, note("Its type in a few words")]
    required: bool
    default: Any
    description: str
    options: Annotated[Any, note("The action that lists its possible values: `use`, `value`, `label`")] = None


class ActionLineDocument(Struct, frozen=True):
    """An action in a list."""

    use: str
    summary: str
    idempotent: Idempotent | None
    on_crash: OnCrash | None


class ActionUndoDocument(Struct, frozen=True):
    """The action that reverses an action, and its inputs."""

    use: str
    given: Annotated[Any, note("Its inputs, with expressions that read `inputs` and `output` of the step")]


class ActionDocument(Struct, frozen=True):
    """An action with everything that a step needs to know."""

    use: str
    summary: str
    idempotent: Annotated[
        Idempotent | None,
        note("Whether it can be repeated: `yes`, `key` with the idempotency key, `no`; null if that is not known"),
    ]
    key: Annotated[str | None, note("Where the idempotency key is sent, and its form")]
    on_crash: Annotated[OnCrash | None, note("What happens if its outcome is unknown; null for an action of the core")]
    is_paged: Annotated[bool, note("Whether its output can come in pages")]
    inputs: list[ValueDocument]
    output: Annotated[list[ValueDocument] | str, note("Its parts, or its type in a few words")]
    undo: ActionUndoDocument | None
    connections: list[str]
    example: Annotated[str, note("A step, in YAML, with sample values")]


class ConnectorLineDocument(Struct, frozen=True):
    """A connector in a list."""

    name: str
    origin: Annotated[str, note("The package or the file that it comes from")]
    is_valid: bool


class ConnectorListDocument(Struct, frozen=True):
    """Every connector, by name."""

    connectors: list[ConnectorLineDocument]


class ConnectorDocument(Struct, frozen=True):
    """A connector, without the details of its actions."""

    name: str
    summary: str
    origin: Annotated[str | None, note("The package or the file that it comes from")]
    fields: Annotated[list[ValueDocument] | None, note("The fields of a connection; null if it takes no connection")]
    auth: Annotated[list[list[str]], note("The ways in which requests can be signed: the schemes of each")]
    limit: Annotated[list[str], note("The limits of each connection, for people")]
    test: Annotated[str | None, note("The action that tests a connection")]
    example: Annotated[str | None, note("A connection for `connections.yaml`")]
    connections: list[str]
    actions: list[ActionLineDocument]
    skipped: Annotated[dict[str, str], note("Why parts of its description are not actions")]
    pipelines: Annotated[list[str], note("The pipelines that are served and use it; empty if no service runs")]
    problem: Annotated[str | None, note("Why it cannot be used")] = None
