"""The environment of the templates: escaped by default, strict about undefined names, with the same parts for all."""

from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from durable.wording import count_things
from triggers.html import texts
from triggers.html.assets import ASSETS
from triggers.html.highlight import highlight_code
from triggers.html.links import link_runs

SHARED = Path(__file__).parent / "templates"
"""The templates that all pages can extend and import: `base.html`, `parts.html`."""


def make_environment(*folders: Path) -> Environment:
    """The environment of the templates in these folders and of the shared ones."""
    environment = Environment(
        loader=FileSystemLoader([*folders, SHARED]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    environment.globals |= {"asset": ASSETS.make_url, "build": ASSETS.build}
    environment.filters |= {
        "span": texts.format_span,
        "moment": texts.format_moment,
        "size": texts.show_size,
        "number": texts.format_number,
        "percent": texts.format_share,
        "short": texts.shorten_id,
        "browser": texts.name_browser,
        "clip": texts.clip_text,
        "as_json": texts.format_json,
        "pretty": texts.indent_json,
        "link_runs": link_runs,
        "code": highlight_code,
    }
    environment.globals |= {"count": count_things, "between": texts.measure_span}
    environment.globals["parts"] = environment.get_template("parts.html").module  # so that blocks have it by themselves
    return environment
