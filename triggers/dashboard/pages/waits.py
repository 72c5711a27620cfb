"""What runs wait for: the inbox, one wait, and the forms that answer, decide and resume."""

from collections.abc import Mapping, Sequence
from typing import get_args

import msgspec

from durable.values import JSON, NotJSON, decode
from triggers.api.problem import ApiError
from triggers.dashboard.page import PageAnswer, PageNotice, PageRequest, PageRoute, Redirect, View, make_path
from triggers.documents.runs import TakenDocument
from triggers.documents.waits import PendingDocument, PendingKind, PendingListDocument
from triggers.problem_details import Mistake
from triggers.sessions.sign_in import find_local_path
from triggers.waits.form import PREFIX, FormField, build_form, read_form

KINDS = get_args(PendingKind)

LIMIT = 100


class PendingView(msgspec.Struct, frozen=True):
    """One thing that a run waits for, with the form that answers it. `wrong`: what is wrong with what was sent."""

    wait: PendingDocument
    fields: list[FormField]
    comment: str = ""
    data: str = ""
    wrong: Mapping[str, str] = {}

    @property
    def href(self) -> str:
        """Its page, or that of its run."""
        step = self.wait.step
        return make_path("waits", self.wait.run, step) if step else make_path("runs", self.wait.run)


class WaitPages:
    """Shows what runs wait for, and takes answers and decisions."""

    def routes(self) -> list[PageRoute]:
        return [
            PageRoute("GET", "/waits", self.list_waits),
            PageRoute("GET", "/waits/{run}/{step}", self.show_wait),
            PageRoute("POST", "/runs/{run}/answer", self.answer_run),
            PageRoute("POST", "/runs/{run}/resolve", self.resolve_step),
            PageRoute("POST", "/runs/{run}/resume", self.resume_run),
        ]

    async def list_waits(self, request: PageRequest) -> View:
        """The inbox: what unfinished runs wait for, the oldest run first."""
        found = await request.read("list_waits", PendingListDocument, after=request.query.get("after"), limit=LIMIT)
        kind = request.query.get("kind")
        shown = [make_view(each) for each in found.waits if kind in (None, each.kind)]
        values = {
            "waits": shown,
            "kind": kind,
            "tabs": _make_tabs(request, found.waits, kind),
            "oldest": request.link(after=None) if "after" in request.query else None,
            "next": request.link(after=found.after) if found.after else None,
        }
        return View("waits.html", values, live=("waits",), watches=("runs",))

    async def show_wait(self, request: PageRequest) -> View:
        """What one step waits for."""
        run, step = request.path["run"], request.path["step"]
        found = await request.read("list_waits", PendingListDocument, run=run, limit=LIMIT)
        views = [make_view(each) for each in found.waits if each.step == step]
        return _make_page(run, step, views)

    async def answer_run(self, request: PageRequest) -> PageAnswer:
        """Take an answer to an approval or a webhook."""
        run, step, name = request.path["run"], request.form.get("step", ""), request.form.get("name") or None
        found = await request.read("list_waits", PendingListDocument, run=run, limit=LIMIT)
        wait = next((each for each in found.waits if (each.step, each.name) == (step, name)), None)
        try:
            body = _read_answer(request.form, wait)
            await request.act("answer_run", TakenDocument, {"run": run}, {"step": step, "name": name, **body})
        except ApiError as error:
            if wait is None or not error.mistakes:
                raise
            return _make_page(run, step, [_show_again(wait, request.form, error.mistakes)], status=422)
        return _go_back(request, "The answer was taken.")

    async def resolve_step(self, request: PageRequest) -> PageAnswer:
        """Decide on a step whose outcome is unknown, or that has used up its attempts."""
        run, form = request.path["run"], request.form
        verdict = form.get("verdict", "")
        output = _read_json(form.get("output", ""), "output") if verdict == "completed" else None
        body: dict[str, JSON] = {"step": form.get("step", ""), "verdict": verdict, "reason": form.get("reason") or None}
        if output is not None:
            body["output"] = output
        await request.act("resolve_step", TakenDocument, {"run": run}, body)
        return _go_back(request, f"The step {form.get('step', '')} is decided: {_VERDICTS.get(verdict, verdict)}.")

    async def resume_run(self, request: PageRequest) -> PageAnswer:
        """Let a paused run go on."""
        body: dict[str, JSON] = {"reason": request.form.get("reason") or None}
        await request.act("resume_run", TakenDocument, {"run": request.path["run"]}, body)
        return _go_back(request, "The run goes on.")


_VERDICTS: Mapping[str, str] = {"completed": "it happened", "retry": "it is attempted again", "failed": "it failed"}


def make_view(wait: PendingDocument) -> PendingView:
    """A wait with its form as it is before somebody has filled it in."""
    return PendingView(wait, build_form(wait.fields) if wait.kind == "approval" else [])


def _show_again(wait: PendingDocument, form: Mapping[str, str], mistakes: Sequence[Mistake]) -> PendingView:
    """A form that was refused, as it was filled in."""
    wrong = {each.name.removeprefix(PREFIX): each.detail for each in mistakes}
    fields = build_form(wait.fields, read_form(wait.fields, dict(form))) if wait.kind == "approval" else []
    return PendingView(wait, fields, form.get("comment", ""), form.get("data", ""), wrong)


def _make_page(run: str, step: str, views: Sequence[PendingView], status: int = 200) -> View:
    return View("wait.html", {"run": run, "step": step, "waits": views}, status, watches=(f"run:{run}",))


def _make_tabs(request: PageRequest, waits: Sequence[PendingDocument], kind: str | None) -> list[tuple[object, ...]]:
    """The kinds of waits as tabs, with the number of each on this page."""
    tabs: list[tuple[object, ...]] = [("All", request.link(kind=None, after=None), kind is None, len(waits))]
    for each, label in _KIND_NAMES.items():
        number = sum(wait.kind == each for wait in waits)
        if number or kind == each:
            tabs.append((label, request.link(kind=each, after=None), kind == each, number))
    return tabs


_KIND_NAMES: Mapping[str, str] = {
    "approval": "Approvals",
    "decision": "Decisions",
    "resume": "Paused runs",
    "webhook": "Callbacks",
    "event": "Events",
}


def _read_answer(form: Mapping[str, str], wait: PendingDocument | None) -> dict[str, JSON]:
    """The answer in a form, as the body of the operation; raises `ApiError`."""
    if wait is not None and wait.kind == "webhook":
        return {"data": _read_json(form.get("data", ""), "data")}
    approved = {"true": True, "false": False}.get(form.get("approved", ""))
    body: dict[str, JSON] = {"approved": approved, "comment": form.get("comment") or None}
    if wait is not None and wait.fields:
        body["fields"] = read_form(wait.fields, dict(form))
    return {name: value for name, value in body.items() if value is not None}


def _read_json(text: str, name: str) -> JSON:
    """A JSON value in a field, None if the field is empty; raises `ApiError`."""
    if not text.strip():
        return None
    try:
        return decode(text)
    except NotJSON as error:
        raise ApiError.invalid([Mistake(name=name, detail=f"it is not JSON: {error}")]) from None


def _go_back(request: PageRequest, text: str) -> Redirect:
    """Go to the page that the form names, or to the run's."""
    to = request.form.get("next") or make_path("runs", request.path["run"])
    return Redirect(find_local_path(to), PageNotice(text))
