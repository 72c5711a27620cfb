"""The config folder: its files, what they can name, and how changes in them come to be served."""
