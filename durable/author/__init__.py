"""What authors of connectors import: `from waypost import Connector, Context, Inputs, action`.

The package `waypost` consists of this module. Nothing else of Waypost is promised to stay as it is.
"""

from durable.action import URL, Action, ActionError, AttemptEnded, Connector, Context, Inputs, Secret, action
from durable.page import Page, PagePosition

__all__ = [
    "URL",
    "Action",
    "ActionError",
    "AttemptEnded",
    "Connector",
    "Context",
    "Inputs",
    "Page",
    "PagePosition",
    "Secret",
    "action",
]
