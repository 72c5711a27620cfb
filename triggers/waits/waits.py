"""Links to waits: whoever has one reads what is asked, and answers it once.

A wrong proof, an unknown run and an unknown path get the same answer for the same work. Reading never answers, as mail
scanners and chat previews open every link that they see.
"""

import asyncio
from collections.abc import Callable, Mapping
from typing import NamedTuple

from starlette.requests import ClientDisconnect, Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route

from durable.history.entries import RunStarted
from durable.journal import Journal, JournalError
from durable.language.headers import CREDENTIALS
from durable.links import is_proof
from durable.media_type import FORM, parse_media_type
from durable.runner import Overloaded, Runner
from durable.values import JSON
from triggers.body import Bounds, Unreadable, parse, read_body, read_query
from triggers.limits import Limiter, network_of
from triggers.runs import format_time
from triggers.urlencoded import collect
from triggers.waits import answer, page
from triggers.waits.answer import Misfit, Unfit
from triggers.waits.form import PREFIX, filled_in
from triggers.waits.question import Question
from triggers.waits.wait import Standing, Wait, linked, state_of

BY = "link"
"""Who answers with a link, as far as anybody knows."""

WITHHELD = CREDENTIALS | {"referer"}
"""Headers that an answer does not keep: credentials, and where the link itself may stand."""

COMMENT_LIMIT = 1_000

HEADERS = {
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Robots-Tag": "noindex",
    "Content-Security-Policy": page.POLICY,
}


class Reply(NamedTuple):
    """What is said of a wait that is not, or no more, to be answered: to programs and to people."""

    status: int
    title: str
    said: str


TAKEN = Reply(202, "Thank you", "The answer was taken.")
ANSWERED = Reply(409, "Nothing more to answer", "This was answered already, or is not asked any more.")
UNKNOWN = Reply(409, "Not asked yet", "What is to be filled in is not known yet; try again later.")
ENDED = Reply(410, "Nothing more to answer", "The run that asked this has ended.")
MISSING = Reply(404, "Nothing is here", "There is nothing to answer at this address.")
REFUSALS: Mapping[Standing, Reply] = {"over": ANSWERED, "unknown": UNKNOWN, "ended": ENDED}

_DECOY = "decoy"


class Waits:
    """Answers every request below `/waits`."""

    def __init__(
        self, runner: Runner, journal: Journal, now: Callable[[], int], bounds: Bounds, addresses: Limiter
    ) -> None:
        self._runner = runner
        self._journal = journal
        self._now = now
        self._bounds = bounds
        self._addresses = addresses

    def routes(self) -> list[Route]:
        return [Route("/waits/{run}/{path}/{proof}", self.answer, methods=["GET", "POST"])]

    async def answer(self, request: Request) -> Response:
        """Tell what is asked, or take the answer to it."""
        address = network_of(request.client.host) if request.client else ""
        if seconds := self._addresses.take(address):
            reply = Reply(429, "Too many requests", f"Try again in {seconds} s.")
            return _said(request, reply, {"Retry-After": str(seconds), "Connection": "close"})
        try:
            wait = await self._find(request)
            if wait is None:
                return _said(request, MISSING, {"Connection": "close"})  # its body, if it has one, was not read
            return await (self._take(request, wait) if request.method == "POST" else self._show(request, wait))
        except Unreadable as unreadable:
            headers = {"Connection": "close"} if unreadable.status in (408, 413) else {}
            return _said(request, Reply(unreadable.status, "This cannot be read", str(unreadable)), headers)
        except ClientDisconnect:
            return Response(status_code=400)  # nobody is left to read it
        except Overloaded as overloaded:
            return _said(request, _later(str(overloaded)), {"Retry-After": str(overloaded.retry_after)})
        except JournalError as error:
            return _said(request, _later(str(error)), {"Retry-After": "5"})

    async def _find(self, request: Request) -> Wait | None:
        """The wait that the link leads to; None unless its proof is right."""
        run, path, given = (request.path_params[name] for name in ("run", "path", "proof"))
        beginning = await self._journal.history(run, limit=1)
        started = beginning[0][1] if beginning else None
        links = started.links if isinstance(started, RunStarted) else None
        if not is_proof(given, links.key if links else _DECOY, run, path) or links is None:
            return None
        found = await self._journal.run(run)
        sequence = found.sequence if found else 0
        return await self._journal.scan(lambda scan: linked(scan, state_of(scan, run), path), sequence)

    async def _show(self, request: Request, wait: Wait) -> Response:
        if refusal := REFUSALS.get(wait.standing):
            shown = refusal if refusal.status == 410 else refusal._replace(status=200)
            return _said(request, shown)
        assert wait.question
        if _wants_json(request):
            return JSONResponse(_told(wait.question, wait.standing), headers=HEADERS)
        # The fields come from the run's data, which decides how long their page is.
        text = await asyncio.to_thread(page.asking, wait.question, is_early=wait.standing == "early")
        return HTMLResponse(text, headers=HEADERS)

    async def _take(self, request: Request, wait: Wait) -> Response:
        body = await read_body(request, self._bounds)
        if refusal := REFUSALS.get(wait.standing):
            return _said(request, refusal)
        assert wait.question
        sent = parse(body, request.headers.get("content-type"))
        try:
            data = self._answer(request, wait.question, sent)
        except Unfit as unfit:
            return _unfit(request, wait.question, sent, unfit)
        outcome = await self._runner.answer(request.path_params["run"], wait.step, wait.name, data)
        return _said(request, {"answered": ANSWERED, "ended": ENDED}.get(outcome, TAKEN))

    def _answer(self, request: Request, question: Question, sent: JSON) -> JSON:
        """The answer as the run gets it; raises `Unfit`."""
        at = self._now()
        if question.kind == "webhook":
            headers = collect(pair for pair in request.headers.items() if pair[0] not in WITHHELD)
            query = collect(read_query(request.scope["query_string"]))
            return answer.request(sent, query=query, headers=headers, method=request.method, at=at)
        said = _decision(question, sent) if _is_form(request) else _checked(sent)
        return answer.approval(
            question.fields, approved=said.approved, by=BY, comment=said.comment, fields=said.fields, at=at
        )


# -- reading an answer ------------------------------------------------------------------------------------------


class Decision(NamedTuple):
    """What a person said to an approval."""

    approved: bool
    comment: str | None
    fields: Mapping[str, JSON]


def _decision(question: Question, sent: JSON) -> Decision:
    """A decision that was sent with the form."""
    form = sent if isinstance(sent, dict) else {}
    approved = {"true": True, "false": False}.get(str(form.get("approved")))
    rest = {name: value for name, value in form.items() if not name.startswith(PREFIX)}
    given = {**rest, "approved": approved, "comment": form.get("comment") or None}
    return _checked({**given, "fields": filled_in(question.fields, form)})


def _checked(sent: JSON) -> Decision:
    """A decision as JSON; raises `Unfit`."""
    if not isinstance(sent, dict):
        raise Unfit([Misfit("body", "it should be a JSON object with `approved`")])
    approved, comment, fields = sent.get("approved"), sent.get("comment"), sent.get("fields")
    wrong = [Misfit(name[:60], "there is no such name") for name in sent.keys() - set(Decision._fields)][:10]
    if not isinstance(approved, bool):
        wrong.append(Misfit("approved", "say true or false"))
    if comment is not None and not (isinstance(comment, str) and len(comment) <= COMMENT_LIMIT):
        wrong.append(Misfit("comment", f"it should be text of {COMMENT_LIMIT} characters at most"))
    if fields is not None and not isinstance(fields, dict):
        wrong.append(Misfit("fields", "it should be a JSON object, by name"))
    if wrong:
        raise Unfit(wrong)
    return Decision(
        bool(approved), comment if isinstance(comment, str) else None, fields if isinstance(fields, dict) else {}
    )


def _is_form(request: Request) -> bool:
    return parse_media_type(request.headers.get("content-type", "")).kind == FORM


# -- saying -----------------------------------------------------------------------------------------------------


def _wants_json(request: Request) -> bool:
    """Programs get JSON: who asks for it and for no page, and who sends something else than the page's form."""
    accepted = request.headers.get("accept", "")
    if "text/html" in accepted:
        return False
    return "application/json" in accepted or (request.method == "POST" and not _is_form(request))


def _said(request: Request, reply: Reply, headers: Mapping[str, str] | None = None) -> Response:
    more = {**HEADERS, **(headers or {})}
    if _wants_json(request):
        is_taken = reply.status < 400
        body = {"status": "taken" if reply is TAKEN else "over"} if is_taken else {"error": reply.said}
        return JSONResponse(body, reply.status, more)
    return HTMLResponse(page.saying(reply.title, reply.said), reply.status, more)


def _unfit(request: Request, question: Question, sent: JSON, unfit: Unfit) -> Response:
    if _wants_json(request):
        errors = [{"name": name, "detail": detail} for name, detail in unfit.misfits]
        return JSONResponse({"error": str(unfit), "errors": errors}, 422, HEADERS)
    form = sent if isinstance(sent, dict) else {}
    comment = form.get("comment")
    shown = page.asking(
        question,
        wrong=unfit.misfits,
        filled=filled_in(question.fields, form),
        comment=comment if isinstance(comment, str) else "",
    )
    return HTMLResponse(shown, 422, HEADERS)


def _told(question: Question, standing: Standing) -> dict[str, JSON]:
    return {
        "status": standing,
        "kind": question.kind,
        "title": question.title,
        "to": list(question.to),
        "fields": question.fields,
        "due_at": format_time(question.due),
    }


def _later(said: str) -> Reply:
    return Reply(503, "Not now", f"{said[:1].upper()}{said[1:]}. Try again in a moment.")
