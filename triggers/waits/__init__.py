"""Waits: what runs ask of people and programs, and how it is answered."""
