"""The page of a run: what it is, why, and what can be done, over everything that happened in it."""

from collections.abc import Callable, Mapping
from contextlib import suppress
from urllib.parse import parse_qsl, quote, urlencode

import msgspec
from starlette.responses import Response

from durable.path import find_step_path
from durable.values import JSON, NotJSON, decode
from triggers.api.problem import ApiError
from triggers.dashboard.curl import make_curl
from triggers.dashboard.page import (
    PageAnswer,
    PageNotice,
    PageRequest,
    PageRoute,
    Redirect,
    Values,
    View,
    make_link,
    make_path,
    parse_number,
)
from triggers.dashboard.pages.runs import FILTERS
from triggers.dashboard.pages.waits import make_view
from triggers.dashboard.waterfall import Waterfall
from triggers.documents.deliveries import DeliveriesDocument, DeliveryDocument
from triggers.documents.outline import OutlineDocument
from triggers.documents.pipelines import PipelineDocument
from triggers.documents.runs import (
    CancelledDocument,
    HistoryDocument,
    RunDocument,
    RunsDocument,
    RunValueDocument,
    StepDocument,
    TakenDocument,
)
from triggers.documents.starts import RepeatedDocument
from triggers.documents.version_steps import RunGraphDocument, StepDefinitionDocument
from triggers.documents.waits import PendingListDocument
from triggers.html.texts import format_json, shorten_id
from triggers.not_found import RunNotFound, StepNotFound
from triggers.problem_details import Mistake

VIEWS = {"fall": "Waterfall", "graph": "Graph", "history": "History", "data": "Data", "json": "JSON"}

TABS = {
    "error": "Error",
    "input": "Input",
    "output": "Output",
    "request": "Request",
    "attempts": "Attempts",
    "logs": "Logs",
    "definition": "Definition",
}

UNFINISHED = frozenset({"queued", "running", "waiting", "paused"})

ROWS = 100
"""The rows of a page: with all that is around them, they have less than 100 KB."""

LIVE = ("summary", "now", "facts", "shown", "panel")
"""The same for every status: a page that was opened while the run was running also shows how the last step ended."""

ENTRIES = 60
ENTRY_LIMIT = 1_000
"""The entries of a page, and the bytes of a value that is shown in one."""

PART_LIMIT = 12_000
"""The bytes of a value from which the page links to it instead of showing it."""

OTHERS = 50
"""How many other runs with the same error are counted."""

EDITED_LIMIT = 50_000
"""The bytes of an input that is edited in a form."""


class RunPage:
    """Shows one run, and acts on it."""

    def routes(self) -> list[PageRoute]:
        return [
            PageRoute("GET", "/runs/{run}", self.show_run),
            PageRoute("GET", "/runs/{run}/fork", self.edit_fork),
            PageRoute("GET", "/runs/{run}/value", self.download_value),
            PageRoute("GET", "/runs/{run}/export", self.download_export),
            PageRoute("POST", "/runs/{run}/cancel", self.cancel_run),
            PageRoute("POST", "/runs/{run}/retry", self.retry_run),
            PageRoute("POST", "/runs/{run}/rerun", self.rerun_run),
            PageRoute("POST", "/runs/{run}/fork", self.fork_run),
        ]

    # -- the page

    async def show_run(self, request: PageRequest) -> View:
        """The run: its cause and what can be done first, then one of its views, and the step that was chosen."""
        id, view = request.path["run"], request.query.get("view", "fall")
        if view not in VIEWS:
            raise ApiError.invalid([Mistake(name="view", detail=f"should be one of {', '.join(VIEWS)}")])
        try:
            run = await request.read("get_run", RunDocument, run=id)
        except RunNotFound:
            return View("run_missing.html", {"run": id}, status=404)
        values: Values = {
            "run": run,
            "view_name": view,
            "tabs": [(label, _keep(request, view=name), name == view, None) for name, label in VIEWS.items()],
            "is_unfinished": run.status in UNFINISHED,
            **await _explain_now(request, run),
            **await _find_origin(request, run),
            **await _find_neighbours(request, run),
            **await self._read_view(request, run, view),
            "panel": await _read_panel(request, run) if "step" in request.query else None,
        }
        return View("run.html", values, live=LIVE, watches=(f"run:{id}",), refreshes=run.status in UNFINISHED)

    async def _read_view(self, request: PageRequest, run: RunDocument, view: str) -> Values:
        match view:
            case "graph":
                graph = await request.read("get_graph", RunGraphDocument, run=run.id)
                return {"graph": graph, "node_link": _make_linker(request, "step", "tab")}
            case "history":
                after = request.query.get("after", 0)
                asked = {"run": run.id, "after": after, "limit": ENTRIES, "part_limit": ENTRY_LIMIT}
                history = await request.read("get_history", HistoryDocument, **asked)
                return {"history": history, "after": history.after}
            case "data":
                return {}
            case "json":
                text = msgspec.json.format(await request.read_bytes("get_run", run=run.id), indent=2)
                return {"text": text.decode()}
        return await _read_waterfall(request, run)

    # -- what can be downloaded

    async def download_value(self, request: PageRequest) -> Response:
        """A value that the page leaves out, as a file."""
        run, name = request.path["run"], request.query.get("value", "")
        if entry := request.query.get("entry"):
            text = await request.read_bytes("get_history", run=run, after=parse_number("entry", entry) - 1, limit=1)
            return _send_file(text, f"{run}-{entry}.json")
        if step := request.query.get("step"):
            found = msgspec.json.decode(await request.read_bytes("get_step", run=run, step=step), type=_STEP_PARTS)
            if name not in found:
                raise ApiError(404, f"a step has no part {name}")
            return _send_file(found[name], f"{run}-{step}-{name}.json")
        text = await request.read_bytes("get_value", run=run, value=name)
        return _send_file(msgspec.json.decode(text, type=_STEP_PARTS)["value"], f"{run}-{name}.json")

    async def download_export(self, request: PageRequest) -> Response:
        """The history of the run as a file, to replay it elsewhere."""
        run = request.path["run"]
        return _send_file(await request.read_bytes("export_run", run=run), f"{run}.json")

    # -- what can be done

    async def cancel_run(self, request: PageRequest) -> PageAnswer:
        """Ask for the end of the run."""
        await request.act("cancel_run", CancelledDocument, _name_run(request), _read_reason(request))
        return Redirect(_find_here(request), PageNotice("The run is being cancelled."))

    async def retry_run(self, request: PageRequest) -> PageAnswer:
        """Let the run go on from where it failed."""
        await request.act("retry_run", TakenDocument, _name_run(request), _read_reason(request))
        return Redirect(_find_here(request), PageNotice("The run goes on from where it failed."))

    async def rerun_run(self, request: PageRequest) -> PageAnswer:
        """Start a new run of the same event on the newest version."""
        repeated = await request.act("rerun_run", RepeatedDocument, _name_run(request), _read_reason(request))
        return _go_to_repetition(repeated, f"This run repeats {repeated.of} on the newest version.")

    async def edit_fork(self, request: PageRequest) -> View:
        """A form with the recorded input of a step, or with the inputs of the run, for a run with other ones."""
        step = request.query.get("step")
        given = await _read_recorded(request, step)
        text = "" if given is None else format_json(given)
        return _make_fork_form(request, step, text, is_newest=False)

    async def fork_run(self, request: PageRequest) -> PageAnswer:
        """Start a new run that goes on from a step, with its recorded input or with the one from the form."""
        step, form = request.form.get("step") or None, request.form
        body: dict[str, JSON] = {**_read_reason(request), "newest": form.get("newest") == "true"}
        if step:
            body["step"] = step
        try:
            if form.get("input", "").strip():
                given = _read_object(form["input"])
                if given != await _read_recorded(request, step):
                    body["input" if step else "inputs"] = given
            repeated = await request.act("fork_run", RepeatedDocument, _name_run(request), body)
        except ApiError as error:
            if error.status not in (409, 422) or "input" not in form:
                raise
            return _make_fork_form(request, step, form["input"], is_newest=bool(body["newest"]), error=error)
        again = f" Performed again: {', '.join(repeated.again)}." if repeated.again else ""
        where = f"from {step}" if step else "from the start"
        return _go_to_repetition(
            repeated, f"This run goes on {where} of {repeated.of}; {repeated.copied} checkpoints were copied.{again}"
        )


_STEP_PARTS = dict[str, msgspec.Raw]


def _name_run(request: PageRequest) -> dict[str, str]:
    return {"run": request.path["run"]}


def _read_reason(request: PageRequest) -> dict[str, JSON]:
    reason = request.form.get("reason", "").strip()
    return {"reason": reason} if reason else {}


def _find_here(request: PageRequest) -> str:
    return make_path("runs", request.path["run"])


def _go_to_repetition(repeated: RepeatedDocument, text: str) -> Redirect:
    return Redirect(make_path("runs", repeated.id), PageNotice(repeated.hint or text))


def _send_file(data: bytes | msgspec.Raw, name: str) -> Response:
    """A file that the browser keeps, and never shows as a page."""
    headers = {
        "Content-Disposition": f'attachment; filename="{_make_file_name(name)}"',
        "Cache-Control": "no-store",
        "X-Content-Type-Options": "nosniff",
        "Content-Encoding": "identity",  # compressing 5 MB would hold the event loop for 100 ms
    }
    return Response(bytes(data), headers=headers, media_type="application/json")


def _make_file_name(name: str) -> str:
    return "".join(each if each.isascii() and (each.isalnum() or each in "._-") else "_" for each in name)


def _keep(request: PageRequest, **changes: object) -> str:
    """The address of the page with another view; what belongs to the present one is left out."""
    return request.link(after=None, under=None, zoom=None, only=None, **changes)


# -- what it is, and why


async def _explain_now(request: PageRequest, run: RunDocument) -> Values:
    """What the box at the top of the page has: what waits for somebody, what failed, and what else failed so."""
    values: Values = {"waits": [], "failed": None, "others": None, "curl": None}
    if run.status in ("waiting", "paused", "running"):
        found = await request.read("list_waits", PendingListDocument, run=run.id, limit=20)
        values["waits"] = [make_view(each) for each in found.waits]
    if run.error is not None and run.error.step is not None:
        values["failed"] = await _find_step(request, run, find_step_path(run.error.step))
        if (failed := values["failed"]) is not None:
            values["curl"] = make_curl(failed.use, failed.input)
    if run.error_key is not None:
        same = await request.read("list_runs", RunsDocument, error=run.error_key, limit=OTHERS + 1)
        others = [each for each in same.runs if each.id != run.id]
        values["others"] = {
            "count": min(len(others), OTHERS),
            "has_more": len(others) > OTHERS or (same.after is not None and len(others) == OTHERS),
            "since": others[-1].created_at if others else None,
        }
    kinds = {each.wait.kind for each in values["waits"]}
    values["is_explained"] = bool(kinds & {"decision", "resume"} if run.status == "paused" else kinds)
    decided = [each.wait.step for each in values["waits"] if each.wait.kind == "decision"]
    values["doubtful"] = {step: await _find_step(request, run, step) for step in decided if step}
    return values


async def _find_step(request: PageRequest, run: RunDocument, path: str) -> StepDocument | None:
    """A step, from the run's document if it has it; None if the run did not reach it."""
    for step in run.steps:
        if step.path == path and not step.omitted:
            return step
    try:
        return await request.read("get_step", StepDocument, run=run.id, step=path, part_limit=PART_LIMIT)
    except StepNotFound:
        return None


async def _find_origin(request: PageRequest, run: RunDocument) -> Values:
    """The delivery that started the run, and the version that is served now."""
    delivery: DeliveryDocument | None = None
    if run.parent is None and run.source is None and run.trigger not in (None, "api", "call"):
        found = await request.read("list_deliveries", DeliveriesDocument, event=run.event, limit=1)
        delivery = found.deliveries[0] if found.deliveries else None
    try:
        pipeline = await request.read("get_pipeline", PipelineDocument, pipeline=run.pipeline)
    except ApiError as error:
        if error.status != 404:
            raise
        return {"delivery": delivery, "current": None}
    return {"delivery": delivery, "current": pipeline.version}


async def _find_neighbours(request: PageRequest, run: RunDocument) -> Values:
    """The runs before and after this one in the list from which somebody came: `list` is the query of that list."""
    listed = request.query.get("list")
    if listed is None:
        return {"came_from": None, "newer": None, "older": None}
    filters = {name: value for name, value in parse_qsl(listed) if name in FILTERS}
    found: Values = {"came_from": make_link("/runs", **filters)}
    for name, order in (("newer", "oldest"), ("older", "newest")):
        found[name] = None
        with suppress(ApiError, LookupError):  # the list is no longer possible: its pipeline was removed
            page = await request.read("list_runs", RunsDocument, **filters, after=run.id, order=order, limit=1)
            found[name] = make_link(make_path("runs", page.runs[0].id), list=listed) if page.runs else None
    return found


# -- what happened


async def _read_waterfall(request: PageRequest, run: RunDocument) -> Values:
    asked = request.pick("under", "only", "idle", "zoom", "after")
    outline = await request.read("get_outline", OutlineDocument, run=run.id, limit=ROWS, **asked)
    fall = Waterfall(outline, asked.get("under", ""))
    counts = outline.counts
    kinds = (("all", "all", None), ("failed", "failed", counts.failed), ("unfinished", "unfinished", counts.unfinished))
    return {
        "fall": fall,
        "outline": outline,
        "row_link": _make_linker(request, "step", "tab"),
        "under_link": _make_linker(request, "under", "after", "only"),
        "zoom_link": _make_linker(request, "zoom", "after"),
        "whole": request.link(zoom=None, after=None) if "zoom" in asked else None,
        "zooms": {name: request.link(zoom=zoom, after=None) for name, zoom in fall.list_zooms().items()},
        "only": [
            (label, request.link(only=name, under=None, after=None), outline.only == name, number)
            for name, label, number in kinds
        ],
        "crumbs": _list_crumbs(request, asked.get("under", "")),
        "idle_link": request.link(idle=None if asked.get("idle") == "show" else "show"),
        "is_collapsed": asked.get("idle") != "show",
        **_find_failed_rows(request, outline),
        "first_page": request.link(after=None) if "after" in asked else None,
        "next_page": request.link(after=outline.after) if outline.after else None,
    }


def _find_failed_rows(request: PageRequest, outline: OutlineDocument) -> Values:
    """The failed rows of the page after and before the chosen step."""
    failed = [row.path for row in outline.rows if row.status in ("failed", "uncertain")]
    if not failed:
        return {"next_failed": None, "previous_failed": None}
    chosen = request.query.get("step", "")
    at = failed.index(chosen) if chosen in failed else -1
    link = _make_linker(request, "step", "tab")
    return {"next_failed": link(failed[(at + 1) % len(failed)]), "previous_failed": link(failed[max(at, 0) - 1])}


def _make_linker(request: PageRequest, name: str, *left_out: str) -> Callable[[str], str]:
    """A function that makes addresses of this page with a parameter changed. They are relative, since a page has
    hundreds of them."""
    kept = {each: value for each, value in request.query.items() if each != name and each not in left_out}
    head = f"?{urlencode(kept)}&{name}=" if kept else f"?{name}="
    return lambda value: head + quote(value, safe="[].")


def _list_crumbs(request: PageRequest, under: str) -> list[tuple[str, str]]:
    """The blocks around the listed rows, from the outside, each with its address."""
    if not under:
        return []
    crumbs = [("All steps", request.link(under=None, after=None))]
    path = ""
    for part in under.split("."):
        block, bracket, _ = part.partition("[")
        path = f"{path}.{block}" if path else block
        crumbs.append((path, request.link(under=path, after=None)))
        if bracket:
            path = f"{path[: -len(block)]}{part}"
            crumbs.append((path, request.link(under=path, after=None)))
    return crumbs


# -- one step


async def _read_panel(request: PageRequest, run: RunDocument) -> Values:
    """The panel of the step that was chosen."""
    path = find_step_path(request.query["step"])
    try:
        step = await request.read("get_step", StepDocument, run=run.id, step=path, part_limit=PART_LIMIT)
    except StepNotFound:
        return {"path": path, "step": None, "close": request.link(step=None, tab=None)}
    tabs = {name: label for name, label in TABS.items() if name != "error" or step.error}
    tab = request.query.get("tab", "")
    if tab not in tabs:  # also after a retry, which removes the error while its tab is open
        tab = "error" if step.error else "output" if step.status == "completed" else "input"
    definition = None
    if tab in ("input", "definition"):
        definition = await _read_definition(request, run.id, path)
    return {
        "path": path,
        "step": step,
        "tab": tab,
        "tabs": [
            (label, request.link(tab=name), name == tab, len(step.tries) if name == "attempts" and step.tries else None)
            for name, label in tabs.items()
        ],
        "definition": definition,
        "curl": make_curl(step.use, step.input),
        "close": request.link(step=None, tab=None),
        "steps": {
            read.name: request.link(step=read.step, tab="output")
            for template in (definition.templates if definition else ())
            for read in template.reads
            if read.step
        },
    }


async def _read_definition(request: PageRequest, run: str, path: str) -> StepDefinitionDocument | None:
    try:
        return await request.read("get_step_definition", StepDefinitionDocument, run=run, step=path)
    except StepNotFound:
        return None


# -- a fork with other input


async def _read_recorded(request: PageRequest, step: str | None) -> JSON:
    """The recorded input of a step, or the inputs of the run; raises `ApiError` if it is too large for a form."""
    run = request.path["run"]
    if step is None:
        text = await request.read_bytes("get_value", run=run, value="inputs")
        if len(text) > EDITED_LIMIT:
            raise ApiError(
                422, f"the inputs of {run} are too large to be edited here; use `waypost fork {run} --set NAME=VALUE`"
            )
        inputs: JSON = msgspec.json.decode(text, type=RunValueDocument).value
        return inputs
    document = await request.read("get_step", StepDocument, run=run, step=step, part_limit=EDITED_LIMIT)
    if "input" in document.omitted:
        command = f"waypost fork {run} {step} --set NAME=VALUE"
        raise ApiError(422, f"the input of {step} is too large to be edited here; use `{command}`")
    given: JSON = document.input
    return given


def _read_object(text: str) -> dict[str, JSON]:
    """The JSON object of a form; raises `ApiError`."""
    try:
        given = decode(text)
    except NotJSON as error:
        raise ApiError.invalid([Mistake(name="input", detail=f"it is not JSON: {error}")]) from None
    if not isinstance(given, dict):
        raise ApiError.invalid([Mistake(name="input", detail="it should be a JSON object")])
    return given


def _make_fork_form(
    request: PageRequest, step: str | None, text: str, *, is_newest: bool, error: ApiError | None = None
) -> View:
    run = request.path["run"]
    values: Mapping[str, object] = {
        "run": run,
        "step": step,
        "input": text,
        "is_newest": is_newest,
        "error": error.document() if error else None,
        "back": make_link(make_path("runs", run), step=step),
        "short": shorten_id(run),
    }
    return View("fork.html", values, error.status if error else 200)
