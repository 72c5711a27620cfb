"""The kinds of steps: one file each, with the resolved form of a step, what it reads and shows, how its entries fold
and what it decides.

`durable.blocks.kinds` lists them, and nothing else knows one by its name. A decision returns values (entries, effects
and the follow-ups of `durable.effects`); `durable.decide` carries them on.
"""
