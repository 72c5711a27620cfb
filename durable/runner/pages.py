"""Settles the pages of an action: each page is stored as it arrives, and the last one completes the output."""

import hashlib
from collections.abc import Awaitable, Callable
from typing import NamedTuple

import msgspec

from durable.action import Action, ActionError, Returned
from durable.history.state import PagesState
from durable.page import CURSOR_SIZE_LIMIT, PAGED_SIZE_LIMIT, PAGES_LIMIT, Page
from durable.redactor import Redactor
from durable.runner.output import Output, settle_output
from durable.values import JSON, NotJSON, Value, decode

NO_PAGES = PagesState()
"""The pages of a step whose first page has not arrived; never changed."""

MARK_BYTES = 12

_TOO_LARGE = (
    f"the items of its pages together are larger than {PAGED_SIZE_LIMIT // 1024**2} MiB; request fewer of them, for "
    "example with a filter or a limit"
)


class NextPage(NamedTuple):
    """A page that another one follows, without secrets; see `durable.history.entries.PageCompleted`."""

    items: Value
    length: int
    cursor: Value
    marks: tuple[str, ...]
    delay: int


async def settle_page(
    action: Action,
    returned: Returned,
    before: PagesState | None,
    redactor: Redactor,
    payload: Callable[[str], Awaitable[bytes]],
) -> NextPage | Output:
    """Return the page, or the output of all pages if it is the last. `before` are the pages that have arrived, and
    `payload` loads the bytes of large ones. Raises `ActionError` if the pages do not come to an end."""
    if not isinstance(returned, Page):
        output = await settle_output(None, returned, redactor)
        return output if output.problem else output._replace(problem="it is not a page, which the action must return")
    before = before or NO_PAGES
    page = await settle_output(None, list(returned.items), redactor)
    if page.problem:
        return page
    if before.size + page.encoded.size > PAGED_SIZE_LIMIT:
        return page._replace(problem=_TOO_LARGE)
    try:
        cursor = _settle_cursor(returned.next, redactor)
    except NotJSON as error:
        return page._replace(problem=f"the position of its next page cannot be used: {error}")
    marks = _make_marks(returned, cursor)
    if not before.marks.keys().isdisjoint(marks):
        raise _refuse(f"page {before.number} repeats an earlier one, so the list would never end", "repeated_page")
    if returned.next is None:
        return await _join_pages(action, returned, page, before, redactor, payload)
    if before.number + 1 >= PAGES_LIMIT:
        raise _refuse(
            f"there are more than {PAGES_LIMIT:,} pages; request larger pages or fewer items", "too_many_pages"
        )
    return NextPage(page.encoded, len(returned.items), cursor, marks, returned.delay)


def _refuse(message: str, code: str) -> ActionError:
    return ActionError(message, error_class="invalid", code=code)


def _settle_cursor(cursor: JSON, redactor: Redactor) -> Value:
    """Encode where the next page begins; raises `NotJSON` if the history cannot keep it."""
    value = Value.of(cursor)
    if value.size > CURSOR_SIZE_LIMIT:
        raise NotJSON(f"it has {value.size:,} bytes, and the limit is {CURSOR_SIZE_LIMIT:,}")
    if redactor.knows_any and redactor.redact(cursor) != cursor:
        raise NotJSON(
            "it contains a secret, which histories must not contain; page by `cursor` and `param` instead of by URL"
        )
    return value


def _make_marks(page: Page, cursor: Value) -> tuple[str, ...]:
    marked = [("body", page.fingerprint), ("next", cursor.text if page.next is not None else None)]
    return tuple(
        hashlib.blake2b(f"{kind}:{text}".encode(), digest_size=MARK_BYTES).hexdigest()
        for kind, text in marked
        if text is not None
    )


async def _join_pages(
    action: Action,
    last: Page,
    page: Output,
    before: PagesState,
    redactor: Redactor,
    payload: Callable[[str], Awaitable[bytes]],
) -> Output:
    """Return the output of all pages; without a model it is not decoded. Their lists are joined as JSON text, which
    takes a tenth of the time and of the memory of decoding them."""
    lists = [bytes(each.data) if each.is_loaded else await payload(each.ref or "") for each in before.items]
    lists.append(bytes(page.encoded.data))
    data = b"[%b]" % b",".join(each[1:-1] for each in lists if len(each) > len(b"[]"))
    if last.is_summary:
        is_complete = msgspec.json.encode(last.is_complete)
        data = b'{"items":%b,"pages":%d,"complete":%b}' % (data, before.number + 1, is_complete)
    if action.output is not None:
        return await settle_output(action.output, decode(data), redactor)
    return Output(None, Value.from_json(data))
