"""Pages: what an action returns if it gets a list in several parts.

An action with `returns_pages` is called once for each page, with its position, and returns a `Page`. Each page is a
checkpoint of the step.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from durable.values import JSON

ReturnsPages: TypeAlias = Callable[[Mapping[str, Any]], bool]
"""Whether a step with these inputs, as its file gives them, gets its output in pages."""

PAGED_SIZE_LIMIT = 10 * 1024 * 1024
"""The maximum size, in bytes, of the items of all pages of a step together."""

PAGES_LIMIT = 10_000
"""The maximum number of pages of a step."""

CURSOR_SIZE_LIMIT = 8 * 1024
"""The maximum size, in bytes, of `Page.next`."""


@dataclass(frozen=True, slots=True)
class PagePosition:
    """The page that an attempt gets, of an action that `returns_pages`.

    `number`: from 0.
    `cursor`: what the previous page gave as `next`; None for the first.
    `items`: how many items the previous pages have.
    """

    number: int = 0
    cursor: JSON = None
    items: int = 0


FIRST_PAGE = PagePosition()


@dataclass(frozen=True, slots=True)
class Page:
    """What an action that `returns_pages` returns: a page of a list.

    Each page is a checkpoint with an idempotency key and attempts of its own. If `next` is None, it is the last page,
    and the step completes. Otherwise the action is called again, with `next` as `context.page.cursor`; after a crash
    too, and in another process. A page whose `next` or `fingerprint` the step has had before fails as `repeated_page`,
    the page after `PAGES_LIMIT` pages as `too_many_pages`; both errors have the class `invalid`.

    `next`: where the next page begins: any JSON of at most `CURSOR_SIZE_LIMIT` bytes, without secrets.
    `fingerprint`: a hash of the response's body, to recognise a page that comes again; None to compare only `next`.
    `delay`: the milliseconds until the next page is requested.
    `is_complete`: on the last page, whether the list is whole; False if a limit has ended it.
    `is_summary`: on the last page, whether the step's output is `{items, pages, complete}`, `pages` being their number;
    otherwise it is the list of the items of all pages.
    """

    items: Sequence[JSON]
    next: JSON = None
    fingerprint: str | None = None
    delay: int = 0
    is_complete: bool = True
    is_summary: bool = False


def always_returns_pages(given: Mapping[str, Any]) -> bool:
    """The `returns_pages` of an action that returns a `Page` whatever its inputs are."""
    return True
