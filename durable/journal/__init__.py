"""The journal: the store of events, runs and their histories."""
