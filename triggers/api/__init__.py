"""The API: everything below `/api`, one file for each noun."""
