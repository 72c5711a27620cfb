"""Decodes the resolved steps of a pipeline, and compiles them to nodes."""

from typing import Any

import msgspec

from durable.blocks.kinds import BLOCKS
from durable.expressions.expression import Expression
from durable.path import join_path
from durable.steps.node import AnyNode
from durable.steps.resolved import Part, ResolvedStep, Steps, make_steps


def decode_steps(type: type, data: Any) -> Steps:
    """Decode a sequence of steps from JSON. msgspec calls it for every value of the type `Steps`. Raises
    `ValidationError`."""
    return make_steps(_decode_step(each) for each in msgspec.convert(data, list[dict[str, Any]]))


def _decode_step(data: dict[str, Any]) -> ResolvedStep:
    block = BLOCKS.get(str(data.get("kind")))
    if block is None or block.step is None:
        raise msgspec.ValidationError(f"this version of Waypost knows no steps of the kind {data.get('kind')!r}")
    step: ResolvedStep = msgspec.convert(data, block.step, dec_hook=decode_steps)
    return step


def compile_steps(
    steps: Steps, part: Part, around: tuple[tuple[str, str], ...] = (), *, is_cleanup: bool = False
) -> dict[str, AnyNode]:
    """Compile a sequence and everything inside it; returns the nodes by path."""
    is_cleanup = is_cleanup or part == "cleanup"
    frame = around[-1][0] if around else ""
    followers = [*(step.id for step in steps), None][1:]
    nodes: dict[str, AnyNode] = {}
    for step, follower in zip(steps, followers, strict=True):
        block = BLOCKS[step.__struct_config__.tag]  # type: ignore[attr-defined]  # a struct
        path = join_path(frame, step.id)
        branches = dict(block.list_branches(step))
        common = {
            "path": path,
            "part": part,
            "follower": follower,
            "around": around,
            "is_cleanup": is_cleanup,
            "condition": Expression.parse(step.condition) if step.condition is not None else None,
            "firsts": {label: inner[0].id if inner else None for label, inner in branches.items()},
        }
        nodes |= block.compile(step, common)
        for label, inner in branches.items():
            is_inner_cleanup = is_cleanup or label == block.cleanup
            nodes |= compile_steps(inner, part, (*around, (path, label)), is_cleanup=is_inner_cleanup)
    return nodes
