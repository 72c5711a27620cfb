"""The kinds of steps, one file each: the resolved form of a step, its names in expressions, and its decisions.

`durable.blocks.kinds` lists them. A decision returns values (entries, effects and the follow-ups of `durable.effects`);
`durable.decide` applies them.
"""
