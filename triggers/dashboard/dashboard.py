"""The dashboard: its pages, the routes made of them, and how a request for one is answered."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from itertools import groupby
from urllib.parse import quote, unquote

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Match, Route

from triggers.api.api import answer_http_exception
from triggers.api.calls import OperationCalls
from triggers.api.problem import ApiError, make_api_error
from triggers.audit import Caller, find_address
from triggers.dashboard.badges import Badges
from triggers.dashboard.entrance import answer_program, wants_page
from triggers.dashboard.page import PageAnswer, PageNotice, PageRequest, PageRoute, Redirect, View, make_link
from triggers.dashboard.pages.audit import AuditPages
from triggers.dashboard.pages.bulks import BulkPages
from triggers.dashboard.pages.connections import ConnectionPages
from triggers.dashboard.pages.connectors import ConnectorPages
from triggers.dashboard.pages.deliveries import DeliveryPages
from triggers.dashboard.pages.errors import ErrorPages
from triggers.dashboard.pages.events import EventPages
from triggers.dashboard.pages.find import FindPages
from triggers.dashboard.pages.home import HomePages
from triggers.dashboard.pages.pipelines import PipelinePages
from triggers.dashboard.pages.queues import QueuePages
from triggers.dashboard.pages.run import RunPage
from triggers.dashboard.pages.runs import RunPages
from triggers.dashboard.pages.schedules import SchedulePages
from triggers.dashboard.pages.settings import SettingsPages
from triggers.dashboard.pages.starts import StartPages
from triggers.dashboard.pages.waits import WaitPages
from triggers.dashboard.renderer import Renderer
from triggers.dashboard.stream import (
    SIGNED_OUT,
    LiveBlocks,
    OpenPages,
    PageEvents,
    RenderLive,
    is_other_build,
    read_known,
)
from triggers.html.assets import ASSETS
from triggers.html.headers import respond_page
from triggers.html.message import render_message
from triggers.http.body import BodyLimits, read_body, read_query
from triggers.keys import KeyHolder
from triggers.realtime.events import StreamEvent, make_event
from triggers.realtime.permit import StreamPermit
from triggers.realtime.sse import SseResponse
from triggers.realtime.streams import Streams
from triggers.refusals import CLOSE, CrossSiteRequest, RateExceeded, WrongHost
from triggers.sessions.visitors import Visitors

READ_SECONDS = 5
"""The time within which a page has its data. A person has left by then, and the query need not go on."""

NOTICE = "waypost_notice"
"""The cookie of a notice. The next page shows it and removes it."""

NOTICE_SECONDS = 30

NOTICE_BYTES = 1_000
"""The length of a notice, each byte of which may take three: browsers refuse a cookie of more than 4,096 bytes."""

ALL_METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")


class Dashboard:
    """Answers every request for a page."""

    def __init__(
        self,
        calls: OperationCalls,
        visitors: Visitors,
        streams: Streams,
        bounds: BodyLimits,
        now: Callable[[], int],
    ) -> None:
        self._calls = calls
        self._streams = streams
        self._open_pages = OpenPages()
        self._visitors = visitors
        self._bounds = bounds
        self._now = now
        self._badges = Badges()
        self._renderer = Renderer(self._badges)
        self.pages: list[PageRoute] = [
            *HomePages().routes(),
            *FindPages().routes(),
            *RunPages().routes(),
            *RunPage().routes(),
            *WaitPages().routes(),
            *ErrorPages().routes(),
            *BulkPages().routes(),
            *ConnectorPages().routes(),
            *ConnectionPages().routes(),
            *DeliveryPages().routes(),
            *EventPages().routes(),
            *SchedulePages().routes(),
            *PipelinePages().routes(),
            *StartPages().routes(),
            *AuditPages().routes(),
            *QueuePages().routes(),
            *SettingsPages().routes(),
        ]
        self._routes = [(Route(page.path, _do_nothing), page) for page in self.pages if page.method == "GET"]

    def app(self) -> Starlette:
        """All pages. What no page has is answered by `answer_missing`."""
        by_path = groupby(sorted(self.pages, key=lambda page: page.path), key=lambda page: page.path)
        routes = [self._make_route(path, list(pages)) for path, pages in by_path]
        app = Starlette(
            routes=[
                *ASSETS.routes(),
                Route("/stream", self._stream),
                *routes,
                Route("/{path:path}", self._answer_missing, methods=ALL_METHODS),
            ],
            middleware=[Middleware(GZipMiddleware, minimum_size=1_000, compresslevel=5)],
            exception_handlers={HTTPException: answer_http_exception},
        )
        app.router.redirect_slashes = False
        return app

    def _make_route(self, path: str, pages: Sequence[PageRoute]) -> Route:
        by_method = {page.method: page for page in pages}

        async def answer(request: Request) -> Response:
            page = by_method["POST" if request.method == "POST" else "GET"]
            return await self._answer(page, request)

        return Route(path, answer, methods=list(by_method))

    async def _answer(self, page: PageRoute, request: Request) -> Response:
        if entrance := answer_program(request):
            return entrance
        try:
            visitor = self._visitors.find(request)
        except (CrossSiteRequest, WrongHost, RateExceeded) as error:
            return _refuse(request, error)
        if visitor is None:
            return _ask_to_sign_in(request)
        if request.url.path == "/" and not visitor.may("read"):
            return RedirectResponse("/waits", 303)  # the page for a key with nothing but the grant `answer`
        try:
            asked = self._make_request(request, visitor, _get_address(request), request.path_params)
            if page.method == "POST":
                asked = replace(asked, choices=await self._read_form(request))
            async with asyncio.timeout(READ_SECONDS if page.method == "GET" else None):
                shown = await page.show(asked)
                if page.method == "POST":
                    self._badges.expire()
                if isinstance(shown, View):
                    await self._badges.refresh(asked)
            return await self._respond(shown, asked, request)
        except ClientDisconnect:
            return Response(status_code=400)  # the browser has gone
        except TimeoutError:
            slow = ApiError(503, f"this takes more than {READ_SECONDS} s; narrow what is asked for, or try again")
            return await self._render_problem(slow, request, visitor)
        except Exception as error:  # noqa: BLE001  # every error becomes a page
            problem = make_api_error(error)
            if page.method == "POST" and problem.status < 500:
                text = str(problem)
                notice = PageNotice(f"{text[:1].upper()}{text[1:]}.", "bad")
                return _redirect(Redirect(_find_origin(request), notice))
            return await self._render_problem(problem, request, visitor)

    def _make_request(self, request: Request, visitor: KeyHolder, url: str, path: Mapping[str, str]) -> PageRequest:
        """The request of a page at an address; raises `BadRequest`."""
        pairs = read_query(url.partition("?")[2].encode("latin-1", "replace"))
        origin = f"{request.url.scheme}://{request.url.netloc}"
        query = {name: value for name, value in pairs if value}
        caller = Caller(visitor, "dashboard", find_address(request))
        return PageRequest(caller, self._calls, self._now(), origin, url, path, query, {})

    async def _read_form(self, request: Request) -> dict[str, list[str]]:
        choices: dict[str, list[str]] = {}
        for name, value in read_query(await read_body(request, self._bounds)):
            choices.setdefault(name, []).append(value)
        return choices

    # -- live updates

    async def _stream(self, request: Request) -> Response:
        """Send the live blocks of a page whenever they change."""
        try:
            visitor = self._visitors.find(request)
            if visitor is None:
                raise ApiError(401, "you are not signed in")
            self._streams.ensure_room()
            url = request.query_params.get("page", "")
            page, path = self._find_page(url)
            render = partial(self._render_live, request, visitor, page, url, path)
        except Exception as error:  # noqa: BLE001  # every error becomes an answer
            return make_api_error(error).response()
        return SseResponse(self._follow(render, request, visitor, url))

    def _find_page(self, url: str) -> tuple[PageRoute, Mapping[str, str]]:
        """The page at an address, with the parameters in its path; raises `ApiError`."""
        scope = {"type": "http", "method": "GET", "path": unquote(url.partition("?")[0]), "root_path": ""}
        for route, page in self._routes:
            match, found = route.matches(scope)
            if match is Match.FULL:
                return page, found["path_params"]
        raise ApiError(404, "there is no page at that address")

    async def _render_live(
        self, request: Request, visitor: KeyHolder, page: PageRoute, url: str, path: Mapping[str, str]
    ) -> LiveBlocks:
        async with asyncio.timeout(READ_SECONDS):
            view = await page.show(self._make_request(request, visitor, url, path))
        if not isinstance(view, View):
            return LiveBlocks({}, ())
        return LiveBlocks(await asyncio.to_thread(self._renderer.render_blocks, view, url, visitor), view.watches)

    async def _follow(
        self, render: RenderLive, request: Request, visitor: KeyHolder, url: str
    ) -> AsyncGenerator[Sequence[StreamEvent], None]:
        turn = self._open_pages.open(url, visitor, render)  # not before: a client may leave before the first event
        try:
            if is_other_build(request):
                yield [make_event("bye", {"why": "updated"})]
                return
            try:
                topics = (await turn.render()).watches
            except Exception as error:  # noqa: BLE001  # what the page shows may be gone
                yield [make_event("problem", make_api_error(error).document())]
                return

            def is_signed_in() -> bool:
                return self._visitors.find(request) is not None

            source = PageEvents(turn, topics, read_known(request), is_signed_in)
            async for events in self._streams.follow(source, StreamPermit(visitor.key, "history")):
                yield events
            if not is_signed_in():
                yield [SIGNED_OUT]
        finally:
            self._open_pages.close(url, visitor)

    # -- answers

    async def _respond(self, shown: PageAnswer, asked: PageRequest, request: Request) -> Response:
        match shown:
            case View():
                return await self._render(shown, asked.url, request, asked.visitor)
            case Redirect():
                return _redirect(shown)
        return shown

    async def _render(self, view: View, url: str, request: Request, visitor: KeyHolder) -> Response:
        notice = _read_notice(request)
        text = await asyncio.to_thread(self._renderer.render, view, url, visitor, notice)
        response = respond_page(text, view.status)
        if notice:
            response.delete_cookie(NOTICE)
        return response

    async def _render_problem(self, problem: ApiError, request: Request, visitor: KeyHolder) -> Response:
        view = View("problem.html", {"problem": problem.document()}, problem.status)
        return await self._render(view, request.url.path, request, visitor)

    async def _answer_missing(self, request: Request) -> Response:
        """Say that there is no such page: as a page to people, as problem details to programs."""
        if entrance := answer_program(request):
            return entrance
        try:
            visitor = self._visitors.find(request)
        except (CrossSiteRequest, WrongHost, RateExceeded):
            visitor = None
        if visitor is None or not wants_page(request):
            return await answer_http_exception(request, HTTPException(404))
        return await self._render_problem(ApiError(404, f"there is no page {request.url.path}"), request, visitor)


async def _do_nothing(request: Request) -> Response:
    return Response()


def _get_address(request: Request) -> str:
    return request.url.path + (f"?{request.url.query}" if request.url.query else "")


def _refuse(request: Request, error: Exception) -> Response:
    """Refuse a request that a session does not cover, in words for whoever reads the answer."""
    problem = make_api_error(error)
    if not wants_page(request):
        return problem.response()
    return respond_page(render_message(problem.document().title, f"{problem}."), problem.status, problem.headers)


def _ask_to_sign_in(request: Request) -> Response:
    if request.method == "GET":
        query = f"?{request.url.query}" if request.url.query else ""
        return RedirectResponse(make_link("/sign-in", next=f"{request.url.path}{query}"), 303)
    text = "nothing was done, because you are not signed in; sign in, and do it again"
    return _refuse(request, ApiError(401, text, CLOSE))  # its form was not read


def _find_origin(request: Request) -> str:
    """The page from which a form was sent, for a refusal of it; a path of this service in any case."""
    referer = request.headers.get("referer", "")
    _, _, rest = referer.partition("://")
    _, slash, path = rest.partition("/")
    return f"/{path.lstrip('/')}" if slash else "/"


def _redirect(redirect: Redirect) -> Response:
    response = RedirectResponse(redirect.to, 303)
    if redirect.notice:
        text = f"{redirect.notice.kind} {redirect.notice.text}".encode()[:NOTICE_BYTES].decode(errors="ignore")
        response.set_cookie(NOTICE, quote(text), max_age=NOTICE_SECONDS, httponly=True, samesite="lax")
    return response


def _read_notice(request: Request) -> PageNotice | None:
    kind, _, text = unquote(request.cookies.get(NOTICE, "")).partition(" ")
    return PageNotice(text, "bad" if kind == "bad" else "ok") if text else None
