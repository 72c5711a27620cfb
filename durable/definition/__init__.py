"""What a run performs: a pipeline resolved to its meaning, named by the hash of it, and compiled."""

from durable.definition.definition import Definition

__all__ = ["Definition"]
