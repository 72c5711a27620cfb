"""What must happen next: the pure core of a run.

`Advance` folds a fact and follows its consequences to their end; `find_lost_attempts` is what a restart reports,
`find_outstanding` what it performs; `report_return` and `report_error` make facts of how an attempt ended.
"""

from durable.decide.advance import Advance
from durable.decide.attempts import report_error, report_return
from durable.decide.children import DEPTH_LIMIT
from durable.decide.decide import decide, find_lost_attempts, find_outstanding, is_current
from durable.decide.ends import CLEANUP_TIMEOUT, EXPIRED
from durable.decide.waits import read_awaits
from durable.effects import (
    Abandon,
    AwaitSlot,
    AwaitStart,
    BeginBranch,
    Effect,
    EmitEvent,
    EnterStep,
    FollowUp,
    Listen,
    Perform,
    PostMessage,
    PublishAnswer,
    Resume,
    StartChild,
    Wake,
)

__all__ = [
    "CLEANUP_TIMEOUT",
    "DEPTH_LIMIT",
    "EXPIRED",
    "Abandon",
    "Advance",
    "AwaitSlot",
    "AwaitStart",
    "BeginBranch",
    "Effect",
    "EmitEvent",
    "EnterStep",
    "FollowUp",
    "Listen",
    "Perform",
    "PostMessage",
    "PublishAnswer",
    "Resume",
    "StartChild",
    "Wake",
    "decide",
    "find_lost_attempts",
    "find_outstanding",
    "is_current",
    "read_awaits",
    "report_error",
    "report_return",
]
