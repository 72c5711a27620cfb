"""The form that starts a run: one field for each input of the pipeline, or the inputs as JSON."""

import hashlib
import re
from collections.abc import Mapping, Sequence
from typing import Any
from uuid import uuid4

import msgspec

from durable.values import JSON, NotJSON, decode
from triggers.api.problem import ApiError
from triggers.dashboard.page import PageAnswer, PageNotice, PageRequest, PageRoute, Redirect, View, make_link, make_path
from triggers.documents.pipelines import GivenInputsDocument, PipelineDocument, RecentInputsDocument
from triggers.documents.starts import StartedDocument
from triggers.html.texts import format_json
from triggers.problem_details import Mistake
from triggers.waits.form import build_form, read_form

INPUTS = "inputs."
"""What begins the place of a mistake in an input."""

HASH = 16


class StartForm(msgspec.Struct, frozen=True):
    """A form as it is filled in. `inputs`: their values, None before anything is filled in. `text`: the inputs as JSON,
    if that is how they are given. `token`: of one display of the form, so that sending it twice starts one run."""

    token: str
    inputs: dict[str, JSON] | None = None
    text: str | None = None
    tags: str = ""
    delay: str = ""


class StartPages:
    """Shows the form of a pipeline, and starts runs with what is filled in."""

    def routes(self) -> list[PageRoute]:
        path = "/pipelines/{pipeline}/start"
        return [PageRoute("GET", path, self.show_form), PageRoute("POST", path, self.start_run)]

    async def show_form(self, request: PageRequest) -> View:
        """The form, empty or with the inputs of an earlier run (`like`); `as=json` has one field for all inputs."""
        pipeline = await _read_pipeline(request)
        recent = await _read_recent(request)
        like = next((each.inputs for each in recent if each.run == request.query.get("like")), None)
        is_json = request.query.get("as") == "json" or pipeline.inputs is None
        text = format_json({} if like is None else like) if is_json else None
        return make_form_view(request, pipeline, recent, StartForm(uuid4().hex, like, text))

    async def start_run(self, request: PageRequest) -> PageAnswer:
        """Start a run, and go to it. What does not fit is shown beside its field."""
        pipeline = await _read_pipeline(request)
        try:
            form = read_start_form(pipeline, request.form)
            started = await _start(request, form)
        except ApiError as error:
            if error.status not in (409, 422):
                raise
            filled = _keep_form(pipeline, request.form)
            return make_form_view(request, pipeline, await _read_recent(request), filled, error)
        text = "This form had started the run already." if started.duplicate else "The run was started."
        return Redirect(make_path("runs", started.id), PageNotice(text))


async def _read_pipeline(request: PageRequest) -> PipelineDocument:
    """The pipeline; raises `ApiError` if the visitor may not start it, or if nothing of it is served."""
    pipeline = await request.read("get_pipeline", PipelineDocument, pipeline=request.path["pipeline"])
    if not request.may("start"):
        raise ApiError(403, "starting a run needs a key with the scope `start`, and yours has the scope `read`")
    if pipeline.version is None:
        raise ApiError(409, f"the file {pipeline.file} cannot be served, so {pipeline.id} cannot run: mend it first")
    return pipeline


async def _read_recent(request: PageRequest) -> list[GivenInputsDocument]:
    found = await request.read("list_recent_inputs", RecentInputsDocument, pipeline=request.path["pipeline"])
    return found.recent


async def _start(request: PageRequest, form: StartForm) -> StartedDocument:
    body: dict[str, JSON] = {"inputs": form.inputs or {}, "tags": list(_split_tags(form.tags))}
    if form.delay.strip():
        body["delay"] = form.delay.strip()
    given = hashlib.sha256(msgspec.json.encode(body)).hexdigest()[:HASH]
    named = {"pipeline": request.path["pipeline"], "Idempotency-Key": f"form-{form.token}-{given}"}
    return await request.act("start_run", StartedDocument, named, body)


def read_start_form(pipeline: PipelineDocument, sent: Mapping[str, str]) -> StartForm:
    """What was filled in; raises `ApiError` if the inputs are not a JSON object."""
    form = _keep_form(pipeline, sent)
    if form.text is None:
        return form
    try:
        inputs = decode(form.text) if form.text.strip() else {}
    except NotJSON as error:
        raise ApiError.invalid([Mistake(name="inputs", detail=f"it is not JSON: {error}")]) from None
    if not isinstance(inputs, dict):
        what = 'it must be an object with the inputs by name, such as {"total": 3}'
        raise ApiError.invalid([Mistake(name="inputs", detail=what)])
    return msgspec.structs.replace(form, inputs=inputs)


def _keep_form(pipeline: PipelineDocument, sent: Mapping[str, str]) -> StartForm:
    """What was filled in, as it is."""
    token = sent.get("token", "") if re.fullmatch("[0-9a-f]{32}", sent.get("token", "")) else uuid4().hex
    text = sent.get("inputs")
    inputs = read_form(pipeline.inputs, dict(sent)) if text is None else None
    return StartForm(token, inputs, text, sent.get("tags", ""), sent.get("delay", ""))


def _split_tags(text: str) -> Sequence[str]:
    return re.findall(r"[^\s,]+", text)


def make_form_view(
    request: PageRequest,
    pipeline: PipelineDocument,
    recent: Sequence[GivenInputsDocument],
    form: StartForm,
    error: ApiError | None = None,
) -> View:
    """The page of a form, with what is wrong beside the fields, and above them what concerns none of them."""
    fields = [] if form.text is not None else build_form(pipeline.inputs, form.inputs)
    names = {"inputs", "delay", "tags", *(field.name for field in fields)}
    wrong, rest = sort_mistakes(error.mistakes if error else (), names)
    here = make_path("pipelines", pipeline.id, "start")
    values = {
        "pipeline": pipeline,
        "fields": fields,
        "form": form,
        "wrong": wrong,
        "rest": rest,
        "refusal": f"{error}." if error and not error.mistakes else None,
        "recent": [
            (make_link(here, like=each.run, **request.pick("as")), summarize_inputs(each.inputs, pipeline.inputs), each)
            for each in recent
        ],
        "other": make_link(here, **({} if form.text is not None else {"as": "json"})),
    }
    return View("start.html", values, error.status if error else 200)


def summarize_inputs(inputs: Mapping[str, JSON], schemas: Mapping[str, Any] | None) -> str:
    """Inputs in a line: those that differ from their defaults."""
    defaults = {name: schema["default"] for name, schema in (schemas or {}).items() if "default" in schema}
    given = {name: value for name, value in inputs.items() if name not in defaults or defaults[name] != value}
    return (
        " · ".join(f"{name} {msgspec.json.encode(value).decode()}" for name, value in given.items()) or "only defaults"
    )


def sort_mistakes(mistakes: Sequence[Mistake], names: set[str]) -> tuple[dict[str, str], list[Mistake]]:
    """The mistakes in fields, by the field's name, and the others. `inputs.lines.0: …` is one in the field `lines`."""
    wrong: dict[str, str] = {}
    rest: list[Mistake] = []
    for each in mistakes:
        name, _, inner = each.name.removeprefix(INPUTS).partition(".")
        if name not in names:
            rest.append(each)
            continue
        text = f"{inner}: {each.detail}" if inner else each.detail
        wrong[name] = f"{wrong[name]}; {text}" if name in wrong else text
    return wrong, rest
