"""Bulks: one action on every run or delivery that a filter selects, paced, durable over a restart, and stoppable."""
