"""Operations of streams: follow a run, or many, and make the tokens that permit it to others."""

from typing import Any

from pydantic import Field
from starlette.responses import Response

from triggers.api.operation import HEADER, ApiRequest, Body, Nothing, Operation, Parameters, respond
from triggers.api.problem import ApiError
from triggers.api.starts import RunToken
from triggers.api.value_types import Count, RunId, Tag
from triggers.documents.streams import See, TokenDocument, TokenScopeDocument
from triggers.problem_details import Mistake
from triggers.realtime.permit import StreamPermit
from triggers.realtime.realtime import Realtime
from triggers.realtime.sources import EventSource
from triggers.realtime.sse import MEDIA_TYPE, SseResponse

NAMES_LIMIT = 100
"""The runs, tags and pipelines that a token can name, of each."""

# -- what is asked ----------------------------------------------------------------------------------------------


class StreamParameters(Parameters):
    token: str | None = Field(
        None, description="A token of `POST /api/tokens`, for clients that cannot send the header Authorization"
    )


class RunStream(StreamParameters):
    last_event_id: Count | None = Field(
        None, alias="Last-Event-ID", description="The number of the last entry, over `after`", json_schema_extra=HEADER
    )
    run: str = Field(description="The run's id")
    after: Count = Field(0, description="Begin after the entry of this number")
    see: See | None = Field(None, description="Show no more than this; a token may permit less")


class StatesStream(StreamParameters):
    last_event_id: str | None = Field(
        None, alias="Last-Event-ID", description="The id of the last event, over `after`", json_schema_extra=HEADER
    )
    tag: Tag | None = Field(None, description="Only runs with this tag")
    pipeline: str | None = Field(None, description="Only runs of this pipeline")
    after: str | None = Field(None, description="Begin after the event with this id")


class TokenScope(Body):
    """The runs that a token permits."""

    runs: list[RunId] = Field(default_factory=list, max_length=NAMES_LIMIT, description="These runs")
    tags: list[Tag] = Field(default_factory=list, max_length=NAMES_LIMIT, description="All runs with one of these tags")
    pipelines: list[str] = Field(
        default_factory=list, max_length=NAMES_LIMIT, description="All runs of these pipelines"
    )


class NewToken(RunToken):
    """A token to make."""

    scope: TokenScope = Field(description="The runs that it permits to follow, at least one name")


# -- what answers -----------------------------------------------------------------------------------------------


class StreamOperations:
    """Opens streams, and makes tokens."""

    def __init__(self, realtime: Realtime) -> None:
        self._realtime = realtime

    def operations(self) -> list[Operation[Any, Any]]:
        full = {503: "Too many streams are open, or the service is stopping"}
        return [
            Operation(
                *("GET", "/runs/{run}/stream", self.stream_run, "read", RunStream, Nothing, {200: MEDIA_TYPE}),
                problems={403: "The token permits to see less", **full},
                takes_tokens=True,
            ),
            Operation(
                *("GET", "/stream", self.stream_runs, "read", StatesStream, Nothing, {200: MEDIA_TYPE}),
                problems={404: "There is no such pipeline", **full},
                takes_tokens=True,
            ),
            Operation(
                *("GET", "/socket", self.open_socket, None, Parameters, Nothing, {101: None}),
                problems={426: "The request asks for no WebSocket"},
            ),
            Operation(
                *("POST", "/tokens", self.create_token, "read", Parameters, NewToken, {201: TokenDocument}),
                is_recorded=True,  # front ends ask for one every few minutes
            ),
        ]

    async def stream_run(self, asked: ApiRequest[RunStream, Nothing]) -> Response:
        """Follow a run: every entry of its history once and in order, then those to come.

        Server-sent events. Of an entry, `id` is its number and `event` its type; a client that connects again with
        `Last-Event-ID` goes on after it. `run` is the run's state, at the beginning and when it changes; `progress` is
        what an attempt has reported and is not durable; `expiring` comes a minute before the token expires; `end` is
        the last event of a run that has ended, and `problem` says why there are no further events.

        `see` says how much an entry shows: `status` its type, path and status; `outputs` also outputs and the texts of
        errors; `history` all of it.
        """
        wanted, permit = asked.parameters, asked.permit
        after = wanted.after if wanted.last_event_id is None else wanted.last_event_id
        source = await self._realtime.open_run(wanted.run, after, wanted.see, permit)
        return self._respond(source, permit)

    async def stream_runs(self, asked: ApiRequest[StatesStream, Nothing]) -> Response:
        """Follow the states of all runs, or of those with a tag or of a pipeline; with a token, of those that it
        permits.

        Server-sent events. `run` is the present state of a run, after each change or after several. A stream begins
        with `reset`, followed by every unfinished run and the newest others; with the id of an earlier event it
        goes on after that, if it can.
        """
        wanted, permit = asked.parameters, asked.permit
        after = wanted.last_event_id or wanted.after
        source = await self._realtime.open_states(wanted.tag, wanted.pipeline, after, permit)
        return self._respond(source, permit)

    async def open_socket(self, asked: ApiRequest[Parameters, Nothing]) -> Response:
        """Follow runs over a WebSocket, many on one connection.

        The first message is `{"token": …}`, with a token or an API key. Then `{"sub": 1, "run": …, "after": 7}` follows
        a run, `{"sub": 2, "tag": …}`, `{"sub": 3, "pipeline": …}` or `{"sub": 4, "all": true}` the states of runs, and
        `{"unsub": 1}` ends a subscription. Events come as `{"sub": 1, "event": …, "id": …, "data": …}`, as the streams
        have them. The socket is closed with 4401 for a wrong or expired token, with 4400 for a wrong message, and with
        1012 when the service stops.
        """
        raise ApiError(426, "this path speaks WebSocket only", {"Upgrade": "websocket", "Connection": "Upgrade"})

    async def create_token(self, asked: ApiRequest[Parameters, NewToken]) -> Response:
        """Make a token with which a browser can follow some runs for a short time.

        It is valid until it expires or the key that asks for it is revoked.
        """
        wanted = asked.body
        scope = TokenScopeDocument(**wanted.scope.model_dump())
        if scope == TokenScopeDocument():
            raise ApiError.invalid([Mistake("scope", "it names no run, tag or pipeline; name at least one")])
        document = self._realtime.make_token(asked.by.key, scope, wanted.see, wanted.lifetime)
        return respond(document, 201, {"Cache-Control": "no-store"})

    def _respond(self, source: EventSource, permit: StreamPermit) -> Response:
        streams = self._realtime.streams
        streams.ensure_room()
        return SseResponse(streams.follow(source, permit))
