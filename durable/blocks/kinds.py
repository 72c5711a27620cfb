"""The list of all kinds of steps."""

from durable.blocks import action, foreach, parallel, repeat, switch, try_, undo, wait
from durable.blocks.block import Block, CoreAction
from durable.blocks.core_actions import CORE_ACTIONS

BLOCKS: dict[str, Block] = {
    block.kind: block
    for block in (
        action.BLOCK,
        switch.BLOCK,
        foreach.BLOCK,
        parallel.BLOCK,
        try_.BLOCK,
        repeat.BLOCK,
        wait.TIMEOUT_BLOCK,
        undo.BLOCK,
    )
}

EVERY_KIND: tuple[Block | CoreAction, ...] = (*BLOCKS.values(), *CORE_ACTIONS.values())
"""Everything that decides on, or applies, entries of its own."""
