"""The encrypted store: secrets that people set and the tokens of connections, encrypted in the journal."""
