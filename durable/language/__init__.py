"""The pipeline language: a file's text becomes a checked pipeline, or all that is wrong with it. Pure."""
