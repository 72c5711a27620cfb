"""The HTTP server: one connection at a time, its framing, its bodies and its rates."""
