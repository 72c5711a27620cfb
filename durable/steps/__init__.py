"""Steps as they are stored and performed: resolved, with every default filled in, and compiled to nodes."""
