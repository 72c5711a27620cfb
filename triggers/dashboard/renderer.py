"""Views as HTML: the whole page, or the blocks of it that change while it is open."""

from pathlib import Path

from triggers.dashboard.page import PageNotice, Values, View, make_link, make_path
from triggers.html.environment import make_environment
from triggers.keys import KeyHolder

NAVIGATION = (
    ("/", "Home"),
    ("/runs", "Runs"),
    ("/waits", "Waits"),
    ("/deliveries", "Deliveries"),
    ("/pipelines", "Pipelines"),
    ("/schedules", "Schedules"),
    ("/connections", "Connections"),
    ("/queues", "Queues"),
)
MORE = (
    ("/errors", "Errors"),
    ("/bulk", "Bulk actions"),
    ("/events", "Events"),
    ("/connectors", "Connectors"),
    ("/audit", "Audit log"),
    ("/settings", "Settings"),
)
"""The pages that the bar links, and those in its menu."""


class Renderer:
    """Renders views with the templates of the dashboard."""

    def __init__(self) -> None:
        self._templates = make_environment(Path(__file__).parent / "templates")
        self._templates.globals |= {"navigation": NAVIGATION, "more": MORE, "link": make_link, "path": make_path}

    def render(self, view: View, url: str, visitor: KeyHolder, notice: PageNotice | None = None) -> str:
        """The page of a view."""
        return self._templates.get_template(view.template).render(_make_values(view, url, visitor, notice))

    def render_blocks(self, view: View, url: str, visitor: KeyHolder) -> dict[str, str]:
        """The live blocks of a view, by name."""
        template = self._templates.get_template(view.template)
        context = template.new_context(_make_values(view, url, visitor, None))
        return {name: "".join(template.blocks[name](context)) for name in view.live}


def _make_values(view: View, url: str, visitor: KeyHolder, notice: PageNotice | None) -> Values:
    return {
        **view.values,
        "view": view,
        "url": url,
        "here": url.partition("?")[0],
        "visitor": visitor,
        "notice": notice,
    }
