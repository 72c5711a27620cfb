"""Find: whatever a text can mean. A single thing is shown at once."""

from collections.abc import Callable, Mapping

from triggers.dashboard.page import PageAnswer, PageRequest, PageRoute, Redirect, View, make_link, make_path
from triggers.documents.found import HitDocument, HitKind, HitsDocument

PAGES: Mapping[HitKind, Callable[[HitDocument], str]] = {
    "run": lambda hit: make_path("runs", hit.id),
    "event": lambda hit: make_path("events", hit.id),
    "delivery": lambda hit: make_path("deliveries", hit.id),
    "version": lambda hit: make_path("pipelines", hit.about or "", "versions", hit.id),
    "bulk": lambda hit: make_path("bulks", hit.id),
    "pipeline": lambda hit: make_path("pipelines", hit.id),
    "tag": lambda hit: make_link("/runs", tag=hit.id),
}
"""The page of each kind of thing."""


class FindPages:
    """Finds things."""

    def routes(self) -> list[PageRoute]:
        return [PageRoute("GET", "/find", self.find)]

    async def find(self, request: PageRequest) -> PageAnswer:
        """What a text can mean; the only thing that it can mean is shown at once."""
        text = request.query.get("q", "").strip()[:255]
        if not text:
            return View("find.html", {"text": "", "hits": []})
        found = await request.read("find_meanings", HitsDocument, q=text)
        if len(found.hits) == 1:
            return Redirect(PAGES[found.hits[0].kind](found.hits[0]))
        hits = [(hit, PAGES[hit.kind](hit)) for hit in found.hits]
        return View("find.html", {"text": text, "hits": hits})
