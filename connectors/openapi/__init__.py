"""Connectors that are described by OpenAPI documents: each operation becomes an action, compiled when it is first
used."""
