"""Traces of runs for OpenTelemetry, made from their histories."""
