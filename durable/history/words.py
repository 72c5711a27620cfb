"""The values that entries consist of: statuses, failures, placeholders of secrets, what a wait waits for."""

from typing import Any, Literal, TypeAlias

import msgspec

from durable.action import ErrorClass
from durable.values import NULL, Value

SEMANTICS = 2
"""The number of the rules by which this core decides. A history records the number under which its run began.

1: steps in sequence. 2: blocks, waits, children, undo; a cancel is announced (`main_ending`) before steps end by it.
"""

RunStatus: TypeAlias = Literal["queued", "running", "waiting", "paused", "completed", "failed", "cancelled"]
StepStatus: TypeAlias = Literal[
    "pending", "running", "waiting", "completed", "failed", "skipped", "uncertain", "cancelled"
]
EndStatus: TypeAlias = Literal["completed", "failed", "cancelled"]
Verdict: TypeAlias = Literal["completed", "retry", "failed"]
LossCause: TypeAlias = Literal["crash", "drain"]


CODE_LIMIT = 200
MESSAGE_LIMIT = 4_000
"""Characters of a failure's code and message."""


def _limit_text(text: object, limit: int) -> str | None:
    if text is None:
        return None
    sound = str(text).encode(errors="replace").decode()
    return sound if len(sound) <= limit else f"{sound[:limit]} …"


class Failure(msgspec.Struct, frozen=True, omit_defaults=True, rename={"error_class": "class"}):
    """Why a step or a run failed: its `error`. Each part may be null."""

    error_class: ErrorClass | None = None
    code: str | None = None
    message: str | None = None
    step: str | None = None
    attempt: int | None = None
    details: Value = NULL
    retry_after: int | None = None  # milliseconds that the service asked for

    @classmethod
    def of(
        cls,
        error_class: ErrorClass | None,
        code: object,
        message: object,
        step: str | None = None,
        attempt: int | None = None,
        **more: Any,
    ) -> "Failure":
        """A failure whose code and message are text, and no longer than their limits."""
        return cls(
            error_class, _limit_text(code, CODE_LIMIT), _limit_text(message, MESSAGE_LIMIT), step, attempt, **more
        )


class SecretName(msgspec.Struct, frozen=True, omit_defaults=True):
    """A reference to a secret, whose value never enters a history. If it `is_encoded`, the value is encoded for a
    URL."""

    secret: str
    is_encoded: bool = False


class SecretPlaceholder(msgspec.Struct, frozen=True):
    """A place in an input that contains secrets: the path to it, and the parts of its text, references among them."""

    pointer: tuple[str | int, ...]
    parts: tuple[str | SecretName, ...]


AwaitKind: TypeAlias = Literal["delay", "until", "webhook", "approval", "event"]


class Await(msgspec.Struct, frozen=True, omit_defaults=True):
    """One thing that a step waits for. `name` is its name in a `wait.any`, otherwise empty; `due` (ms) is when the
    clock ends it; `type`, `match` and `since` (ms) say which event, and from when on it counts."""

    kind: AwaitKind
    name: str = ""
    due: int | None = None
    type: str | None = None
    match: str | None = None
    since: int | None = None


class Parent(msgspec.Struct, frozen=True):
    """The step that called a run, and how many calls deep the run is. A detached run reports nothing back."""

    run: str
    path: str
    depth: int
    is_detached: bool = False


class Links(msgspec.Struct, frozen=True):
    """The address of the links to a run's waits, and the key that makes each of them hard to guess."""

    url: str
    key: str
