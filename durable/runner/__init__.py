"""The shell around the core: it takes runs in, carries facts to the core, appends what is decided and performs it."""

from durable.runner.runner import Limits, Overloaded, Runner

__all__ = ["Limits", "Overloaded", "Runner"]
