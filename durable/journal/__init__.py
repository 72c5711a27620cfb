"""The journal: the store of events, runs and their histories.

Callers use `journal.py`: its methods queue units, which `writer.py` commits; `reads.py` reads concurrently. Each noun
has a module with its statements, the functions that units call with a cursor, and its reads: `runs`, `ownership`,
`histories`, `events`, `deliveries`, `inbox`, `dedupe`, `concurrency`, `subscriptions`, `schedules`, `keys`, `payloads`,
`definitions`. `admission.py`, `append.py` and `side_effects.py` contain the units that change several nouns at once.
`dialect.py` is the interface of a database, and `sqlite/` implements it.
"""
