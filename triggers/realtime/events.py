"""Events of streams, the same over SSE and WebSocket."""

from typing import NamedTuple

import msgspec

HEARTBEAT = b": \n\n"
"""A comment, which clients ignore."""

RETRY = b"retry: 2000\n\n"
"""How long (ms) a browser waits before it connects again."""


class StreamEvent(NamedTuple):
    """An event: its name, its data as JSON, and the id after which a client goes on; one without an id can be lost."""

    name: str
    data: bytes
    id: str | None = None


def make_event(name: str, document: object, id: str | None = None) -> StreamEvent:
    return StreamEvent(name, msgspec.json.encode(document), id)


def encode_sse(event: StreamEvent) -> bytes:
    """An event as server-sent events have it (https://html.spec.whatwg.org/multipage/server-sent-events.html). JSON has
    no line breaks, so the data is one line."""
    id = f"\nid: {event.id}" if event.id is not None else ""
    return b"event: %b%b\ndata: %b\n\n" % (event.name.encode(), id.encode(), event.data)


def encode_message(event: StreamEvent, subscription: int) -> str:
    """An event as a message of a socket: `{"sub": 1, "event": …, "id": …, "data": …}`."""
    id = msgspec.json.encode(event.id)
    return (b'{"sub":%d,"event":"%b","id":%b,"data":%b}' % (subscription, event.name.encode(), id, event.data)).decode()
