"""The pure core of a run: what happens next.

`advance.Advance` takes a fact in and decides what follows; `outstanding` says what a restart reports and performs;
`attempts` makes facts of how an attempt ended.
"""
