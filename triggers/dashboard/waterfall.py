"""The waterfall of a run as shapes: its rows with their bars, the strip above them, the axis, and links that zoom.

Shapes have places and sizes as attributes of SVG, because the content policy of the pages allows no inline style.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from triggers.documents.outline import AxisPieceDocument, DensityDocument, OutlineDocument, RowDocument
from triggers.html.texts import format_span

WIDTH = 1_000
HEIGHT = 12
STRIP_HEIGHT = 40
"""The units of the shapes: a row is as high as `HEIGHT`, the strip as `STRIP_HEIGHT`."""

NARROWEST = 3
"""The width of a bar that would be too narrow to be seen."""

ZONES = 20
"""The parts of the strip that zoom when they are chosen."""

LABEL_SPACE = 120
"""The distance between two labels of the axis, from which they do not overlap on a small screen."""

DEEPEST = 6
"""Rows that are nested more deeply are not indented further."""


class Bar(NamedTuple):
    """A bar in a row: what it shows, its place, and its width."""

    kind: str
    x: int
    width: int


class AxisLabel(NamedTuple):
    """A text at a place of the axis, `start`, `middle` or `end`."""

    text: str
    x: int
    anchor: str


class Zone(NamedTuple):
    """A part of the strip with the part of time that it zooms to."""

    x: int
    width: int
    zoom: str
    title: str


class DensityShape(NamedTuple):
    """How much went on, as the outlines of areas by the kind of a bar, and the places of failures."""

    areas: list[tuple[str, str]]
    failures: list[Bar]


@dataclass(frozen=True, slots=True)
class RowView:
    """A row, its name below the rows around it, its bars or its density."""

    row: RowDocument
    name: str
    indent: int
    bars: list[Bar]
    density: DensityShape | None

    @property
    def is_retrying(self) -> bool:
        return self.row.status == "waiting" and self.row.error is not None and self.row.due_at is not None


class Waterfall:
    """An outline as shapes."""

    def __init__(self, outline: OutlineDocument, under: str) -> None:
        self.outline = outline
        self._pieces = outline.axis
        self._under = under
        self.height = HEIGHT
        self.strip_height = STRIP_HEIGHT
        self.strip = _shape_density(outline.strip, STRIP_HEIGHT)
        self.rows = [self._make_row(row) for row in outline.rows]
        self.labels = list(self._list_labels())
        self.zones = list(self._list_zones())
        self.idle = "".join(f"M{piece.x} 0h{piece.width}v{HEIGHT}h-{piece.width}z" for piece in self.idle_pieces)

    @property
    def idle_pieces(self) -> list[AxisPieceDocument]:
        return [piece for piece in self._pieces if piece.idle]

    @property
    def start(self) -> int:
        return self._pieces[0].at

    @property
    def end(self) -> int:
        return self._pieces[-1].at + self._pieces[-1].length

    def locate(self, at: int) -> int:
        """The place of a time."""
        for piece in self._pieces:
            if at <= piece.at + piece.length:
                return piece.x + max(0, at - piece.at) * piece.width // (piece.length or 1)
        return WIDTH

    def find_time(self, x: int) -> int:
        """The time at a place."""
        for piece in self._pieces:
            if x <= piece.x + piece.width:
                return piece.at + (x - piece.x) * piece.length // (piece.width or 1)
        return self.end

    def list_zooms(self) -> Mapping[str, str]:
        """The parts of time to the left and the right of what is shown, the middle of it, and twice as much."""
        length = max(2, self.end - self.start)
        half, quarter = length // 2, max(1, length // 4)
        first = max(0, self.start - half)
        return {
            "earlier": f"{first}-{first + length}",
            "later": f"{self.start + half}-{self.end + half}",
            "in": f"{self.start + quarter}-{max(self.end - quarter, self.start + quarter + 1)}",
            "out": f"{first}-{self.end + half}",
        }

    def _make_row(self, row: RowDocument) -> RowView:
        bars = [self._make_bar(part.kind, part.at, part.at + part.length) for part in row.parts]
        if not bars and row.at is not None and row.density is None and row.length:
            bars = [self._make_bar("block", row.at, row.at + row.length)]
        shape = _shape_density(row.density, HEIGHT) if row.density else None
        return RowView(row, self._name(row), min(row.depth, DEEPEST), bars, shape)

    def _make_bar(self, kind: str, start: int, end: int) -> Bar:
        x = self.locate(start)
        width = max(NARROWEST, self.locate(end) - x)
        return Bar(kind, min(x, WIDTH - width), width)

    def _name(self, row: RowDocument) -> str:
        if self.outline.only != "all":
            return row.path
        if row.depth:
            return row.path.rpartition(".")[2]
        return row.path.removeprefix(self._under).removeprefix(".")

    def _list_labels(self) -> Iterator[AxisLabel]:
        """The start, the shortened times with their lengths, and the end."""
        yield AxisLabel(f"+{format_span(self.start)}" if self.start else "0", 0, "start")
        last = 0
        for piece in self.idle_pieces:
            middle = piece.x + piece.width // 2
            if last + LABEL_SPACE <= middle <= WIDTH - LABEL_SPACE:
                yield AxisLabel(f"⋯ {format_span(piece.length)}", middle, "middle")
                last = middle
        yield AxisLabel(f"+{format_span(self.end)}", WIDTH, "end")

    def _list_zones(self) -> Iterator[Zone]:
        width = WIDTH // ZONES
        for x in range(0, WIDTH, width):
            first, last = self.find_time(x), self.find_time(x + width)
            yield Zone(x, width, f"{first}-{max(last, first + 1)}", f"+{format_span(first)} to +{format_span(last)}")


def _shape_density(density: DensityDocument, height: int) -> DensityShape:
    areas = {"queued": density.queued, "waiting": density.waiting, "attempt": density.working}
    most = max(1, *(count for counts in areas.values() for count in counts))
    width = WIDTH // len(density.working)
    failures = [Bar("failed", number * width, width) for number, count in enumerate(density.failed) if count]
    return DensityShape(
        [(kind, _draw_area(counts, most, width, height)) for kind, counts in areas.items() if any(counts)], failures
    )


def _draw_area(counts: Sequence[int], most: int, width: int, height: int) -> str:
    """The outline of columns: a column with anything in it is at least 2 high."""
    tops = [height - max(2, count * height // most) if count else height for count in counts]
    path, last = [f"M0 {height}"], height
    for number, top in enumerate(tops):
        if top != last:
            path.append(f"H{number * width}V{top}")
            last = top
    return "".join([*path, f"H{len(tops) * width}V{height}z"])
