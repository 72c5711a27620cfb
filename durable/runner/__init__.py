"""The embedded engine: runs pipelines in this process."""
