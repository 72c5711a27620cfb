"""Connections: their state, what holds their requests back, tests and logins."""

from triggers.dashboard.page import PageAnswer, PageNotice, PageRequest, PageRoute, Redirect, View, make_path
from triggers.documents.connections import (
    BegunLoginDocument,
    ConnectionDocument,
    ConnectionListDocument,
    ConnectionTestDocument,
    LogoutDocument,
)


class ConnectionPages:
    """Shows and tests connections, and logs them in and out."""

    def routes(self) -> list[PageRoute]:
        return [
            PageRoute("GET", "/connections", self.list_connections),
            PageRoute("GET", "/connections/{connection}", self.show_connection),
            PageRoute("POST", "/connections/{connection}/test", self.test_connection),
            PageRoute("POST", "/connections/{connection}/login", self.begin_login),
            PageRoute("POST", "/connections/{connection}/logout", self.log_out),
        ]

    async def list_connections(self, request: PageRequest) -> View:
        """Every connection, by name."""
        found = await request.read("list_connections", ConnectionListDocument)
        return View("connections.html", {"connections": found.connections}, live=("rows",), watches=("runs",))

    async def show_connection(self, request: PageRequest) -> View:
        """One connection."""
        name = request.path["connection"]
        found = await request.read("get_connection", ConnectionDocument, connection=name)
        is_pending = found.login is not None and found.login.status == "pending"
        values = {"connection": found, "begun": None}
        return View("connection.html", values, live=("connection",), watches=("runs",), refreshes=is_pending)

    async def test_connection(self, request: PageRequest) -> Redirect:
        """Call the action that tests a connection."""
        name = request.path["connection"]
        tested = await request.act("test_connection", ConnectionTestDocument, {"connection": name})
        return Redirect(make_path("connections", name), PageNotice(tested.message, "ok" if tested.works else "bad"))

    async def begin_login(self, request: PageRequest) -> PageAnswer:
        """Begin a login. The service's own page is a link: a form may not lead to another site."""
        name = request.path["connection"]
        begun = await request.act("begin_login", BegunLoginDocument, {"connection": name})
        found = await request.read("get_connection", ConnectionDocument, connection=name)
        return View("connection.html", {"connection": found, "begun": begun})

    async def log_out(self, request: PageRequest) -> Redirect:
        """Delete the tokens of a connection."""
        name = request.path["connection"]
        done = await request.act("log_out", LogoutDocument, {"connection": name})
        return Redirect(make_path("connections", name), PageNotice(done.message))
