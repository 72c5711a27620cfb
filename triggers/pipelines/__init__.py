"""What people ask of a pipeline: its text with problems, its triggers, and how its runs went."""
