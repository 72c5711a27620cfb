"""How connections sign requests: one file for each scheme, listed in the entry-point group `waypost.auth`."""
