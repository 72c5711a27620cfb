"""Links to waits: a link shows what is asked and answers it once, without a key.

A wrong proof, an unknown run and an unknown path get the same response after the same work. Reading never answers,
since mail scanners and chat previews open all links.
"""

import asyncio
from collections.abc import Callable, Mapping
from typing import NamedTuple

from starlette.requests import ClientDisconnect, Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route

from durable.engine import Engine, Overloaded
from durable.history.entries import RunStarted
from durable.journal.errors import JournalError
from durable.journal.journal import Journal
from durable.language.headers import CREDENTIALS
from durable.links import is_proof
from durable.media_type import FORM, parse_media_type
from durable.values import JSON
from triggers.audit import AuditLog, Caller, find_address
from triggers.documents.fields import format_time
from triggers.html.headers import PAGE_HEADERS
from triggers.html.message import render_message
from triggers.http.body import BadRequest, BodyLimits, parse_body, read_body, read_query
from triggers.http.rate_limit import RateLimiter
from triggers.http.urlencoded import collect_pairs
from triggers.refusals import CLOSE, RateExceeded, find_refusal
from triggers.waits import answer, page
from triggers.waits.answer import AnswerProblem, AnswerRefused
from triggers.waits.form import PREFIX, read_form
from triggers.waits.proofs import WAITS_PREFIX
from triggers.waits.question import Question
from triggers.waits.wait import Standing, Wait, find_linked_wait, load_state

ANSWERED_BY = "link"
"""Who answers with a link, as far as that is known."""

WITHHELD = CREDENTIALS | {"referer"}
"""Headers that an answer does not keep: credentials, and the one that may contain the link itself."""

COMMENT_LIMIT = 1_000

HEADERS = {**PAGE_HEADERS, "Referrer-Policy": "no-referrer", "X-Robots-Tag": "noindex"}
"""Those of answers about a wait, whose address is a secret."""


class WaitReply(NamedTuple):
    """A response about a wait, for programs and for people."""

    status: int
    title: str
    text: str


TAKEN = WaitReply(202, "Thank you", "The answer was taken.")
ANSWERED = WaitReply(409, "Nothing more to answer", "This was answered already, or is not asked any more.")
UNKNOWN = WaitReply(409, "Not asked yet", "What is to be filled in is not known yet; try again later.")
ENDED = WaitReply(410, "Nothing more to answer", "The run that asked this has ended.")
MISSING = WaitReply(404, "Nothing is here", "There is nothing to answer at this address.")
TITLES = {429: "Too many requests", 503: "Not now"}
UNREADABLE = "This cannot be read"
"""The titles of the pages of refusals by their status, and the one of any other."""

REPLIES: Mapping[Standing, WaitReply] = {"over": ANSWERED, "unknown": UNKNOWN, "ended": ENDED}

_DECOY = "decoy"


class WaitLinks:
    """Answers every request below `/waits`."""

    def __init__(
        self,
        engine: Engine,
        journal: Journal,
        now: Callable[[], int],
        bounds: BodyLimits,
        addresses: RateLimiter,
        audit: AuditLog,
    ) -> None:
        self._engine = engine
        self._journal = journal
        self._now = now
        self._bounds = bounds
        self._addresses = addresses
        self._audit = audit

    def routes(self) -> list[Route]:
        return [Route(f"{WAITS_PREFIX}/{{run}}/{{path}}/{{proof}}", self.answer, methods=["GET", "POST"])]

    async def answer(self, request: Request) -> Response:
        """Show what is asked, or take the answer."""
        try:
            if seconds := self._addresses.take_for(request.scope):
                raise RateExceeded("too many requests", seconds)
            wait = await self._find(request)
            if wait is None:
                return _render_reply(request, MISSING, CLOSE)  # its body, if it has one, was not read
            return await (self._take(request, wait) if request.method == "POST" else self._show(request, wait))
        except ClientDisconnect:
            return Response(status_code=400)  # the client is gone
        except (BadRequest, RateExceeded, Overloaded, JournalError) as error:
            refusal = find_refusal(error)
            text = f"{refusal.detail[:1].upper()}{refusal.detail[1:]}."
            reply = WaitReply(refusal.status, TITLES.get(refusal.status, UNREADABLE), text)
            return _render_reply(request, reply, refusal.headers)

    async def _find(self, request: Request) -> Wait | None:
        """The wait that a link leads to; None unless its proof is right."""
        run, path, given = (request.path_params[name] for name in ("run", "path", "proof"))
        beginning = await self._journal.read_history(run, limit=1)
        started = beginning[0][1] if beginning else None
        links = started.links if isinstance(started, RunStarted) else None
        if not is_proof(given, links.key if links else _DECOY, run, path) or links is None:
            return None
        found = await self._journal.find_run(run)
        sequence = found.sequence if found else 0
        return await self._journal.scan(lambda scan: find_linked_wait(scan, load_state(scan, run), path), sequence)

    async def _show(self, request: Request, wait: Wait) -> Response:
        if refusal := REPLIES.get(wait.standing):
            shown = refusal if refusal.status == 410 else refusal._replace(status=200)
            return _render_reply(request, shown)
        assert wait.question
        if _wants_json(request):
            return JSONResponse(_describe_question(wait.question, wait.standing), headers=HEADERS)
        # The fields come from the run's data, which decides how long their page is.
        text = await asyncio.to_thread(page.render_question, wait.question, is_early=wait.standing == "early")
        return HTMLResponse(text, headers=HEADERS)

    async def _take(self, request: Request, wait: Wait) -> Response:
        body = await read_body(request, self._bounds)
        if refusal := REPLIES.get(wait.standing):
            return _render_reply(request, refusal)
        assert wait.question
        sent = parse_body(body, request.headers.get("content-type"))
        try:
            data = self._build_answer(request, wait.question, sent)
        except AnswerRefused as refused:
            return _render_refused(request, wait.question, sent, refused)
        return _render_reply(request, await self._post(request, wait, wait.question, data))

    async def _post(self, request: Request, wait: Wait, question: Question, data: JSON) -> WaitReply:
        """Give an answer to the run. The decision of a person is recorded in the audit log; what a program sends is
        recorded in the history, as a delivery is in its place."""
        run = request.path_params["run"]
        record = None
        if question.kind == "approval":
            caller = Caller(None, "link", find_address(request))
            reason = data["comment"] if isinstance(data, dict) else None
            record = await self._audit.begin(caller, "answer_run", "run", run, str(reason) if reason else None)
        outcome = await self._engine.answer(run, wait.step, wait.name, data, ANSWERED_BY)
        reply = {"answered": ANSWERED, "ended": ENDED}.get(outcome, TAKEN)
        if record:
            await self._audit.end(record, reply.status)
        return reply

    def _build_answer(self, request: Request, question: Question, sent: JSON) -> JSON:
        """The answer in the form that the run gets; raises `AnswerRefused`."""
        at = self._now()
        if question.kind == "webhook":
            headers = collect_pairs(pair for pair in request.headers.items() if pair[0] not in WITHHELD)
            query = collect_pairs(read_query(request.scope["query_string"]))
            return answer.build_webhook_answer(sent, query=query, headers=headers, method=request.method, at=at)
        said = _read_decision(question, sent) if _is_form(request) else _check_decision(sent)
        return answer.build_approval(
            question.fields, approved=said.approved, by=ANSWERED_BY, comment=said.comment, fields=said.fields, at=at
        )


# -- reading an answer ------------------------------------------------------------------------------------------


class ApprovalAnswer(NamedTuple):
    """A person's answer to an approval."""

    approved: bool
    comment: str | None
    fields: Mapping[str, JSON]


def _read_decision(question: Question, sent: JSON) -> ApprovalAnswer:
    """The decision of a submitted form."""
    form = sent if isinstance(sent, dict) else {}
    approved = {"true": True, "false": False}.get(str(form.get("approved")))
    rest = {name: value for name, value in form.items() if not name.startswith(PREFIX)}
    given = {**rest, "approved": approved, "comment": form.get("comment") or None}
    return _check_decision({**given, "fields": read_form(question.fields, form)})


def _check_decision(sent: JSON) -> ApprovalAnswer:
    """A decision in JSON; raises `AnswerRefused`."""
    if not isinstance(sent, dict):
        raise AnswerRefused([AnswerProblem("body", "it should be a JSON object with `approved`")])
    approved, comment, fields = sent.get("approved"), sent.get("comment"), sent.get("fields")
    strange = sent.keys() - set(ApprovalAnswer._fields)
    wrong = [AnswerProblem(name[:60], "there is no such name") for name in strange][:10]
    if not isinstance(approved, bool):
        wrong.append(AnswerProblem("approved", "say true or false"))
    if comment is not None and not (isinstance(comment, str) and len(comment) <= COMMENT_LIMIT):
        wrong.append(AnswerProblem("comment", f"it should be text of {COMMENT_LIMIT} characters at most"))
    if fields is not None and not isinstance(fields, dict):
        wrong.append(AnswerProblem("fields", "it should be a JSON object, by name"))
    if wrong:
        raise AnswerRefused(wrong)
    return ApprovalAnswer(
        bool(approved), comment if isinstance(comment, str) else None, fields if isinstance(fields, dict) else {}
    )


def _is_form(request: Request) -> bool:
    return parse_media_type(request.headers.get("content-type", "")).kind == FORM


# -- saying -----------------------------------------------------------------------------------------------------


def _wants_json(request: Request) -> bool:
    """Programs get JSON: those that accept JSON and not HTML, and those that send something other than the page's
    form."""
    accepted = request.headers.get("accept", "")
    if "text/html" in accepted:
        return False
    return "application/json" in accepted or (request.method == "POST" and not _is_form(request))


def _render_reply(request: Request, reply: WaitReply, headers: Mapping[str, str] | None = None) -> Response:
    more = {**HEADERS, **(headers or {})}
    if _wants_json(request):
        is_taken = reply.status < 400
        body = {"status": "taken" if reply is TAKEN else "over"} if is_taken else {"error": reply.text}
        return JSONResponse(body, reply.status, more)
    return HTMLResponse(render_message(reply.title, reply.text), reply.status, more)


def _render_refused(request: Request, question: Question, sent: JSON, refused: AnswerRefused) -> Response:
    if _wants_json(request):
        errors = [{"name": name, "detail": detail} for name, detail in refused.problems]
        return JSONResponse({"error": str(refused), "errors": errors}, 422, HEADERS)
    form = sent if isinstance(sent, dict) else {}
    comment = form.get("comment")
    shown = page.render_question(
        question,
        wrong=refused.problems,
        filled=read_form(question.fields, form),
        comment=comment if isinstance(comment, str) else "",
    )
    return HTMLResponse(shown, 422, HEADERS)


def _describe_question(question: Question, standing: Standing) -> dict[str, JSON]:
    return {
        "status": standing,
        "kind": question.kind,
        "title": question.title,
        "to": list(question.to),
        "fields": question.fields,
        "due_at": format_time(question.due),
    }
