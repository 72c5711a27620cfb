"""Reads YAML text as data with positions."""
