"""W3 on slow disks: every commit takes 2 ms or 8 ms longer, compared with bare loops on the same disks.

python -m tests.bench.slow_disk [--seconds 4] [--in-flight 16,64,256] [--extra-ms 0,2,8]
"""

import argparse
import contextlib
import tempfile
from collections.abc import Sequence
from pathlib import Path

import uvloop

from tests.bench.load import Load
from tests.bench.rounds import Place, Rounds, add_rows, show, table_of
from tests.bench.sink import Sink
from tests.bench.targets import Bare, Service, pipelines


async def main(seconds: float, in_flight: Sequence[int], pauses: Sequence[float]) -> None:
    table = table_of("W3 where a commit takes longer")
    load, notes = Load(), []
    async with contextlib.AsyncExitStack() as stack:
        root = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        sink = await stack.enter_async_context(Sink(load.freed))
        texts, rounds = pipelines(sink.port, {"http": "http"}), Rounds(load, [sink])
        for pause in pauses:
            folder = root / f"{pause}"
            async with (
                Service(folder, load.freed, texts=texts, slow=pause) as service,
                Bare(
                    "bare loop, minimal client", folder, load.freed, client="minimal", sink=sink.port, slow=pause
                ) as bare,
            ):
                places = [Place(target, "/hooks/http", "number") for target in (service, bare)]
                for number in in_flight:
                    found = await rounds.measure(places, number, seconds)
                    add_rows(table, f"http, +{pause:g} ms", number, places, found)
                took = await service.metric("waypost_commit_seconds_sum") / await service.metric(
                    "waypost_commits_total"
                )
                notes.append(f"+{pause:g} ms: a commit of the service took {took * 1000:.1f} ms")
                assert took >= pause / 1000, "the journal commits at a place that the bench does not slow down"
    show(table, *notes)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=4, help="for each target of each row")
    parser.add_argument("--in-flight", default="16,64,256")
    parser.add_argument("--extra-ms", default="0,2,8")
    given = parser.parse_args()
    numbers = [int(number) for number in given.in_flight.split(",")]
    uvloop.run(main(given.seconds, numbers, [float(pause) for pause in given.extra_ms.split(",")]))
