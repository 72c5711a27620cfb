"""The commands of `waypost`, one file each, and what they share."""
