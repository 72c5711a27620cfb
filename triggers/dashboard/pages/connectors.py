"""Connectors: the list, one with its actions, and one action with an example to copy."""

from triggers.dashboard.page import PageRequest, PageRoute, View
from triggers.documents.connectors import ActionDocument, ConnectorDocument, ConnectorListDocument

ACTIONS_SHOWN = 200


class ConnectorPages:
    """Documents connectors."""

    def routes(self) -> list[PageRoute]:
        return [
            PageRoute("GET", "/connectors", self.list_connectors),
            PageRoute("GET", "/connectors/{connector}", self.show_connector),
            PageRoute("GET", "/connectors/{connector}/{action}", self.show_action),
        ]

    async def list_connectors(self, request: PageRequest) -> View:
        """Every connector, by name."""
        found = (await request.read("list_connectors", ConnectorListDocument)).connectors
        words = request.query.get("q", "").casefold().split()
        shown = [each for each in found if all(word in each.name.casefold() for word in words)]
        return View("connectors.html", {"connectors": shown, "q": request.query.get("q", "")})

    async def show_connector(self, request: PageRequest) -> View:
        """One connector, with the actions that contain some words."""
        name, words = request.path["connector"], request.query.get("q", "")
        found = await request.read("get_connector", ConnectorDocument, connector=name, search=words or None)
        return View("connector.html", {"connector": found, "actions": found.actions[:ACTIONS_SHOWN], "q": words})

    async def show_action(self, request: PageRequest) -> View:
        """One action."""
        name, action = request.path["connector"], request.path["action"]
        found = await request.read("get_action", ActionDocument, connector=name, action=action)
        return View("action.html", {"connector": name, "action": found})
