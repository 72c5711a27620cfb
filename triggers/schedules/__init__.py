"""The schedule trigger: which moments a pipeline names, and that each of them starts it once."""
