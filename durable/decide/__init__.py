"""The pure core of a run: decides what happens next.

`advance.Advance` takes a fact and decides what follows from it. `outstanding` finds lost attempts and pending effects
after a restart. `attempts` makes facts from the results of attempts.
"""
