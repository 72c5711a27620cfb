"""The pipeline language: it turns the text of a file into a checked pipeline, or into everything that is wrong with it.
Pure."""
