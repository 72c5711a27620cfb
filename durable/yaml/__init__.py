"""YAML text as data that knows where each value stands."""
