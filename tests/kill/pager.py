"""`pager.list`: a list in pages, each of which is an effect on the ledger. The killed service finds this connector as
it finds one of another package."""

from connectors.http import CONNECTOR as HTTP
from connectors.http import HttpOutput
from durable.action import URL, Connector, Context, Inputs, action
from durable.page import Page

ITEMS = 3
"""How many items a page has."""

_POST = HTTP.actions["post"]


class Asked(Inputs):
    """Where the effects go, `/page-0` and so on, and how many pages there are."""

    url: URL
    pages: int


@action("list", input=Asked, returns_pages=True)
async def _list(context: Context, input: Asked) -> Page:
    """Return a page of receipts, each `ITEMS` times."""
    number = context.page.number
    given = _POST.input.model_validate({"url": f"{input.url}/page-{number}", "json": {"page": number}})
    answered = await _POST.perform(context, given)
    assert isinstance(answered, HttpOutput)
    assert isinstance(answered.body, dict)
    item = {"page": number, "receipt": answered.body["receipt"]}
    return Page([item] * ITEMS, next=None if number + 1 == input.pages else number, fingerprint=f"page {number}")


CONNECTOR = Connector("pager", "Lists in pages.", (_list,))
