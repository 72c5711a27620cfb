"""A service that adds two numbers with `math.add`, the README's example; run where its connector is installed."""

import asyncio
import json
import sys
from pathlib import Path

from tests.service.running import running

PIPELINE = """
inputs: {a: {type: integer}, b: {type: integer}}
steps:
  - {id: add, use: math.add, with: {a: "{{ inputs.a }}", b: "{{ inputs.b }}"}}
outputs: {sum: "{{ steps.add.output.sum }}"}
"""


async def outputs(folder: Path) -> object:
    async with running(folder, {"add": PIPELINE}) as world:
        started = await world.start("add", {"a": 2, "b": 3})
        run = await world.wait_for_end(started.json()["id"])
        return run["outputs"]


if __name__ == "__main__":
    print(json.dumps(asyncio.run(outputs(Path(sys.argv[1])))))
