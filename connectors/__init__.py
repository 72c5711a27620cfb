"""Connectors, one file each, found through the entry-point group `waypost.connectors`; `wire/` is their HTTP client."""
