"""Server-sent events, as the service sends them: the name, the data and the id of each."""

from collections.abc import AsyncIterator
from typing import NamedTuple


class ServerEvent(NamedTuple):
    """An event. One without an id does not move the place from which a stream can be continued."""

    name: str
    data: str
    id: str | None


async def read_events(lines: AsyncIterator[str]) -> AsyncIterator[ServerEvent]:
    """Read the events of an answer, given its lines."""
    fields: dict[str, str] = {}
    async for line in lines:
        if line:
            name, _, value = line.partition(":")
            fields[name] = value.removeprefix(" ")
        elif "data" in fields:
            yield ServerEvent(fields.get("event", "message"), fields["data"], fields.get("id"))
            fields = {}
        else:  # a comment, or `retry`
            fields = {}
