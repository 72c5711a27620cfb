"""The numbers in the bar of every page: how many things need a person, and how many runs wait for an answer.

They are as old as a few seconds: counting them for each page would cost more than most pages.
"""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from durable.wording import count_things
from triggers.dashboard.page import PageRequest
from triggers.documents.overview import AttentionDocument, AttentionKind, AttentionLineDocument

FRESH = 5_000
"""How long the numbers are shown (ms) before they are counted again."""

WAITING: tuple[AttentionKind, ...] = ("uncertain", "exhausted", "paused", "approval")
"""What is answered on the page of waits."""


class Badge(NamedTuple):
    """A number beside a link of the bar. `kind`: its colour, `bad` or `wait`; `text`: the number in a sentence."""

    number: int
    kind: str
    text: str


class Badges:
    """The numbers by the address of their link."""

    def __init__(self) -> None:
        self._counted_at = -FRESH
        self.known: Mapping[str, Badge] = {}

    def expire(self) -> None:
        """Count again for the next page, because somebody has acted."""
        self._counted_at = -FRESH

    async def refresh(self, request: PageRequest) -> None:
        """Count again for a page if the numbers are old. Raises what the operation raises."""
        if 0 <= request.now - self._counted_at < FRESH or not request.may("read"):
            return
        self._counted_at = request.now
        found = await request.read("get_attention", AttentionDocument)
        self.known = count_badges(found.lines)


def count_badges(lines: Iterable[AttentionLineDocument]) -> dict[str, Badge]:
    """The numbers of these lines, without zeros."""
    known = list(lines)
    waiting = sum(line.count for line in known if line.kind in WAITING)
    badges = {
        "/": Badge(len(known), "bad", count_things(len(known), "thing needs you", "things need you")),
        "/waits": Badge(waiting, "wait", count_things(waiting, "run waits for you", "runs wait for you")),
    }
    return {href: badge for href, badge in badges.items() if badge.number}
