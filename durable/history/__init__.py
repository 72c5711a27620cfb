"""The log of a run: its entries, and the state that they amount to."""

from durable.history.entries import AnyEntry, RunStarted
from durable.history.words import RunStatus

__all__ = ["AnyEntry", "RunStarted", "RunStatus"]
