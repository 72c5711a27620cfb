"""The graph of a pipeline as an SVG picture, to be put into a document or printed.

A pipeline is block-structured, so the layout needs no search: a sequence is a column, and the branches of a block stand
beside each other below it. All looks are attributes: the policy of the pages permits no styles in them.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from triggers.documents.version_steps import GraphStepDocument

BOX = 28
GAP = 16
PAD = 12
LABEL = 20
"""The height of a box, the distance of two, the padding of a frame, and the height of its label, in pixels."""

CHARACTER = 7.3
"""The width of a character of the font, roughly."""

LABEL_LIMIT = 48
"""The characters of a condition that are shown."""

_BOX = Markup('<rect x="{}" y="{}" width="{}" height="{}" rx="6" fill="none" stroke="#8a94a3" stroke-width="1.25"/>')
_FRAME = Markup(
    '<rect x="{}" y="{}" width="{}" height="{}" rx="6" fill="none" stroke="#8a94a3" stroke-dasharray="4 3"/>'
)
_LINE = Markup('<path d="M{} {}V{}" stroke="#8a94a3" stroke-width="1.25"/>')
_TEXT = Markup('<text x="{}" y="{}" fill="#6b7684">{}</text>')
_NAMED = Markup('<text x="{}" y="{}" fill="#6b7684"><tspan font-weight="bold">{}</tspan> {}</text>')
_PICTURE = Markup(
    '<svg xmlns="http://www.w3.org/2000/svg" width="{0}" height="{1}" viewBox="0 0 {0} {1}" role="img"'
    ' font-family="ui-monospace, Menlo, Consolas, monospace" font-size="12"><title>{2}</title>\n{3}\n</svg>\n'
)


@dataclass(frozen=True, slots=True)
class Column:
    """A sequence of steps with the room that it needs."""

    steps: Sequence["Placed"]
    width: int
    height: int


@dataclass(frozen=True, slots=True)
class Placed:
    """A step with its text and the columns of its branches, by their labels."""

    name: str
    text: str
    branches: Sequence[tuple[str, Column]]
    width: int
    height: int


def draw_graph(title: str, steps: Sequence[GraphStepDocument]) -> str:
    """The picture of steps."""
    column = _measure_column(steps)
    parts = Markup("\n").join(_draw_column(column, PAD, PAD))
    return str(_PICTURE.format(column.width + 2 * PAD, column.height + 2 * PAD, title, parts))


def _measure_column(steps: Sequence[GraphStepDocument]) -> Column:
    placed = [_measure_step(step) for step in steps]
    height = sum(step.height for step in placed) + GAP * max(0, len(placed) - 1)
    return Column(placed, max((step.width for step in placed), default=0), height)


def _measure_step(step: GraphStepDocument) -> Placed:
    name = step.path.rpartition(".")[2]
    text = " ".join([step.use, *([_shorten(step.over)] if step.over else [])])
    text += f" if {_shorten(step.condition)}" if step.condition else ""
    branches = [
        (" ".join([branch.label, *([_shorten(branch.when)] if branch.when else [])]), _measure_column(branch.steps))
        for branch in step.branches
    ]
    own = round((len(name) + len(text) + 1) * CHARACTER) + 2 * PAD
    inside = sum(_measure_frame(*branch)[0] for branch in branches) + GAP * max(0, len(branches) - 1)
    below = max((_measure_frame(*branch)[1] for branch in branches), default=0)
    return Placed(name, text, branches, max(own, inside + PAD), BOX + (GAP + below if branches else 0))


def _measure_frame(label: str, column: Column) -> tuple[int, int]:
    return max(column.width, round(len(label) * CHARACTER)) + 2 * PAD, column.height + LABEL + 2 * PAD


def _shorten(text: str) -> str:
    return text if len(text) <= LABEL_LIMIT else f"{text[: LABEL_LIMIT - 1]}…"


def _draw_column(column: Column, x: int, y: int) -> Iterator[Markup]:
    for number, step in enumerate(column.steps):
        if number:
            yield _LINE.format(x + PAD, y - GAP, y)
        yield from _draw_step(step, x, y)
        y += step.height + GAP


def _draw_step(step: Placed, x: int, y: int) -> Iterator[Markup]:
    width = round((len(step.name) + len(step.text) + 1) * CHARACTER) + 2 * PAD
    yield _BOX.format(x, y, width, BOX)
    yield _NAMED.format(x + PAD, y + 18, step.name, step.text)
    left, top = x + PAD, y + BOX + GAP
    for label, column in step.branches:
        frame_width, frame_height = _measure_frame(label, column)
        yield _LINE.format(left + PAD, y + BOX, top) if left == x + PAD else Markup("")
        yield _FRAME.format(left, top, frame_width, frame_height)
        yield _TEXT.format(left + PAD, top + 17, label)
        yield from _draw_column(column, left + PAD, top + PAD + LABEL)
        left += frame_width + GAP
