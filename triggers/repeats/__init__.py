"""What people repeat: a run anew on the newest version (rerun), or from one of its steps (fork).

The API, the commands and bulk operations call the same functions here.
"""
