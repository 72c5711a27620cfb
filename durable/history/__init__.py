"""The log of a run: its entries, and the state that is their fold and nothing else."""

from durable.history.entries import AnyEntry, RunStarted
from durable.history.words import RunStatus

__all__ = ["AnyEntry", "RunStarted", "RunStatus"]
