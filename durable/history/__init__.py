"""The log of a run: its entries, and the state that they amount to."""
