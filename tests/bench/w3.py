"""W3: a signed POST of 1 KB, three HTTP steps to a sink, every checkpoint flushed; also with no-op steps.

    python -m tests.bench.w3 [--seconds 4] [--in-flight 1,16,64,256]

The service, the sink and each bare loop are processes; this one sends the webhooks, in a closed loop. A slot is free
again when the last step of its run calls the sink, or with no-op steps when the run has ended, which both kinds of
target report anyway: the service by its usual log line (read through a pipe, once for each run, without polling),
the bare loop by a line on its standard output.
"""

import argparse
import contextlib
import tempfile
from pathlib import Path

import uvloop

from tests.bench.load import Load
from tests.bench.rounds import Place, Rounds, add_rows, show, table_of
from tests.bench.sink import Sink
from tests.bench.targets import Bare, Service, Target, pipelines


async def main(seconds: float, in_flight: list[int]) -> None:
    table = table_of("W3: signed POST of 1 KB, three steps, SQLite in WAL with synchronous=FULL")
    load = Load()
    async with contextlib.AsyncExitStack() as stack:
        root = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        sink = await stack.enter_async_context(Sink(load.freed))
        texts = pipelines(sink.port, {"http": "http", "noop": "noop"})
        service: Target = await stack.enter_async_context(Service(root, load.freed, texts=texts))
        bare = [
            await stack.enter_async_context(Bare(name, root / "bare", load.freed, client=client, sink=sink.port))
            for name, client in (
                ("bare loop, minimal client", "minimal"),
                ("bare loop, Waypost's client", "waypost"),
                ("bare loop", "none"),
            )
        ]
        rounds = Rounds(load, [sink])
        kinds = {
            "http": [Place(target, "/hooks/http", "number") for target in (service, *bare[:2])],
            "noop": [Place(target, "/hooks/noop", "run") for target in (service, bare[2])],
        }
        for kind, places in kinds.items():
            for number in in_flight:
                add_rows(table, kind, number, places, await rounds.measure(places, number, seconds))
        await service.terminate()
    show(table)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=4, help="for each target of each row")
    parser.add_argument("--in-flight", default="1,16,64,256")
    given = parser.parse_args()
    uvloop.run(main(given.seconds, [int(number) for number in given.in_flight.split(",")]))
