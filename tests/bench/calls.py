"""Python calls of one run: a signed webhook of 1 KB, three `http.post` steps to a sink, every checkpoint committed.

    python -m tests.bench.calls [--runs 30] [--most 15] [--functions] [--declared]

The service runs in this process, with `sys.setprofile` on all of its threads; the sink is a separate process,
and the thread that sends the webhooks is not counted. The runs come one at a time after a warm-up. A run's figure is
the number of Python functions entered (a resumed coroutine counts again) from its webhook until the service is
idle; the median is exact, since only the sweep and the server's tick, once a second, fall into some of the runs. The
table lists the files or functions entered most often, per run. With `--declared`, the steps use a declarative action
that sends the same request.
"""

import argparse
import asyncio
import contextlib
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from io import StringIO
from pathlib import Path
from types import CodeType, FrameType
from typing import IO

import uvloop

from connectors.declared.action import make_action
from connectors.declared.compiled import DeclaredAction, KeyRule
from durable.action import Connector
from durable.schema_model import make_inputs_schema
from tests.bench.targets import RATE, pipelines
from tests.bench.webhooks import SECRET, Webhooks
from tests.service.running import running

WARM_UP = 50
ENVIRONMENT = {"WAYPOST_SECRET_BENCH": SECRET, "WAYPOST_EGRESS_ALLOW": "127.0.0.0/8"}
QUIET = 0.03
"""Seconds after the last step's call in which the run's last commit and its log line are done with."""

ROOT = Path(__file__).parents[2]


class Calls:
    """Counts the functions entered by the profiled threads while `is_counting`."""

    def __init__(self) -> None:
        self.is_counting = False
        self.by_function: Counter[CodeType] = Counter()

    def hook(self, frame: FrameType, event: str, _: object) -> None:
        if event == "call" and self.is_counting:
            self.by_function[frame.f_code] += 1


def send_webhooks(calls: Calls, port: int, runs: int, last_steps: IO[bytes]) -> list[Counter[CodeType]]:
    """Send webhooks one at a time on one connection from an uncounted thread; returns the functions entered per run."""
    sys.setprofile(None)
    webhooks = Webhooks("/hooks/http")
    counts = []
    with socket.create_connection(("127.0.0.1", port)) as connection:
        for number in range(WARM_UP + runs):
            calls.by_function = Counter()
            calls.is_counting = True
            connection.sendall(webhooks.next()[1])
            answer = b""
            while not answer.endswith(b"}"):
                answer += connection.recv(65536)
            assert answer.startswith(b"HTTP/1.1 202"), answer
            last_steps.readline()
            time.sleep(QUIET)
            calls.is_counting = False
            if number >= WARM_UP:
                counts.append(calls.by_function)
    return counts


async def measure(runs: int, kind: str) -> list[Counter[CodeType]]:
    """The functions entered by each run, by file; its steps are of a kind of `tests.bench.targets.pipelines`."""
    calls = Calls()
    with contextlib.ExitStack() as stack:
        port, last_steps = stack.enter_context(sink())
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        stack.enter_context(contextlib.redirect_stderr(StringIO()))  # the service's log
        threading.setprofile(calls.hook)
        sys.setprofile(calls.hook)
        texts = pipelines(port, {"http": kind})
        rates = {"webhook_rate": RATE, "address_rate": RATE}
        async with running(folder, texts, ENVIRONMENT, [make_connector(port)], **rates) as service:
            threading.setprofile(None)
            served = int(service.service.url.rpartition(":")[2])
            with ThreadPoolExecutor(1) as own:
                work = own.submit(send_webhooks, calls, served, runs, last_steps)
                return await asyncio.wrap_future(work)


def make_connector(port: int) -> Connector:
    """A connector whose action sends what the `http` steps send."""
    take = DeclaredAction(
        method="POST",
        base_url=f"http://127.0.0.1:{port}",
        path="/{place}",
        inputs=make_inputs_schema({"place": {"type": "string"}, "number": {}}),
        body={"number": "{{ inputs.number }}"},
        has_body=True,
        idempotency=KeyRule(header="idempotency-key"),
    )
    return Connector("sink", "The server that the steps call", [make_action("take", take)])


@contextlib.contextmanager
def sink() -> Iterator[tuple[int, IO[bytes]]]:
    """The service that the steps call: its port, and its output, one line for each run's last step."""
    with subprocess.Popen([sys.executable, "-m", "tests.bench.sink"], cwd=ROOT, stdout=subprocess.PIPE) as process:
        assert process.stdout
        try:
            yield int(process.stdout.readline().removeprefix(b"port ")), process.stdout
        finally:
            process.kill()


def show(counts: list[Counter[CodeType]], most: int, steps: str, *, functions: bool) -> None:
    """Print the figure, and the distribution of the calls of the median run."""
    totals = [each.total() for each in counts]
    median = statistics.median_low(totals)
    print(f"Python calls of one run with three {steps} steps: {median} (least {min(totals)}, most {max(totals)})")
    table: Counter[str] = Counter()
    for code, number in counts[totals.index(median)].items():
        file = code.co_filename.removeprefix(f"{ROOT}/")
        table[f"{file}:{code.co_firstlineno} {code.co_qualname}" if functions else file] += number
    for name, number in table.most_common(most):
        print(f"{number:6}  {name}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=30)
    parser.add_argument("--most", type=int, default=15, help="how many lines to list")
    parser.add_argument("--functions", action="store_true", help="list functions instead of files")
    parser.add_argument("--declared", action="store_true", help="steps with a declarative action")
    given = parser.parse_args()
    kind, name = ("declared", "declarative") if given.declared else ("http", "http.post")
    show(uvloop.run(measure(given.runs, kind)), given.most, name, functions=given.functions)
