"""What a run performs: a pipeline resolved to its meaning, named by the hash of it, and compiled."""

from durable.definition.definition import PROBLEM_LENGTH, PROBLEMS_LIMIT, Definition, InputsRefused
from durable.definition.node import FINALLY, ON_TIMEOUT, ActionNode, AnyNode, BlockNode
from durable.definition.resolve import resolve
from durable.definition.spec import (
    RUN_TIMEOUT,
    ActionSpec,
    CaseSpec,
    ConcurrencySpec,
    ForeachSpec,
    HandlerSpec,
    ParallelSpec,
    Part,
    RepeatSpec,
    Spec,
    StepSpec,
    SwitchSpec,
    TrySpec,
)

__all__ = [
    "FINALLY",
    "ON_TIMEOUT",
    "PROBLEMS_LIMIT",
    "PROBLEM_LENGTH",
    "RUN_TIMEOUT",
    "ActionNode",
    "ActionSpec",
    "AnyNode",
    "BlockNode",
    "CaseSpec",
    "ConcurrencySpec",
    "Definition",
    "ForeachSpec",
    "HandlerSpec",
    "InputsRefused",
    "ParallelSpec",
    "Part",
    "RepeatSpec",
    "Spec",
    "StepSpec",
    "SwitchSpec",
    "TrySpec",
    "resolve",
]
