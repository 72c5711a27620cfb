"""Alerts: pipelines that start when something needs a person."""
