"""The compiled form of a declarative action: one HTTP request, or one for each page, described by data.

It is what remains of a connector's file when every default is filled in and what its actions share is merged into each.
The version of a pipeline stores the form of the actions that it uses, so fields can never be removed, and defaults are
not written. Texts contain `{{ }}` expressions, except the fields of type `Bare`, which are expressions without braces.
Expressions read `inputs` and `connection`; those that judge a response also read `answer` (`status`, `headers`,
`body`), and those of `output` and of pages what their fields say.
"""

from typing import Any, Literal, TypeAlias

import msgspec

from durable.action import ErrorClass, Idempotent

Tree: TypeAlias = Any
"""JSON; msgspec does not support recursive aliases."""

Bare: TypeAlias = str
"""An expression without braces."""

BodyKind: TypeAlias = Literal["json", "form", "multipart", "graphql", "text", "base64"]
ParameterStyle: TypeAlias = Literal["repeat", "deep", "comma", "space", "pipe"]
"""How a list is written: `a=1&a=2`, `a[0]=1&a[1]=2`, or joined. A mapping is always written `a[b]=1`."""

RetryUnit: TypeAlias = Literal["s", "ms", "epoch", "epoch_ms"]
KeyFormat: TypeAlias = Literal["text", "uuid", "base32hex", "hex"]
Redirects: TypeAlias = Literal["refuse", "same_origin", "without_credentials"]


class Part(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The base of the parts of the form. A form with a field that this code does not know is not performed without
    it."""


class ErrorMatch(Part, frozen=True, omit_defaults=True):
    """A rule of `classes`: matches the error's code, or a condition that reads `answer`."""

    code: str | None = None
    when: Bare | None = None


class ErrorRules(Part, frozen=True, omit_defaults=True):
    """How a response is judged, beside its status. A name that does not exist is null in these expressions, because the
    bodies of errors vary.

    `when`: the response is an error although its status is below 400.
    `code`, `message`: the service's own error code and message.
    `ok`: codes (also statuses, as text) that count as success.
    `classes`: in the order of the file; the first rule that matches gives the class.
    """

    when: Bare | None = None
    code: str | None = None
    message: str | None = None
    ok: tuple[str, ...] = ()
    classes: tuple[tuple[ErrorClass, ErrorMatch], ...] = ()


class RetryAfter(Part, frozen=True, omit_defaults=True):
    """Where a response says when to try again: a header, or an expression (`value`) that reads `answer`."""

    header: str | None = None
    value: Bare | None = None
    unit: RetryUnit = "s"
    when: Bare | None = None


class PageSize(Part, frozen=True):
    """The query parameter with the number of items of a page, and its value."""

    param: str
    value: int


class PageRules(Part, frozen=True, omit_defaults=True):
    """How the pages of a list follow one another. Exactly one of `link`, `next`, `cursor`, `offset`, `number` is set.

    `items`: the list of a page; reads `answer`.
    `more`: whether another page follows; reads `answer` and `items`.
    `link`: the relation of the `Link` header (RFC 8288) with the next page's URL.
    `next`: the URL of the next page.
    `cursor`: what the next request sends as `param`; reads `answer` and `items`.
    `offset`, `number`: the parameter with the number of items so far, or of the page, which begins with `first`.
    `is_in_body`: `param` is a field of the body instead of the query.
    `delay`: the milliseconds between two pages.
    """

    items: Bare
    more: Bare | None = None
    link: str | None = None
    next: Bare | None = None
    cursor: Bare | None = None
    offset: str | None = None
    number: str | None = None
    param: str | None = None
    first: int = 1
    size: PageSize | None = None
    max_pages: int = 200
    max_items: int | None = None
    delay: int = 0
    is_in_body: bool = False


class KeyRule(Part, frozen=True, omit_defaults=True):
    """Where the idempotency key of a request is sent (exactly one of `header`, `json`, `param`), and its form. A key
    that does not fit `max` characters is hashed. `with_` is merged into the body beside it."""

    header: str | None = None
    json: str | None = None
    param: str | None = None
    max: int | None = None
    format: KeyFormat = "text"
    with_: Tree = None


class DeclaredAction(Part, frozen=True, omit_defaults=True):
    """A declarative action.

    `base_url`, `path`: joined with one `/`. `{name}` in the path is the input of that name as one percent-encoded
    segment, which may contain `/` if it is `{name%2F}`; `{name...}` may contain several segments.
    `inputs`: the JSON Schema of the inputs, a mapping.
    `params`, `headers`, `body`: mappings of templates (`body` may be any JSON). An entry of `params`, `headers` and,
    at the top level, of `body` is left out if its value is null; except in JSON, if it is an input that is given as
    null and not null by default.
    `body`: of a `form`, `multipart` and `graphql` body, a mapping: of fields; of parts (a text, a list of parts, other
    JSON, or a mapping of `text` or `base64` with `filename` and `content_type`); or of `query`, `variables` and
    `operationName`.
    `styles`: how lists in the query and in a form are written, by name; default: `repeat` in the query, `deep` in a
    form.
    `media_type`: the content type of the body, if it is not that of `encode`.
    `output`: what the action returns; also reads `answer`. With `page`, it is not used.
    `returns`: the JSON Schema of the output.
    `has_secret_url`: the URL contains a credential; errors and logs show only its path behind `base_url`.
    """

    method: str
    base_url: str
    path: str
    inputs: Tree
    params: Tree = None
    headers: Tree = None
    body: Tree = None
    encode: BodyKind = "json"
    has_body: bool = False
    styles: dict[str, ParameterStyle] = {}
    media_type: str | None = None
    output: Tree = "{{ answer.body }}"
    returns: Tree = None
    errors: ErrorRules = ErrorRules()
    retry_after: tuple[RetryAfter, ...] = (RetryAfter("retry-after"),)
    page: PageRules | None = None
    idempotency: KeyRule | None = None
    redirects: Redirects = "refuse"
    has_secret_url: bool = False


_REPEATABLE = frozenset({"GET", "HEAD", "OPTIONS", "PUT", "DELETE"})
"""Methods whose repetition has no second effect (RFC 9110, 9.2.2)."""


def derive_idempotent(method: str, key: KeyRule | None) -> Idempotent:
    """Return whether an action can be repeated, as far as its method and its key rule say."""
    return "yes" if method.upper() in _REPEATABLE else "key" if key else "no"


def encode_action(action: DeclaredAction) -> Tree:
    """Return the stored form of an action: JSON."""
    return msgspec.to_builtins(action)


def decode_action(stored: Tree) -> DeclaredAction:
    """Restore an action from its stored form; raises `ValueError` if this code does not know it."""
    try:
        return msgspec.convert(stored, DeclaredAction)
    except msgspec.ValidationError as error:
        raise ValueError(f"the stored form of an action is unknown: {error}") from None
