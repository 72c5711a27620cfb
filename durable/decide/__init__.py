"""What must happen next: the pure core of a run.

`Advance` folds a fact and follows its consequences to their end; `find_lost_attempts` is what a restart reports,
`outstanding` what it performs; `returned` and `raised` make facts of how an attempt ended.
"""

from durable.decide.advance import Advance
from durable.decide.attempts import raised, returned
from durable.decide.children import DEPTH_LIMIT
from durable.decide.decide import decide, find_lost_attempts, is_current, outstanding
from durable.decide.effects import (
    Abandon,
    Answer,
    AwaitSlot,
    AwaitStart,
    Begin,
    Call,
    Effect,
    Emit,
    Enter,
    Listen,
    Move,
    Perform,
    Post,
    Resume,
    Wake,
)
from durable.decide.ends import CLEANUP_TIMEOUT, EXPIRED
from durable.decide.waits import awaited

__all__ = [
    "CLEANUP_TIMEOUT",
    "DEPTH_LIMIT",
    "EXPIRED",
    "Abandon",
    "Advance",
    "Answer",
    "AwaitSlot",
    "AwaitStart",
    "Begin",
    "Call",
    "Effect",
    "Emit",
    "Enter",
    "Listen",
    "Move",
    "Perform",
    "Post",
    "Resume",
    "Wake",
    "awaited",
    "decide",
    "find_lost_attempts",
    "is_current",
    "outstanding",
    "raised",
    "returned",
]
