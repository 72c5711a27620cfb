"""What authors of connectors import: `from waypost import Connector, Context, Inputs, action`.

The package `waypost` consists of these modules; `waypost.testing` is for tests. Nothing else of Waypost is promised to
stay as it is.
"""

from durable.action import (
    URL,
    Action,
    ActionError,
    AttemptEnded,
    Connector,
    Context,
    Credential,
    Inputs,
    InvalidOutput,
    Secret,
    Undo,
    action,
)
from durable.http_port import HttpRequests, HttpResponse
from durable.limit import Limit
from durable.page import Page, PagePosition

__all__ = [
    "URL",
    "Action",
    "ActionError",
    "AttemptEnded",
    "Connector",
    "Context",
    "Credential",
    "HttpRequests",
    "HttpResponse",
    "Inputs",
    "InvalidOutput",
    "Limit",
    "Page",
    "PagePosition",
    "Secret",
    "Undo",
    "action",
]
