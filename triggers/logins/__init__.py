"""Logins of connections: a person permits access at a service, and Waypost gets the tokens for it."""
