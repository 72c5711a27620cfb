"""Operations on waits: list them, answer, resolve a step, resume a run."""

from collections.abc import Callable, Collection, Sequence
from typing import Annotated, Any, TypeAlias, TypeVar

from pydantic import Field, StringConstraints
from starlette.responses import Response

from durable.engine import Engine
from durable.history.state import State, StepState
from durable.history.words import Verdict
from durable.journal.journal import Journal
from durable.journal.scan import Scan
from durable.path import find_step_path
from durable.values import JSON
from durable.wording import quote, suggest
from triggers.api.operation import ApiRequest, Body, Nothing, Operation, Parameters, respond
from triggers.api.problem import ApiError
from triggers.api.runs import OneRun
from triggers.api.value_types import Limit, Reason, WaitCursor
from triggers.documents.runs import TakenDocument
from triggers.documents.waits import PendingKind, PendingListDocument
from triggers.problem_details import Mistake
from triggers.runs.rows import find_run
from triggers.runs.waits import list_waits, list_waits_of
from triggers.waits import answer
from triggers.waits.question import Question
from triggers.waits.wait import Wait, find_action, find_waits, load_state

Path: TypeAlias = Annotated[str, StringConstraints(min_length=1, max_length=500)]
Found = TypeVar("Found")

# -- what is asked ----------------------------------------------------------------------------------------------


class ManyWaits(Parameters):
    run: str | None = Field(None, description="Only those of this run")
    after: WaitCursor | None = Field(None, description="Continue there: the `after` of the previous page")
    limit: Limit = Field(
        100,
        description="How many unfinished runs are looked at, at most, each of which may wait for several things; "
        "with `run`, how many waits there are at most",
    )


class AnswerBody(Body):
    """An answer to a wait: `approved` decides on an approval, `data` is the body for a webhook."""

    step: Path = Field(description="The path of the step that waits")
    name: str | None = Field(None, description="Which of the waits of a `wait.any`")
    approved: bool | None = Field(None, description="The decision on an approval")
    comment: Reason | None = Field(None, description="Why, for those who read it")
    fields: dict[str, Any] | None = Field(None, description="What an approval wants filled in, by name")
    data: Any = Field(None, description="What comes to a webhook, as its body")


class Resolution(Body):
    """What a person knows of a step that is uncertain, or has used up its attempts."""

    step: Path = Field(description="The path of the step")
    verdict: Verdict = Field(
        description="It happened, with this output; it did not, and is attempted again; it failed for good"
    )
    output: Any = Field(None, description="The output of a step that happened")
    reason: Reason | None = Field(None, description="How that is known, for those who read it")


class Resumption(Body):
    """Why a paused run is to go on."""

    reason: Reason | None = Field(None, description="The reason, for those who read it later")


# -- what answers -----------------------------------------------------------------------------------------------

ANSWERABLE: Collection[PendingKind] = ("approval", "webhook", "decision")
"""What is answered or resolved; an event comes by another way, and a paused run is resumed."""

NO_STEP = "There is no such run, or no such step in it"


class WaitOperations:
    """Lists waits, and takes answers and decisions."""

    def __init__(self, engine: Engine, journal: Journal, now: Callable[[], int], waits_url: str) -> None:
        self._engine = engine
        self._journal = journal
        self._now = now
        self._waits_url = waits_url

    def operations(self) -> list[Operation[Any, Any]]:
        taken = {202: TakenDocument}
        return [
            Operation(
                *("GET", "/waits", self.list_waits, "read", ManyWaits, Nothing, {200: PendingListDocument}),
                problems={404: "There is no such run"},
                grant="answer",
            ),
            Operation(
                *("POST", "/runs/{run}/answer", self.answer_run, "start", OneRun, AnswerBody, taken),
                problems={404: NO_STEP, 409: "It does not wait, or was answered already"},
                grant="answer",
            ),
            Operation(
                *("POST", "/runs/{run}/resolve", self.resolve_step, "start", OneRun, Resolution, taken),
                problems={404: NO_STEP, 409: "The step needs no decision"},
                grant="answer",
            ),
            Operation(
                *("POST", "/runs/{run}/resume", self.resume_run, "start", OneRun, Resumption, taken),
                problems={409: "The run is not paused, or waits for a decision on a step"},
            ),
        ]

    async def list_waits(self, asked: ApiRequest[ManyWaits, Nothing]) -> Response:
        """List what runs wait for that does not come by itself: answers, events, decisions. A key with nothing but the
        grant `answer` gets what it may answer."""
        wanted, may_answer, url = asked.parameters, asked.may_answer, self._waits_url
        if wanted.run is not None:
            path = wanted.after.partition("/")[2] if wanted.after else None
            page = await list_waits_of(
                self._journal, wanted.run, path, wanted.limit, may_answer=may_answer, waits_url=url
            )
        else:
            page = await list_waits(self._journal, wanted.after, wanted.limit, may_answer=may_answer, waits_url=url)
        waits, after = page
        if not asked.by.may("read"):
            waits = [each for each in waits if each.kind in ANSWERABLE]
        return respond(PendingListDocument(waits, after))

    async def answer_run(self, asked: ApiRequest[OneRun, AnswerBody]) -> Response:
        """Answer what a step waits for, unless another answer, an event or the time came first. Answered once it is
        durable."""
        run, given = asked.parameters.run, asked.body
        wait = await self._scan(run, lambda scan: _find_wait(scan, load_state(scan, run), given.step, given.name))
        question = _ensure_asked(wait)
        data = self._answer(question, given, asked.by.name)
        outcome = await self._engine.answer(run, wait.step, wait.name, data, asked.by.name)
        if outcome == "answered":
            raise ApiError(409, f"step {quote(wait.step)} was answered already, or is over")
        return await self._confirm(run, is_taken=outcome != "ended")

    async def resolve_step(self, asked: ApiRequest[OneRun, Resolution]) -> Response:
        """Say what became of a step that is uncertain, or has used up its attempts. Answered once it is durable."""
        run, given = asked.parameters.run, asked.body
        path = find_step_path(given.step)
        step = await self._scan(run, lambda scan: _find_step(scan, scan.load_state(run), path))
        if step is None or not step.needs_person:
            status = step.status if step else "pending"
            raise ApiError(409, f"step {quote(given.step)} needs no decision: it is {status}")
        if given.verdict != "completed" and given.output is not None:
            raise ApiError.invalid([Mistake(name="output", detail=f"it goes with `completed`, not `{given.verdict}`")])
        is_taken = await self._engine.resolve(
            *(run, path, given.verdict), output=given.output, by=asked.by.name, reason=given.reason
        )
        return await self._confirm(run, is_taken=is_taken)

    async def resume_run(self, asked: ApiRequest[OneRun, Resumption]) -> Response:
        """Let a paused run go on. Answered once that is durable."""
        run = asked.parameters.run
        state = await self._scan(run, lambda scan: scan.load_state(run))
        if "" not in state.pauses:
            steps = ", ".join(map(quote, state.pauses))
            what = f"resolve {steps}" if steps else f"it is {state.status}"
            raise ApiError(409, f"run {run} is not paused as a whole: {what}")
        return await self._confirm(run, is_taken=await self._engine.resume(run, asked.by.name, asked.body.reason))

    async def _scan(self, run: str, work: Callable[[Scan], Found]) -> Found:
        """What is found in a run's history; raises `RunMissing`."""
        found = await find_run(self._journal, run)
        return await self._journal.scan(work, found.sequence)

    async def _confirm(self, run: str, *, is_taken: bool) -> Response:
        found = await find_run(self._journal, run)
        if not is_taken:
            raise ApiError(409, f"run {run} has ended already: it is {found.status}")
        return respond(TakenDocument(run, found.status), 202)

    def _answer(self, question: Question, given: AnswerBody, by: str) -> JSON:
        """The answer as the run gets it; raises `ApiError`."""
        given_fields = given.model_fields_set
        is_approval = question.kind == "approval"
        wrong = [
            Mistake(name=name, detail=f"it is nothing that a wait for {question.kind} takes")
            for name in (("data",) if is_approval else ("approved", "comment", "fields"))
            if name in given_fields
        ]
        if is_approval and given.approved is None:
            wrong.append(Mistake(name="approved", detail="it is missing; say true or false"))
        if wrong:
            raise ApiError.invalid(wrong)
        if not is_approval:
            return answer.build_webhook_answer(given.data, query={}, headers={}, method="POST", at=self._now())
        try:
            return answer.build_approval(
                question.fields,
                approved=bool(given.approved),
                by=by,
                comment=given.comment,
                fields=given.fields or {},
                at=self._now(),
            )
        except answer.AnswerRefused as unfit:
            raise ApiError.invalid([Mistake(name=name, detail=detail) for name, detail in unfit.problems]) from None


def _find_step(scan: Scan, state: State, path: str) -> StepState | None:
    """The step at a path, None if it was not reached; raises `ApiError` if there is none."""
    step = state.steps.get(path)
    if step is None and find_action(scan, state, path) is None:
        raise _make_no_step(path, state)
    return step


def _find_wait(scan: Scan, state: State, step: str, name: str | None) -> Wait:
    """The wait that is meant; raises `ApiError`."""
    waits = find_waits(scan, state, step)
    if not waits:
        raise _make_no_step(step, state)
    named = {wait.name: wait for wait in waits}
    if found := named.get(name or ""):
        return found
    if name is None:
        raise ApiError.invalid([Mistake(name="name", detail=f"it is missing; {_list_names(list(named))}")])
    hint = suggest(name, named) if list(named) != [""] else "it has one wait, without a name"
    raise ApiError(404, f"step {quote(step)} has no wait {quote(name)}; {hint}")


def _ensure_asked(wait: Wait) -> Question:
    """What is asked now; raises `ApiError`."""
    if wait.standing == "asked" and wait.question:
        if wait.question.can_be_answered:
            return wait.question
        what = "an event (POST /api/events)" if wait.kind == "event" else "a time"
        raise ApiError(409, f"step {quote(wait.step)} cannot be answered: it waits for {what}")
    why = {"ended": "the run has ended", "over": "it was answered, or is over"}.get(
        wait.standing, "it was not reached yet"
    )
    raise ApiError(409, f"step {quote(wait.step)} is not waiting: {why}")


def _make_no_step(step: str, state: State) -> ApiError:
    hint = suggest(step, state.steps)
    return ApiError(404, f"the run has no such step {quote(step)}" + (f"; {hint}" if hint else ""))


def _list_names(names: Sequence[str]) -> str:
    return f"one of {', '.join(names)}"
