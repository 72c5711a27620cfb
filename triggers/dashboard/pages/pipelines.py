"""Pipelines: the list of them, and the pages of one: overview, file, versions, triggers."""

import asyncio
import re
from collections.abc import Sequence
from typing import TypeVar

import msgspec
from starlette.responses import Response

from triggers.api.problem import ApiError
from triggers.dashboard.drawing import draw_graph
from triggers.dashboard.page import PageRequest, PageRoute, Values, View, make_link, make_path
from triggers.documents.pipelines import (
    ExampleRequestDocument,
    GridDocument,
    GridStepDocument,
    PipelineDocument,
    PipelineLineDocument,
    PipelinesDocument,
    PipelineStatisticsDocument,
    PipelineStatus,
    PipelineTextDocument,
    ProblemDocument,
    TriggersDocument,
)
from triggers.documents.version_steps import PipelineGraphDocument
from triggers.documents.versions import VersionsDocument, VersionTextDocument
from triggers.html.highlight import FILE_LIMIT, highlight_code, highlight_lines

ROWS = 200
"""The pipelines that a page lists at most."""

GRID_ROWS = 30
"""The steps of a grid on a page: more cells would take more than 20 ms of the event loop."""

LINES = 500
"""The lines of a file on a page."""

STATES: dict[PipelineStatus, tuple[str, str]] = {
    "serving": ("serving", "serving"),
    "serving the version before": ("warning", "serving the version before"),
    "disabled": ("broken", "disabled"),
}
"""The status and the word for what is served of a file."""

ATTENTION: tuple[PipelineStatus, ...] = ("disabled", "serving the version before", "serving")
"""The order in which the list has them: what is broken stands first."""

PICTURE_HEADERS = {"Content-Security-Policy": "default-src 'none'", "X-Content-Type-Options": "nosniff"}

Listed = TypeVar("Listed", bound=PipelineLineDocument)


class SourceLine(msgspec.Struct, frozen=True):
    """A line of a file, counted from 1, with its problems, each with what stands before its caret."""

    number: int
    problems: list[tuple[str, ProblemDocument]]


class PipelinePages:
    """Shows pipelines."""

    def routes(self) -> list[PageRoute]:
        one = "/pipelines/{pipeline}"
        return [
            PageRoute("GET", "/pipelines", self.list_pipelines),
            PageRoute("GET", one, self.show_pipeline),
            PageRoute("GET", f"{one}/graph.svg", self.draw_pipeline),
            PageRoute("GET", f"{one}/text", self.show_text),
            PageRoute("GET", f"{one}/versions", self.list_versions),
            PageRoute("GET", f"{one}/versions/{{version}}", self.show_version),
            PageRoute("GET", f"{one}/triggers", self.show_triggers),
        ]

    async def list_pipelines(self, request: PageRequest) -> View:
        """Every pipeline: what is served of its file, and how its newest runs went."""
        found = await request.read("list_pipelines", PipelinesDocument, statistics="true")
        word = request.query.get("q", "").strip().lower()
        wanted = [each for each in found.pipelines if word in each.id or word in each.file.lower()]
        values = {
            "pipelines": sort_by_attention(wanted)[:ROWS],
            "number": len(wanted),
            "word": word,
            "statistics": found.statistics or {},
            "states": STATES,
            "shorten": shorten_problem,
        }
        return View("pipelines.html", values)

    async def show_pipeline(self, request: PageRequest) -> View:
        """How the newest runs of a pipeline went, step by step, and what the pipeline is."""
        pipeline = request.path["pipeline"]
        head = await _read_head(request, "overview")
        grid = await request.read("get_pipeline_grid", GridDocument, pipeline=pipeline)
        values = {
            **head,
            "statistics": await request.read("get_pipeline_statistics", PipelineStatisticsDocument, pipeline=pipeline),
            "grid": grid,
            "rows": choose_rows(grid.steps),
            "graph": await _read_graph(request, head["pipeline"]),
            "triggers": (await request.read("list_triggers", TriggersDocument, pipeline=pipeline)).triggers,
        }
        return View("pipeline.html", values, live=("figures", "grid"), watches=("runs",))

    async def draw_pipeline(self, request: PageRequest) -> Response:
        """The steps of a pipeline as a picture."""
        pipeline = request.path["pipeline"]
        graph = await request.read("get_pipeline_graph", PipelineGraphDocument, pipeline=pipeline)
        picture = draw_graph(f"The steps of {pipeline}", graph.steps)
        return Response(picture, headers=PICTURE_HEADERS, media_type="image/svg+xml")

    async def show_text(self, request: PageRequest) -> View:
        """The file as it is now, with each problem below its line."""
        head = await _read_head(request, "text")
        text: PipelineTextDocument = head["text"]
        marked = await asyncio.to_thread(highlight_lines, text.text, "yaml")
        start = (_read_line(request.query.get("line")) - 1) // LINES * LINES
        lines = make_lines(text)
        links = [
            (f"{number + 1}–{min(number + LINES, len(lines))}", request.link(line=number + 1), number == start)
            for number in range(0, len(lines), LINES)
        ]
        values = {
            **head,
            "lines": list(zip(lines, marked, strict=False))[start : start + LINES],
            "links": links if len(links) > 1 else [],
        }
        return View("pipeline_text.html", values)

    async def list_versions(self, request: PageRequest) -> View:
        """The versions of a pipeline, the newest first."""
        pipeline, after = request.path["pipeline"], request.query.get("after")
        head = await _read_head(request, "versions")
        found = await request.read("list_versions", VersionsDocument, pipeline=pipeline, after=after)
        values = {
            **head,
            "versions": found.versions,
            "newest": request.link(after=None) if after else None,
            "older": request.link(after=found.after) if found.after else None,
        }
        return View("pipeline_versions.html", values)

    async def show_version(self, request: PageRequest) -> View:
        """The text of a version, and how it differs from another one."""
        pipeline, version = request.path["pipeline"], request.path["version"]
        head = await _read_head(request, "versions")
        against = request.query.get("against")
        found = await request.read(
            "get_version", VersionTextDocument, pipeline=pipeline, version=version, against=against
        )
        known = await request.read("list_versions", VersionsDocument, pipeline=pipeline)
        others = [each for each in known.versions if each.version != found.version]
        marked = await asyncio.to_thread(highlight_code, found.text, "yaml", FILE_LIMIT)
        return View("pipeline_version.html", {**head, "version": found, "others": others, "marked": marked})

    async def show_triggers(self, request: PageRequest) -> View:
        """How a pipeline is started: its triggers, an example of a request, and the API."""
        pipeline, wanted = request.path["pipeline"], request.query.get("example")
        head = await _read_head(request, "triggers")
        example, refusal = None, None
        if wanted is not None:
            try:
                example = await request.read(
                    "get_example_request", ExampleRequestDocument, pipeline=pipeline, trigger=wanted
                )
            except ApiError as error:
                refusal = f"{error}."
        values = {
            **head,
            "found": await request.read("list_triggers", TriggersDocument, pipeline=pipeline),
            "wanted": wanted,
            "example": example,
            "refusal": refusal,
        }
        live = () if wanted else ("triggers",)  # an example would be another one each time
        return View("pipeline_triggers.html", values, live=live, watches=("deliveries", "schedules"))


async def _read_head(request: PageRequest, tab: str) -> Values:
    """What all pages of a pipeline show: its status, its problems, and the links to its other pages."""
    name = request.path["pipeline"]
    pipeline = await request.read("get_pipeline", PipelineDocument, pipeline=name)
    text = await request.read("get_pipeline_text", PipelineTextDocument, pipeline=name) if pipeline.problems else None
    if text is None and tab == "text":
        text = await request.read("get_pipeline_text", PipelineTextDocument, pipeline=name)
    triggers = len(pipeline.webhooks) + len(pipeline.schedules) + len(pipeline.events)
    tabs = [
        ("Overview", make_path("pipelines", name), tab == "overview", None),
        ("YAML", make_path("pipelines", name, "text"), tab == "text", len(pipeline.problems) or None),
        ("Versions", make_path("pipelines", name, "versions"), tab == "versions", None),
        ("Triggers", make_path("pipelines", name, "triggers"), tab == "triggers", triggers or None),
        ("Runs", make_link("/runs", pipeline=name), False, None),
    ]
    return {
        "pipeline": pipeline,
        "text": text,
        "href": _link_line,
        "tabs": tabs,
        "tab": tab,
        "state": STATES[pipeline.status],
    }


async def _read_graph(request: PageRequest, pipeline: PipelineDocument) -> PipelineGraphDocument | None:
    if pipeline.status == "disabled":
        return None
    return await request.read("get_pipeline_graph", PipelineGraphDocument, pipeline=pipeline.id)


def sort_by_attention(pipelines: Sequence[Listed]) -> list[Listed]:
    """The pipelines by name, those with problems first."""
    return sorted(pipelines, key=lambda each: (ATTENTION.index(each.status), not each.problems, each.id))


def shorten_problem(problem: str, file: str) -> str:
    """A problem that begins with the name of the file instead of its path."""
    return problem[max(0, problem.find(f"{file}:")) :]


def choose_rows(steps: Sequence[GridStepDocument]) -> list[int]:
    """The numbers of the steps that a grid shows, in their order: those that failed, and the first of the others."""
    failed = [number for number, step in enumerate(steps) if step.failed]
    others = [number for number, step in enumerate(steps) if not step.failed]
    return sorted([*failed, *others][:GRID_ROWS])


def make_lines(text: PipelineTextDocument) -> list[SourceLine]:
    """The lines of a file with their problems. A problem behind the last line stands at that."""
    lines = text.text.split("\n")
    if len(lines) > 1 and not lines[-1]:
        del lines[-1]
    found: dict[int, list[tuple[str, ProblemDocument]]] = {}
    for problem in text.problems:
        number = min(problem.line, len(lines))
        found.setdefault(number, []).append((_make_indent(lines[number - 1], problem.column), problem))
    return [SourceLine(number, found.get(number, [])) for number in range(1, len(lines) + 1)]


def _link_line(pipeline: str, line: int) -> str:
    """The address of a line of a pipeline's file."""
    path = make_path("pipelines", pipeline, "text")
    return f"{make_link(path, line=line) if line > LINES else path}#L{line}"


def _read_line(text: str | None) -> int:
    return int(text) if text and re.fullmatch("[1-9][0-9]{0,8}", text) else 1


def _make_indent(line: str, column: int) -> str:
    return "".join("\t" if character == "\t" else " " for character in line[: column - 1])
