"""The structure of a pipeline version: its steps as they stand in each other."""

from collections.abc import Iterator

from durable.blocks.kinds import BLOCKS
from durable.definition import Definition
from durable.path import join_path
from durable.steps.node import BlockNode
from durable.steps.resolved import ActionStep, ResolvedStep, Steps
from triggers.documents.pipelines import BranchDocument, StructureDocument, StructureStepDocument
from triggers.runs.version_steps import find_kind, name_use

STEPS_LIMIT = 500
"""The steps of a structure; a longer pipeline is cut off, since nobody reads a graph of so many."""


def describe_structure(definition: Definition) -> StructureDocument:
    """The structure of a version."""
    left = iter(range(STEPS_LIMIT))
    pipeline = definition.pipeline
    steps = list(_describe(definition, pipeline.steps, "", left))
    on_failure = list(_describe(definition, pipeline.on_failure, "", left))
    return StructureDocument(
        definition.id, definition.version, steps, on_failure, is_complete=next(left, None) is not None
    )


def _describe(definition: Definition, steps: Steps, frame: str, left: Iterator[int]) -> Iterator[StructureStepDocument]:
    for step in steps:
        if next(left, None) is None:
            return
        path = join_path(frame, step.id)
        node = definition.nodes[path]
        whens = node.whens if isinstance(node, BlockNode) else {}
        over = node.expression.source.strip() if isinstance(node, BlockNode) and node.expression else None
        branches = [
            BranchDocument(label, when.source.strip() if (when := whens.get(label)) else None, inner)
            for label, sequence in BLOCKS[find_kind(step)].list_branches(step)
            if (inner := list(_describe(definition, sequence, path, left)))
        ]
        yield StructureStepDocument(
            id=step.id,
            path=path,
            kind=find_kind(step),
            use=name_use(step),
            condition=step.condition,
            over=over,
            undo=_find_undo(step),
            branches=branches,
        )


def _find_undo(step: ResolvedStep) -> str | None:
    return step.undo.use if isinstance(step, ActionStep) and step.undo else None
