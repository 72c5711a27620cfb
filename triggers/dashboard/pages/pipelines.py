"""Pipelines: the list of them, and the pages of one: overview, file, versions, triggers."""

from collections.abc import Iterator, Sequence
from typing import TypeVar

import msgspec
from starlette.responses import Response

from triggers.api.problem import ApiError
from triggers.dashboard.drawing import draw_graph
from triggers.dashboard.page import PageRequest, PageRoute, Values, View, make_link, make_path
from triggers.documents.pipelines import (
    ExampleRequestDocument,
    GridDocument,
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

ROWS = 200
"""The pipelines that a page lists at most."""

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
        values = {
            **head,
            "statistics": await request.read("get_pipeline_statistics", PipelineStatisticsDocument, pipeline=pipeline),
            "grid": await request.read("get_pipeline_grid", GridDocument, pipeline=pipeline),
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
        return View("pipeline_text.html", {**head, "lines": list(make_lines(text))})

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
        return View("pipeline_version.html", {**head, "version": found, "others": others})

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
        return View("pipeline_triggers.html", values, live=("triggers",), watches=("deliveries", "schedules"))


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
    return {"pipeline": pipeline, "text": text, "tabs": tabs, "tab": tab, "state": STATES[pipeline.status]}


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


def make_lines(text: PipelineTextDocument) -> Iterator[SourceLine]:
    """The lines of a file with their problems. A problem behind the last line stands at that."""
    lines = text.text.split("\n")
    if len(lines) > 1 and not lines[-1]:
        del lines[-1]
    for number, line in enumerate(lines, 1):
        here = [
            problem
            for problem in text.problems
            if problem.line == number or (number == len(lines) and problem.line > number)
        ]
        yield SourceLine(number, [(_make_indent(line, problem.column), problem) for problem in here])


def _make_indent(line: str, column: int) -> str:
    return "".join("\t" if character == "\t" else " " for character in line[: column - 1])
