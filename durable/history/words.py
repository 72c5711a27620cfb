"""The types that entries are made of: statuses, failures, secret placeholders and awaits."""

from typing import Any, Literal, TypeAlias

import msgspec

from durable.action import ErrorClass
from durable.values import NULL, Value

SEMANTICS = 2
"""The version of the decision rules. A history records the version under which its run started.

1: steps in sequence. 2: blocks, waits, children, undo; a cancel is announced (`main_ending`) before it ends steps.
"""

RunStatus: TypeAlias = Literal["queued", "running", "waiting", "paused", "completed", "failed", "cancelled"]
StepStatus: TypeAlias = Literal[
    "pending", "running", "waiting", "completed", "failed", "skipped", "uncertain", "cancelled"
]
EndStatus: TypeAlias = Literal["completed", "failed", "cancelled"]
Verdict: TypeAlias = Literal["completed", "retry", "failed"]
LossCause: TypeAlias = Literal["crash", "drain"]
Overflow: TypeAlias = Literal["queue", "skip", "cancel_oldest"]
Repetition: TypeAlias = Literal["rerun", "fork", "replay"]
TimesOut: TypeAlias = Literal["fail", "value", "steps"]


CODE_LIMIT = 200
MESSAGE_LIMIT = 4_000
"""The maximum lengths, in characters, of a failure's code and message."""


def _limit_text(text: object, limit: int) -> str | None:
    if text is None:
        return None
    sound = str(text).encode(errors="replace").decode()
    return sound if len(sound) <= limit else f"{sound[:limit]} …"


class Failure(msgspec.Struct, frozen=True, omit_defaults=True, rename={"error_class": "class"}):
    """Why a step or a run failed: the `error` of expressions and the API. Each field may be null."""

    error_class: ErrorClass | None = None
    code: str | None = None
    message: str | None = None
    step: str | None = None
    attempt: int | None = None
    details: Value = NULL
    retry_after: int | None = None  # requested by the service, in ms

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
        """Make a failure; code and message are converted to text and truncated to their limits."""
        return cls(
            error_class, _limit_text(code, CODE_LIMIT), _limit_text(message, MESSAGE_LIMIT), step, attempt, **more
        )


class SecretName(msgspec.Struct, frozen=True, omit_defaults=True):
    """A reference to a secret; its value is never stored in a history. `is_encoded`: the value is percent-encoded for a
    URL."""

    secret: str
    is_encoded: bool = False


class SecretPlaceholder(msgspec.Struct, frozen=True):
    """A place in an input that contains secrets. `pointer` is the path to it; `parts` are its text, with references to
    secrets."""

    pointer: tuple[str | int, ...]
    parts: tuple[str | SecretName, ...]


AwaitKind: TypeAlias = Literal["delay", "until", "webhook", "approval", "event"]


class Await(msgspec.Struct, frozen=True, omit_defaults=True):
    """One condition that a step waits for.

    `name`: its name in a `wait.any`; empty for any other wait.
    `due`: when a timer ends the wait, in ms.
    `type`, `match`, `since` (ms): select the event: its type, its subject, and the earliest time at which it arrived.
    """

    kind: AwaitKind
    name: str = ""
    due: int | None = None
    type: str | None = None
    match: str | None = None
    since: int | None = None


class Parent(msgspec.Struct, frozen=True):
    """The step that called a run. `depth` is the number of nested calls. A detached run does not report its end."""

    run: str
    path: str
    depth: int
    is_detached: bool = False


class RunSource(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a run repeats.

    `kind`: `rerun`: the event of another run, on the newest version; `fork`: another run from one of its steps, with
    copied checkpoints; `replay`: a delivery.
    `of`: the id of the run or the delivery.
    `step`: the path of the step from which a fork continues; None for a fork from the start.
    `by`, `reason`: who asked for it, and why.
    """

    kind: Repetition
    of: str
    step: str | None = None
    by: str | None = None
    reason: str | None = None


class Links(msgspec.Struct, frozen=True):
    """The base address of the links to a run's waits, and the key from which their unguessable part is derived."""

    url: str
    key: str
