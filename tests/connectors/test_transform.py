"""`transform.set` returns its inputs as its output."""

import pytest

from connectors.transform import SetInput, set_
from durable.action import Context

pytestmark = pytest.mark.anyio


async def test_the_output_is_the_values(context: Context) -> None:
    values = {"total": 12.5, "lines": [{"sku": "a"}], "note": None}
    assert await set_.perform(context, SetInput.model_validate({"values": values})) == values
