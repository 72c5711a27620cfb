"""The journal: the store of events, runs and their histories.

`journal.py` is what callers use: its methods queue units, `writer.py` commits them, and `reads.py` reads beside it.
Each noun has a module with its statements, what units do with them over a cursor, and its reads: `runs`, `ownership`,
`histories`, `events`, `deliveries`, `inbox`, `dedupe`, `concurrency`, `subscriptions`, `schedules`, `keys`, `payloads`,
`definitions`. `admission.py`, `append.py` and `side_effects.py` are the units that change several nouns at once.
`dialect.py` says what a database supplies, and `sqlite/` supplies it.
"""
