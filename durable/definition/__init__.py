"""What a run performs: a pipeline resolved to its meaning, named by the hash of it, and compiled."""

from durable.definition.definition import PROBLEM_LENGTH, PROBLEMS_LIMIT, Definition, InputsRefused
from durable.definition.node import FINALLY, ON_TIMEOUT, ActionNode, AnyNode, BlockNode
from durable.definition.resolve import resolve_pipeline
from durable.definition.step import (
    RUN_TIMEOUT,
    ActionStep,
    CatchHandler,
    ForeachStep,
    ParallelStep,
    Part,
    RepeatStep,
    ResolvedConcurrency,
    ResolvedPipeline,
    ResolvedStep,
    SwitchCase,
    SwitchStep,
    TryStep,
)

__all__ = [
    "FINALLY",
    "ON_TIMEOUT",
    "PROBLEMS_LIMIT",
    "PROBLEM_LENGTH",
    "RUN_TIMEOUT",
    "ActionNode",
    "ActionStep",
    "AnyNode",
    "BlockNode",
    "CatchHandler",
    "Definition",
    "ForeachStep",
    "InputsRefused",
    "ParallelStep",
    "Part",
    "RepeatStep",
    "ResolvedConcurrency",
    "ResolvedPipeline",
    "ResolvedStep",
    "SwitchCase",
    "SwitchStep",
    "TryStep",
    "resolve_pipeline",
]
