"""The API: everything below `/api`, one file for each noun that is asked about."""

from triggers.api.api import Api, refused

__all__ = ["Api", "refused"]
