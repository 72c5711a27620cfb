"""The pipeline language: turns the text of a file into a checked pipeline, or into a list of everything that is wrong
with it. Pure."""
