"""Declarative actions: requests that are described by data instead of code. YAML files and OpenAPI documents compile to
the same form."""
