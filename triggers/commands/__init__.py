"""The commands of `waypost`, by the noun that they are about, and what they print."""
