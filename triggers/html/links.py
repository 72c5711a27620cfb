"""Texts with links: the ids of runs in a sentence."""

import re

from markupsafe import Markup, escape

_RUN = re.compile(r"run_[0-9a-z]{26}")


def link_runs(text: str) -> Markup:
    """A text in which the ids of runs are links."""
    parts: list[Markup] = []
    end = 0
    for found in _RUN.finditer(text):
        parts += [escape(text[end : found.start()]), Markup('<a class="id" href="/runs/{0}">{0}</a>').format(found[0])]
        end = found.end()
    return Markup("").join([*parts, escape(text[end:])])
