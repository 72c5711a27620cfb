"""What the steps of a pipeline version use: their actions, and the kinds of blocks."""

from collections.abc import Iterator, Mapping
from functools import lru_cache

import msgspec

from durable.blocks.compiling import decode_steps
from durable.blocks.kinds import BLOCKS
from durable.journal.payloads import DECODING_ERRORS
from durable.path import join_path, make_again_path, make_undo_path
from durable.steps.resolved import ActionStep, ResolvedPipeline, Steps


@lru_cache(maxsize=64)
def list_uses(definition: bytes) -> Mapping[str, str]:
    """Return the uses by the paths of the definition, of a version as it is stored; nothing if it is damaged."""
    try:
        pipeline = msgspec.json.decode(definition, type=ResolvedPipeline, dec_hook=decode_steps)
    except DECODING_ERRORS:
        return {}
    return dict([*_walk(pipeline.steps, ""), *_walk(pipeline.on_failure, "")])


def _walk(steps: Steps, frame: str) -> Iterator[tuple[str, str]]:
    for step in steps:
        path = join_path(frame, step.id)
        kind: str = step.__struct_config__.tag  # type: ignore[attr-defined]  # a struct
        yield path, step.use if isinstance(step, ActionStep) else kind
        if isinstance(step, ActionStep) and step.undo:
            yield make_undo_path(path, 1), step.undo.use
            yield make_again_path(path, 1), step.use
        for _, inner in BLOCKS[kind].list_branches(step):
            yield from _walk(inner, path)
