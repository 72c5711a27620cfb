"""The pages on which people sign in and out."""

import logging
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

from starlette.requests import ClientDisconnect, Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from triggers.audit import AuditLog, Caller, find_address
from triggers.html.environment import make_environment
from triggers.html.headers import respond_page
from triggers.html.message import render_message
from triggers.http.body import BodyLimits, read_body, read_query
from triggers.http.rate_limit import RateLimiter
from triggers.keys import Keys
from triggers.refusals import RateExceeded, find_refusal
from triggers.sessions.browser_sessions import BrowserSessions
from triggers.sessions.enter_links import ENTER, EnterLinks
from triggers.sessions.provider import ProviderUnavailable, SignInRefused
from triggers.sessions.provider_sign_in import BEGIN, CALLBACK, ProviderSignIn
from triggers.sessions.visitors import Visitors

log = logging.getLogger("waypost.sign_in")

SIGN_IN = "/sign-in"
SIGN_OUT = "/sign-out"

FORM_BYTES = 16_384
"""The largest form that is accepted from somebody who is not signed in."""

WRONG_KEY = "This key is not known, or was revoked."
VOID_LINK = "This link was used already, or is older than 10 minutes. `waypost open` makes another."
TITLES = {403: "Not accepted", 421: "Wrong address", 429: "Too many attempts", 503: "Not now"}


class SignIn:
    """Signs people in with a key or a link, and out."""

    def __init__(
        self,
        keys: Keys,
        browsers: BrowserSessions,
        visitors: Visitors,
        links: EnterLinks,
        provider: ProviderSignIn | None,
        guesses: RateLimiter,
        bounds: BodyLimits,
        audit: AuditLog,
    ) -> None:
        self._keys = keys
        self._browsers = browsers
        self._visitors = visitors
        self._links = links
        self._provider = provider
        self._guesses = guesses
        self._audit = audit
        self._bounds = bounds
        self._templates = make_environment(Path(__file__).parent / "templates")

    def routes(self) -> list[Route]:
        more = [Route(path, self.answer, methods=["GET"]) for path in (BEGIN, CALLBACK) if self._provider]
        return [
            *more,
            Route(SIGN_IN, self.answer, methods=["GET", "POST"]),
            Route(ENTER, self.answer, methods=["GET", "POST"]),
            Route(SIGN_OUT, self.answer, methods=["POST"]),
        ]

    async def answer(self, request: Request) -> Response:
        """Answer a request for one of the pages."""
        try:
            self._visitors.check_host(request)
            if request.method != "POST":
                return await self._show(request)
            self._visitors.check_site(request)
            form = dict(read_query(await read_body(request, self._bounds)))
            if request.url.path == SIGN_OUT:
                return await self._sign_out(request)
            if request.url.path == ENTER:
                return await self._take_link(request, form)
            return await self._take_key(request, form)
        except ClientDisconnect:
            return Response(status_code=400)  # the browser has gone
        except ProviderUnavailable as error:
            log.warning("nobody can sign in with OpenID Connect: %s", error)
            return self._render_form("/", f"{_begin_sentence(str(error))}. Try again, or use a key.", 503)
        except SignInRefused as error:
            return self._render_form("/", f"{_begin_sentence(str(error))}.", 403)
        except Exception as error:  # noqa: BLE001  # every error becomes a page
            refusal = find_refusal(error)
            text = f"{_begin_sentence(refusal.detail)}."
            page = render_message(TITLES.get(refusal.status, "This cannot be read"), text)
            return respond_page(page, refusal.status, refusal.headers)

    async def _show(self, request: Request) -> Response:
        if self._provider and request.url.path == BEGIN:
            return await self._provider.begin(request, find_local_path(request.query_params.get("next")))
        if self._provider and request.url.path == CALLBACK:
            if request.method == "HEAD":  # a preview of the link, which must not use it up
                return respond_page("")
            return await self._provider.finish(request)
        return self._show_enter() if request.url.path == ENTER else self._show_form(request)

    def _show_form(self, request: Request) -> Response:
        to = find_local_path(request.query_params.get("next"))
        return RedirectResponse(to, 303) if self._visitors.find(request) else self._render_form(to)

    def _show_enter(self) -> Response:
        return respond_page(self._templates.get_template("enter.html").render())

    async def _take_key(self, request: Request, form: Mapping[str, str]) -> Response:
        holder = self._keys.find_holder(form.get("key", "").strip())
        to = find_local_path(form.get("next"))
        if holder is not None:
            return await self._browsers.begin(request, holder, to)
        if seconds := self._guesses.take_for(request.scope):
            raise RateExceeded("too many wrong keys came from this address", seconds, closes=False)
        return self._render_form(to, WRONG_KEY, 401)

    async def _take_link(self, request: Request, form: Mapping[str, str]) -> Response:
        holder = self._links.redeem(form.get("token", ""))
        if holder is None:
            return self._render_form("/", VOID_LINK, 401)
        return await self._browsers.begin(request, holder, "/")

    async def _sign_out(self, request: Request) -> Response:
        if holder := self._visitors.find(request):
            caller = Caller(holder, "dashboard", find_address(request))
            record = await self._audit.begin(caller, "sign_out", "session", holder.session)
            await self._browsers.end(request)
            await self._audit.end(record, 303)
        # Not "cookies": that would sign out of all other services of the domain, or of the loopback address.
        response = RedirectResponse(SIGN_IN, 303, headers={"Clear-Site-Data": '"cache"'})
        self._browsers.cookie.delete(response, request)
        return response

    def _render_form(self, to: str, problem: str | None = None, status: int = 200) -> Response:
        page = self._templates.get_template("sign_in.html").render(
            next=to, problem=problem, provider=self._provider.label if self._provider else None, begin=BEGIN
        )
        return respond_page(page, status)


def _begin_sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}"


def find_local_path(text: str | None) -> str:
    """The path on this service that a text names; `/` if it names another place, or none."""
    if not text or not text.isprintable() or not text.startswith("/") or text.startswith(("//", "/\\")):
        return "/"
    try:
        parts = urlsplit(text)
    except ValueError:
        return "/"
    return "/" if parts.scheme or parts.netloc else text
