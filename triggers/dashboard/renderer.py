"""Views as HTML: the whole page, or the blocks of it that change while it is open."""

from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path

from jinja2.runtime import Context

from triggers.dashboard.badges import Badges
from triggers.dashboard.page import PageNotice, Values, View, make_link, make_path
from triggers.dashboard.stream import hash_block
from triggers.html.assets import ASSETS
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
    ("/bulks", "Bulk actions"),
    ("/events", "Events"),
    ("/connectors", "Connectors"),
    ("/audit", "Audit log"),
    ("/settings", "Settings"),
)
"""The pages that the bar links, and those in its menu."""


class Renderer:
    """Renders views with the templates of the dashboard."""

    def __init__(self, badges: Badges) -> None:
        self._badges = badges
        self._templates = make_environment(Path(__file__).parent / "templates")
        self._templates.globals |= {"navigation": NAVIGATION, "more": MORE, "link": make_link, "path": make_path}

    def render(self, view: View, url: str, visitor: KeyHolder, notice: PageNotice | None = None) -> str:
        """The page of a view. Its live blocks are rendered first, so that the page can name their hashes."""
        template = self._templates.get_template(view.template)
        blocks = self.render_blocks(view, url, visitor)
        values = _make_values(view, url, visitor, notice)
        values["badges"] = self._badges.known if visitor.may("read") else {}
        values["stream"] = make_stream_link(view, url, blocks) if blocks else None
        context = template.new_context(values)
        context.blocks |= {name: [partial(_repeat_block, text)] for name, text in blocks.items()}
        return "".join(template.root_render_func(context))

    def render_blocks(self, view: View, url: str, visitor: KeyHolder) -> dict[str, str]:
        """The live blocks of a view, by name."""
        template = self._templates.get_template(view.template)
        context = template.new_context(_make_values(view, url, visitor, None))
        return {name: "".join(template.blocks[name](context)) for name in view.live}


def make_stream_link(view: View, url: str, blocks: Mapping[str, str]) -> str:
    """The address of the updates of a page whose live blocks are these."""
    known = ",".join(f"{name}:{hash_block(text)}" for name, text in blocks.items())
    return make_link("/stream", page=view.live_at or url, known=known, build=ASSETS.build)


def _repeat_block(text: str, context: Context) -> Iterator[str]:
    """A block that was rendered already."""
    yield text


def _make_values(view: View, url: str, visitor: KeyHolder, notice: PageNotice | None) -> Values:
    return {
        **view.values,
        "view": view,
        "url": url,
        "here": url.partition("?")[0],
        "visitor": visitor,
        "notice": notice,
    }
