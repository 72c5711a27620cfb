"""The core of Waypost: pipelines, histories, decisions, and the journal that makes them durable."""

__version__ = "0.1.0"
