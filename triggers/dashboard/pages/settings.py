"""Settings: API keys, the people who are signed in, how long things are kept, and the service itself."""

from typing import Literal, NamedTuple, TypeAlias, get_args

from durable.values import JSON
from triggers.dashboard.page import PageNotice, PageRequest, PageRoute, Redirect, Values, View
from triggers.documents.about import AboutDocument, ChecksDocument
from triggers.documents.fields import KeyGrant, Scope
from triggers.documents.keys import KeyDocument, KeyListDocument, MadeKeyDocument
from triggers.documents.retention import RetentionDocument
from triggers.documents.sessions import SessionDocument, SessionsDocument
from triggers.keys import SCOPES

Tab: TypeAlias = Literal["sessions", "keys", "retention", "about"]


class SettingsTab(NamedTuple):
    """A page of the settings, and the scope that it needs."""

    name: Tab
    label: str
    scope: Scope = "read"


TABS = (
    SettingsTab("sessions", "Sessions"),
    SettingsTab("keys", "API keys", "admin"),
    SettingsTab("retention", "Retention"),
    SettingsTab("about", "About"),
)


class SettingsPages:
    """Shows the settings, and changes keys and sessions."""

    def routes(self) -> list[PageRoute]:
        return [
            PageRoute("GET", "/settings", self.show_first),
            PageRoute("GET", "/settings/keys", self.list_keys),
            PageRoute("POST", "/settings/keys", self.create_key),
            PageRoute("POST", "/settings/keys/{key}/revoke", self.revoke_key),
            PageRoute("GET", "/settings/sessions", self.list_sessions),
            PageRoute("POST", "/settings/sessions/{session}/end", self.end_session),
            PageRoute("GET", "/settings/retention", self.show_retention),
            PageRoute("GET", "/settings/about", self.show_about),
            PageRoute("POST", "/settings/about", self.run_checks),
        ]

    async def show_first(self, request: PageRequest) -> Redirect:
        """The first page of the settings."""
        return Redirect("/settings/sessions")

    async def list_keys(self, request: PageRequest) -> View:
        """Every key that was ever made, those that work first."""
        return await _show_keys(request, None)

    async def create_key(self, request: PageRequest) -> View:
        """Make a key. This answer is the only page that shows it."""
        words = request.form.get("scope", "").split()
        body: dict[str, JSON] = {"name": request.form.get("name", "").strip()}
        body["grants"] = [word for word in words if word in get_args(KeyGrant)]
        body["scope"] = next((word for word in words if word not in get_args(KeyGrant)), None)
        return await _show_keys(request, await request.act("create_key", MadeKeyDocument, {}, body))

    async def revoke_key(self, request: PageRequest) -> Redirect:
        """Make a key worthless, and end its sessions."""
        key = await request.act("revoke_key", KeyDocument, {"key": request.path["key"]})
        return Redirect("/settings/keys", PageNotice(f"The key {key.name} is revoked, and its sessions have ended."))

    async def list_sessions(self, request: PageRequest) -> View:
        """The people who are signed in."""
        found = await request.read("list_sessions", SessionsDocument)
        ordered = sorted(found.sessions, key=lambda each: (each.is_current, each.seen_at or ""), reverse=True)
        return _show(request, "sessions", {"sessions": ordered})

    async def end_session(self, request: PageRequest) -> Redirect:
        """Sign a person out."""
        ended = await request.act("end_session", SessionDocument, {"session": request.path["session"]})
        return Redirect("/settings/sessions", PageNotice(f"A session of {ended.name} has ended."))

    async def show_retention(self, request: PageRequest) -> View:
        """How long things are kept, and what was removed."""
        return _show(request, "retention", {"retention": await request.read("get_retention", RetentionDocument)})

    async def show_about(self, request: PageRequest) -> View:
        """The service itself."""
        return await _show_service(request, None)

    async def run_checks(self, request: PageRequest) -> View:
        """The service itself, with the findings of its checks. They take some seconds, so nobody gets them unasked."""
        return await _show_service(request, await request.read("run_checks", ChecksDocument))


async def _show_keys(request: PageRequest, made: MadeKeyDocument | None) -> View:
    found = await request.read("list_keys", KeyListDocument)
    ordered = sorted(found.keys, key=lambda each: (each.revoked_at is None, each.created_at or ""), reverse=True)
    return _show(request, "keys", {"keys": ordered, "made": made, "scopes": SCOPES})


async def _show_service(request: PageRequest, checks: ChecksDocument | None) -> View:
    about = await request.read("get_about", AboutDocument)
    return _show(request, "about", {"about": about, "checks": checks.checks if checks else None})


def _show(request: PageRequest, tab: Tab, values: Values) -> View:
    tabs = [(each.label, f"/settings/{each.name}", each.name == tab, None) for each in TABS if request.may(each.scope)]
    return View(f"settings_{tab}.html", {**values, "tabs": tabs})
