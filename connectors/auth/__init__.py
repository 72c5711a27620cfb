"""How connections sign requests: one file for each scheme."""
