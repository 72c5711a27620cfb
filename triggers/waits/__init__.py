"""Waits: what runs ask of people and of the world, and the ways in which they are answered."""
