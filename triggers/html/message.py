"""A page with a title and a text, for those who are not signed in."""

from triggers.html.environment import make_environment

_template = make_environment().get_template("message.html")


def render_message(title: str, text: str) -> str:
    """The page."""
    return _template.render(title=title, text=text)
