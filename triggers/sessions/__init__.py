"""Signing in to the dashboard: sessions, their cookies, and what is accepted from a browser."""
