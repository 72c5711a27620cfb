"""Progress: what an attempt reports reaches those who follow the run, is not durable, and ends with the attempt."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from durable.action import Connector, Context, Inputs, action
from durable.progress import OVERLAP, TEXT_LIMIT, ProgressBoard
from durable.redactor import MARK, Redactor
from tests.realtime.pipelines import list_entries, make_token, read_entries, start_run
from tests.realtime.streaming import EventReader, open_stream
from tests.service.running import running

pytestmark = pytest.mark.anyio

WRITES = "steps:\n  - {id: write, use: model.write, with: {}}\n"


class Prompt(Inputs):
    pass


class Model:
    """A connector that reports what the test tells it to, and ends when that is over."""

    def __init__(self) -> None:
        self.reports: asyncio.Queue[dict[str, Any] | None] = asyncio.Queue()

    def make_connector(self) -> Connector:
        @action("write", input=Prompt)
        async def write(context: Context, given: Prompt) -> Any:
            """Write what the test says."""
            while (report := await self.reports.get()) is not None:
                await asyncio.to_thread(context.report, **report)
            return {"text": "the whole text"}

        return Connector("model", "A test producer.", [write])


async def _until_text(stream: EventReader, text: str) -> tuple[str, Any]:
    """Return the text and the last value once the text has arrived."""
    shown = ""
    while event := await stream.next():
        if event.event == "progress":
            assert event.id is None, "it never moves the cursor"
            assert event.data["durable"] is False
            assert event.data["offset"] == len(shown)
            shown += event.data["text"]
            if shown == text:
                return shown, event.data["value"]
    raise AssertionError(shown)


async def test_progress_and_text_reach_streams_until_the_checkpoint_replaces_them(tmp_path: Path) -> None:
    model = Model()
    async with running(tmp_path, {"writes": WRITES}, connectors=[model.make_connector()]) as service:
        run = await start_run(service, "writes")
        token = await make_token(service, scope={"runs": [run]})
        async with (
            open_stream(service.client, f"/runs/{run}/stream") as stream,
            open_stream(service.client, f"/runs/{run}/stream?token={token}") as without_data,
        ):
            begun = await stream.until("run")
            for piece in ("Once ", "upon ", "a time"):
                model.reports.put_nowait({"text": piece})
            model.reports.put_nowait({"value": {"done": 3, "of": 10}})
            assert (await _until_text(stream, "Once upon a time"))[0]
            async with open_stream(service.client, f"/runs/{run}/stream") as late:
                shown = await _until_text(late, "Once upon a time")
            assert shown == ("Once upon a time", {"done": 3, "of": 10}), "who comes later gets the text so far"
            model.reports.put_nowait(None)
            rest = await stream.rest()
            assert "progress" not in [event.event for event in await without_data.rest()], "it is data"
        assert list_entries(begun + rest) == await read_entries(service, run)
        assert "Once upon" not in str(await read_entries(service, run)), "none of it is in the history"
        assert not list(service.service.realtime.board.list_reports(run, 0))


def _report(board: ProgressBoard, *pieces: str, redactor: Redactor | None = None) -> Iterator[str]:
    """The text that is shown after each piece."""
    for piece in pieces:
        board.report("run-1", "a", 1, None, piece, redactor)
        [found] = board.list_reports("run-1", 0)
        yield found.text


def test_a_secret_is_not_shown_in_whatever_pieces_it_arrives() -> None:
    secret = "sk-canary-0123456789"
    redactor = Redactor([secret])
    text = f"The key is {secret} and that is secret. More follows"
    for size in range(1, len(text)):
        pieces = [text[at : at + size] for at in range(0, len(text), size)]
        shown = list(_report(ProgressBoard(), *pieces, redactor=redactor))
        assert secret[:6] not in "".join(shown)
        assert shown[-1] in (f"The key is {MARK}", MARK)
    board = ProgressBoard()
    board.report("run-1", "a", 1, {"key": secret}, "", redactor)
    [found] = board.list_reports("run-1", 0)
    assert found.value == b'{"key":"***"}'


def test_a_secret_of_several_words_is_found_across_pieces() -> None:
    redactor = Redactor(["correct horse battery staple"])
    *_, shown = _report(ProgressBoard(), "say correct ", "horse ", "battery ", "staple ", "now", redactor=redactor)
    assert shown.endswith(MARK)
    assert len("correct horse battery staple") < OVERLAP


def test_what_is_kept_of_an_attempt_is_bounded_and_ends_with_it() -> None:
    board = ProgressBoard()
    *_, shown = _report(board, *["x" * 100_000] * 5)
    assert len(shown) < TEXT_LIMIT + 100_000
    board.report("run-1", "a", 1, "y" * 100_000, "", None)
    [found] = board.list_reports("run-1", 0)
    assert found.value == b"null", "a larger value is not shown"
    board.report("run-1", "a", 2, 1, "", None)
    [found] = board.list_reports("run-1", 0)
    assert (found.attempt, found.text) == (2, ""), "another attempt begins anew"
    board.clear("run-1", "a")
    assert not list(board.list_reports("run-1", 0))
