"""The stored and compiled forms of steps: resolved, with every default filled in, and compiled to nodes."""
