"""The list of all kinds of steps."""

from durable.blocks import action, foreach, parallel, repeat, switch, try_, undo, wait
from durable.blocks.block import Block

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
