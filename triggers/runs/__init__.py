"""Documents about runs, made from the journal: one run, its history, its export, lists of runs and of waits."""
