"""The kinds of steps, one file each: the resolved form of a step, its names in expressions, and its decisions.

`durable.blocks.kinds` lists the blocks, `durable.blocks.core_actions` the actions that the core performs itself; the
decisions of `durable.decide` know none of them by name. A decision returns values (entries, effects and the follow-ups
of `durable.effects`); `durable.decide` applies them.
"""
