"""`log.write` writes exactly one line, whatever its message contains."""

import pytest

from connectors.log import LogInput, write
from durable.action import AttemptEnded, Context

pytestmark = pytest.mark.anyio


async def test_a_line_has_its_level_its_text_and_its_fields(context: Context, caplog: pytest.LogCaptureFixture) -> None:
    line = LogInput(message="Order 7 für 100 % paid", level="warning", fields={"id": 7, "tags": ["a"]})
    await write.perform(context, line)
    assert caplog.record_tuples == [("waypost.run", 30, 'Order 7 für 100 % paid {"id":7,"tags":["a"]}')]


async def test_a_message_cannot_imitate_another_line(context: Context, caplog: pytest.LogCaptureFixture) -> None:
    line = LogInput(message="a\r\nERROR forged\x1b[2J", level="error", fields={"k": "\x85\u2028"})
    await write.perform(context, line)
    message = caplog.messages[0]
    assert message.startswith("a\\x0d\\x0aERROR forged\\x1b[2J")
    assert message.splitlines() == [message]


async def test_an_ended_attempt_writes_nothing(context: Context, caplog: pytest.LogCaptureFixture) -> None:
    context.close()
    with pytest.raises(AttemptEnded):
        await write.perform(context, LogInput(message="late", level="error"))
    assert not caplog.messages
