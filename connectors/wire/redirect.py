"""Redirects: whether to follow one, and with which request.

    RedirectRefused     a redirect is not followed; the message says why

Credentials never follow a redirect to another origin, nor out of a connection's `base_url`: `same_origin` stays there,
and `without_credentials` drops them. The egress guard checks each hop, as it checks every request.
"""

from collections.abc import Awaitable, Callable, Collection, Mapping
from typing import Literal, NamedTuple, TypeAlias
from urllib.parse import urljoin

from connectors.wire.errors import explain_redirected, explain_refusal
from connectors.wire.join import join_url
from connectors.wire.origin import Origin
from connectors.wire.response import Response
from connectors.wire.url import MalformedURL, ParsedURL, find_problem, parse_url, split_url
from durable.action import ActionError

RedirectPolicy: TypeAlias = Literal["refuse", "same_origin", "without_credentials"]

HOP_LIMIT = 10
READ_METHODS = frozenset({"GET", "HEAD"})

_STATUSES = frozenset({301, 302, 303, 307, 308})
_UNCHANGED = frozenset({307, 308})
"""Statuses that keep method and body (RFC 9110, 15.4); after others, a POST becomes a GET without a body."""

_PORTABLE_HEADERS = frozenset({"accept", "accept-language", "range", "user-agent"})
"""The request headers that are sent to another origin; any other header may be a credential."""


class RedirectRefused(Exception):
    """A redirect is not followed; the message says why."""


class Hop(NamedTuple):
    """One request of a chain.

    `url`: includes the step's params.
    `headers`: those of the step and of the connection.
    `base_url`: that of the connection.
    """

    method: str
    url: str
    headers: Mapping[str, str]
    base_url: str | None = None


def is_redirect(response: Response) -> bool:
    return response.status in _STATUSES


def identify_url(url: ParsedURL) -> tuple[Origin, bytes]:
    """Return what identifies a resource to a service: a second redirect to the same one is a loop."""
    return url.origin, url.target


async def follow_redirects(
    response: Response,
    hop: Hop,
    choice: RedirectPolicy,
    *,
    send: Callable[[Hop], Awaitable[Response]],
    is_expected: Callable[[Response], bool],
    describe: Callable[[Hop], str],
) -> tuple[Response, Hop]:
    """Follow redirects from the response to `hop` until a response is expected or not a redirect; return it, and its
    request. `describe` names a request in messages. Raises `ActionError`."""
    visited = {identify_url(parse_url(hop.url))}
    while is_redirect(response) and not is_expected(response):
        where = describe(hop)
        try:
            hop = follow_redirect(response, hop, choice, visited)
        except RedirectRefused as refused:
            raise explain_refusal(response, where, str(refused)) from None
        visited.add(identify_url(parse_url(hop.url)))
        try:
            response = await send(hop)
        except ActionError as error:
            raise explain_redirected(error, where) from error
    return response, hop


def follow_redirect(
    response: Response, hop: Hop, choice: RedirectPolicy, visited: Collection[tuple[Origin, bytes]]
) -> Hop:
    """Return the next request after a redirect; `visited` are the previous URLs, as returned by `identify_url`.

    Raises `RedirectRefused`.
    """
    if choice == "refuse":
        raise RedirectRefused("redirects are not followed; change 'url', or set 'redirects'")
    if hop.method not in READ_METHODS and response.status not in _UNCHANGED:
        raise RedirectRefused(f"after {response.status} a {hop.method} would become a GET; change 'url'")
    here, there = parse_url(hop.url), _read_location(response, hop.url)
    if len(visited) > HOP_LIMIT:
        raise RedirectRefused(f"{HOP_LIMIT} redirects were followed, which is the limit")
    if identify_url(there) in visited:
        raise RedirectRefused("the redirects form a loop")
    if choice == "without_credentials":
        if here.origin.scheme == "https" and there.origin.scheme == "http":
            raise RedirectRefused("it leads from https to http, which is not encrypted")
        headers = {name: value for name, value in hop.headers.items() if name.lower() in _PORTABLE_HEADERS}
        return Hop(hop.method, there.text, headers)
    if here.origin != there.origin:
        raise RedirectRefused("it leads to another origin, and 'redirects: same_origin' does not follow it")
    if hop.base_url is not None:
        _ensure_below(hop.base_url, there.text)
    return hop._replace(url=there.text)


def _read_location(response: Response, url: str) -> ParsedURL:
    locations = {each.strip() for each in response.repeated.get("location", [response.headers.get("location", "")])}
    if len(locations) > 1:
        raise RedirectRefused("it has several Location headers")
    [location] = locations
    if not location:
        raise RedirectRefused("it has no Location header")
    if problem := find_problem(location):  # `urljoin` would drop such characters
        raise RedirectRefused(f"its Location is not a valid URL: {problem}")
    is_absolute = split_url(location)[0] is not None
    try:
        return parse_url((location if is_absolute else urljoin(url, location)).partition("#")[0])
    except ValueError as error:
        reason = str(error) if isinstance(error, MalformedURL) else "it is malformed"
        raise RedirectRefused(f"its Location is not a valid URL: {reason}") from None


def _ensure_below(base_url: str, url: str) -> None:
    try:
        join_url(base_url, url)
    except ActionError:
        raise RedirectRefused("it leads out of the connection's base_url, and credentials go nowhere else") from None
