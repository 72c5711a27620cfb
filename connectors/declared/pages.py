"""The pages of a list: what is added to the request of a page, and the items and the next page in its response.

A list ends if there is no further link, URL or cursor; if `more` is false; or, if pages are counted, if a page is empty
or shorter than its size. The URL of a page never leads to another origin than `base_url`, because the credentials are
sent with it.
"""

import hashlib
from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple
from urllib.parse import parse_qsl, urlencode, urljoin

from connectors.auth.request import OutgoingRequest
from connectors.declared.compiled import DeclaredAction, PageRules
from connectors.declared.judge import compile_bare, evaluate_leniently
from connectors.declared.request import Address, Scope
from connectors.wire.errors import InvalidRequest
from connectors.wire.link import find_link
from connectors.wire.response import Response
from connectors.wire.url import MalformedURL, ParsedURL, find_problem, parse_url
from durable.action import ActionError
from durable.page import Page, PagePosition
from durable.values import JSON
from durable.wording import name_kind

LIMIT = "limit"
"""The input that ends a list early."""


class PageResponse(NamedTuple):
    """The response to the request of a page.

    `request`: the request that it came from, without credentials; the last one, if it was redirected.
    `signed`: the first request with its credentials.
    `where`: describes the request in messages.
    """

    response: Response
    request: OutgoingRequest
    signed: OutgoingRequest
    where: str


class Pager:
    """The compiled rules of an action for pages."""

    def __init__(self, declared: DeclaredAction, rules: PageRules) -> None:
        """Raise `ValueError` if a rule cannot be compiled."""
        self._rules = rules
        self._items = compile_bare(rules.items, "page.items")
        self._more = compile_bare(rules.more, "page.more")
        self._next = compile_bare(rules.next, "page.next")
        self._cursor = compile_bare(rules.cursor, "page.cursor")
        ways = (rules.link, rules.next, rules.cursor, rules.offset, rules.number)
        if len([way for way in ways if way is not None]) != 1:
            raise ValueError("page: exactly one of link, next, cursor, offset and number leads to the next page")
        if rules.cursor is not None and rules.param is None:
            raise ValueError("page: 'cursor' needs 'param', the parameter that sends it")
        self._has_limit = LIMIT in declared.inputs.get("properties", {})

    # -- the request

    def place_request(
        self, position: PagePosition, first: Address, inputs: Mapping[str, JSON]
    ) -> tuple[Address, dict[str, JSON]]:
        """Return the address of a page, given that of the first, and its parameters. Raises `InvalidRequest`."""
        rules = self._rules
        if position.number > 0 and (rules.link is not None or rules.next is not None):
            return _resolve_next(str(position.cursor), first.base_url), {}
        params: dict[str, JSON] = {}
        if (size := self._find_size(inputs)) and rules.size:
            params[rules.size.param] = size
        if rules.offset is not None:
            params[rules.offset] = position.items
        elif rules.number is not None:
            params[rules.number] = position.number + rules.first
        elif rules.param is not None and position.number > 0:
            params[rules.param] = position.cursor
        return first, params

    def _find_size(self, inputs: Mapping[str, JSON]) -> int | None:
        """Return the number of items to request in each page; None if the rules do not say."""
        if self._rules.size is None:
            return None
        limit = self._find_limit(inputs)
        return self._rules.size.value if limit is None else max(1, min(self._rules.size.value, limit))

    def _find_limit(self, inputs: Mapping[str, JSON]) -> int | None:
        """Return how many items the list may have in total."""
        given = inputs.get(LIMIT) if self._has_limit else None
        limits = [self._rules.max_items, given if isinstance(given, int) else None]
        return min((limit for limit in limits if limit is not None), default=None)

    # -- the response

    def read_page(self, position: PagePosition, received: PageResponse, scope: Scope, base_url: str) -> Page:
        """Return the page that a response contains. Raises `ActionError`."""
        assert self._items is not None, "every list has items"
        rules, where = self._rules, received.where
        items = evaluate_leniently(self._items, scope)
        if not isinstance(items, list):
            raise refuse_page(
                where,
                "no_items",
                f"'items: {rules.items}' must be a list, not {name_kind(items)}; if the service leaves out an empty "
                "list, append '| default([])'",
            )
        following = self._find_next(position, received, {**scope, "items": items}, base_url)
        limit = self._find_limit(scope["inputs"])
        if limit is not None and position.items + len(items) >= limit:
            kept = items[: max(0, limit - position.items)]
            return Page(kept, is_complete=following is None and len(kept) == len(items))
        if following is not None and position.number + 1 >= rules.max_pages:
            cure = "set the input 'limit', or raise" if self._has_limit else "raise"
            message = f"the list has more than {rules.max_pages:,} pages; {cure} 'max_pages' in the connector"
            raise refuse_page(where, "too_many_pages", message)
        fingerprint = hashlib.blake2b(received.response.body, digest_size=16).hexdigest() if items else None
        return Page(items, next=following, fingerprint=fingerprint, delay=rules.delay)

    def _find_next(self, position: PagePosition, received: PageResponse, scope: Scope, base_url: str) -> JSON:
        """Return where the next page begins; None if this is the last."""
        rules, items = self._rules, scope["items"]
        has_more = None if self._more is None else bool(evaluate_leniently(self._more, scope))
        if has_more is False:
            return None
        if rules.offset is not None or rules.number is not None:
            return self._count_on(position, items, scope["inputs"], has_more=has_more)
        if rules.link is not None:
            there: JSON = find_link(received.response, rules.link)
        else:
            expression = self._next or self._cursor
            there = None if expression is None else evaluate_leniently(expression, scope)
        if there is None or there is False or there == "":
            if has_more:
                message = "the response says that there are more items, but not where the next page begins"
                raise refuse_page(received.where, "no_next_page", message)
            return None
        if rules.cursor is not None:
            if isinstance(there, dict | list):
                raise refuse_page(received.where, "no_next_page", f"the cursor must be text, not {name_kind(there)}")
            return there
        return _locate(there, received, base_url)

    def _count_on(
        self, position: PagePosition, items: Sequence[JSON], inputs: Mapping[str, JSON], *, has_more: bool | None
    ) -> int | None:
        """Return the number of the next page or of its first item; None if this page is the last."""
        rules = self._rules
        if not items:
            return None
        size = self._find_size(inputs)
        if has_more is None and size is not None and len(items) < size:
            return None
        return position.items + len(items) if rules.offset is not None else position.number + 1 + rules.first


def _resolve_next(there: str, base_url: str) -> Address:
    """Return the address that `_locate` described. Raises `InvalidRequest`."""
    if there[:1] in {"/", "?"}:
        return Address(base_url, there, has_query=True)
    origin = parse_url(base_url).origin
    if parse_url(there).origin != origin:
        raise InvalidRequest("the next page is at another origin than the connection's base_url, which has changed")
    return Address(origin.address, there.removeprefix(origin.address), has_query=True)


def _locate(there: JSON, received: PageResponse, base_url: str) -> str:
    """Return the URL of the next page without credentials: the part after `base_url`, or else the whole URL."""
    target = _parse_next(there, received)
    base = parse_url(base_url)
    if target.origin != base.origin:
        raise refuse_page(
            received.where,
            "next_page_elsewhere",
            f"the next page is at another origin, {target.origin.address}, where the connection's credentials must not "
            "go",
        )
    path = _remove_params(target.target.decode("ascii"), _list_names(received.signed) - _list_names(received.request))
    folder = base.target.decode("ascii").rstrip("/")
    rest = path.removeprefix(folder)
    is_below = path.startswith(folder) and rest[:1] in {"/", "?"}
    return rest if is_below else f"{target.origin.address}{path}"


def _parse_next(there: JSON, received: PageResponse) -> ParsedURL:
    problem = find_problem(there) if isinstance(there, str) else f"it is {name_kind(there)}"
    if problem is None:
        try:
            return parse_url(urljoin(received.request.url, str(there)).partition("#")[0])
        except MalformedURL as error:
            problem = str(error)
        except ValueError:
            problem = "it is malformed"
    raise refuse_page(received.where, "no_next_page", f"the URL of the next page is not valid: {problem}")


def _list_names(request: OutgoingRequest) -> set[str]:
    """Return the names of the query parameters of a request."""
    return {
        name for name, _ in parse_qsl(request.url.partition("?")[2], keep_blank_values=True)
    } | request.params.keys()


def _remove_params(path: str, names: Collection[str]) -> str:
    """Return a path without some parameters of its query, which are added again when it is requested."""
    path, _, query = path.partition("?")
    if names:
        kept = [(name, value) for name, value in parse_qsl(query, keep_blank_values=True) if name not in names]
        query = urlencode(kept)
    return f"{path}?{query}" if query else path


def refuse_page(where: str, code: str, message: str) -> ActionError:
    """Return the error for a page that cannot be used."""
    return ActionError(f"{where}: {message}", error_class="invalid", code=code)
