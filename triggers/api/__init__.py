"""The API: everything below `/api`, one file for each noun that is asked about."""

from triggers.api.api import Api, answer_http_exception

__all__ = ["Api", "answer_http_exception"]
