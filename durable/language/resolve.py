"""Resolves a checked pipeline to its definition, with every default filled in."""

from collections.abc import Callable
from dataclasses import replace

from durable.action import Action
from durable.blocks.policies import DefaultsSpec
from durable.blocks.syntax import Resolver
from durable.blocks.undo import ACTION as UNDO
from durable.definition import Definition
from durable.durations import parse_duration
from durable.language.pipeline import ConcurrencySpec, PipelineSpec
from durable.language.steps import SYNTAX_BY_MODEL
from durable.steps.resolved import RUN_TIMEOUT, ResolvedConcurrency, ResolvedPipeline


def resolve_pipeline(
    pipeline: PipelineSpec, find_action: Callable[[str], Action | None], run_timeout: int = RUN_TIMEOUT
) -> Definition:
    """Return the definition of a checked pipeline. `find_action` finds a connector's action by name; `run_timeout` (ms)
    is the default."""
    resolver = Resolver(find_action, pipeline.defaults or DefaultsSpec(), SYNTAX_BY_MODEL)
    steps, on_failure = resolver.resolve_steps(pipeline.steps), resolver.resolve_steps(pipeline.on_failure)
    if UNDO.use in resolver.uses:  # what nobody undoes has no undo: each would be rendered and recorded in vain
        resolver = replace(resolver, fills_undo=True)
        steps, on_failure = resolver.resolve_steps(pipeline.steps), resolver.resolve_steps(pipeline.on_failure)
    return Definition(
        ResolvedPipeline(
            id=pipeline.id,
            steps=steps,
            timeout=parse_duration(pipeline.timeout) if pipeline.timeout else run_timeout,
            inputs=pipeline.inputs,
            outputs=pipeline.outputs,
            on_failure=on_failure,
            concurrency=_resolve_concurrency(pipeline.concurrency),
            actions=resolver.stored or None,
        )
    )


def _resolve_concurrency(given: ConcurrencySpec | None) -> ResolvedConcurrency | None:
    return ResolvedConcurrency(given.limit, given.key, given.overflow) if given else None
