"""The way out: one file a connector, found by the entry-point group `waypost.connectors`; `wire/` sends requests."""
