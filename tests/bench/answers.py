"""How large responses affect other requests: `python -m tests.bench.answers [--runs 30] [--seconds 25]`.

Many runs request the same body from a service at once, while `/health` is requested continuously; the table shows
its latency and the results of the runs. The bodies are made once, and sent by a separate process.
"""

import argparse
import asyncio
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import httpx
import uvloop
from rich.table import Table

from tests.bench.rounds import page, table_of
from tests.bench.targets import Service

SIZE = 10 * 1024 * 1024 - 1_024
ROW = {"id": 12345678, "name": "a customer", "mail": "someone@example.com", "paid": True, "rate": 1.5}
COLUMNS = ("answer", "secret", "runs", "completed", "failed", "s", "health", "p50 ms", "p99 ms", "worst ms")
PIPELINE = """
steps:
  - {{id: get, use: http.get, with: {{url: "http://127.0.0.1:{port}/{name}"{more}}}, retry: {{max_attempts: 1}}}}
"""
WITH_SECRET = ', headers: {authorization: "Bearer {{ secrets.BENCH }}"}'


def bodies() -> dict[str, bytes]:
    """Bodies by name: about 10 MB of each kind, and rows few enough to be decoded."""
    row = json.dumps(ROW).encode()
    return {
        "rows": b"[" + b",".join([row] * (SIZE // (len(row) + 1))) + b"]",
        "numbers": b"[" + b",".join([b"1"] * (SIZE // 2)) + b"]",
        "texts": json.dumps(["x" * 990] * (SIZE // 1_000)).encode(),
        "some": b"[" + b",".join([row] * 20_000) + b"]",
    }


async def send() -> None:
    """Serve the bodies, and print the port."""
    found = bodies()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        body = found[head.split(b" ")[1].decode().strip("/")]
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(body))
        writer.write(body)
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


async def ask_health(service: Service, until: asyncio.Task[None]) -> list[float]:
    """The latency of each request in milliseconds."""
    took: list[float] = []
    url = f"http://127.0.0.1:{service.port}/health"
    async with httpx.AsyncClient(trust_env=False, verify=False, timeout=120) as client:
        while not until.done():
            began = time.perf_counter()
            (await client.get(url)).raise_for_status()
            took.append((time.perf_counter() - began) * 1000)
            await asyncio.sleep(0.01)
    return took


async def perform(service: Service, pipeline: str, runs: int, seconds: float) -> dict[str, int]:
    """Start the runs, wait for their ends, and count them by status."""
    headers = {"authorization": f"Bearer {(service.data / 'api.key').read_text().strip()}"}
    base = f"http://127.0.0.1:{service.port}/api"
    url = f"{base}/runs?limit=200&pipeline={pipeline}"
    end = time.perf_counter() + seconds
    async with httpx.AsyncClient(headers=headers, trust_env=False, verify=False, timeout=120) as client:
        starts = (client.post(f"{base}/pipelines/{pipeline}/runs", json={}) for _ in range(runs))
        for answer in await asyncio.gather(*starts):
            answer.raise_for_status()
        while True:
            found = [run["status"] for run in (await client.get(url)).json()["runs"]]
            counted = {status: found.count(status) for status in set(found)}
            if counted.get("completed", 0) + counted.get("failed", 0) == runs or time.perf_counter() > end:
                return counted
            await asyncio.sleep(0.2)


async def measure(table: Table, service: Service, name: str, runs: int, seconds: float) -> None:
    for kind, is_secret in ((name, ""), (f"{name}_secret", "yes")):
        began = time.perf_counter()
        ended: dict[str, int] = {}

        async def run_all(kind: str = kind, ended: dict[str, int] = ended) -> None:
            ended.update(await perform(service, kind, runs, seconds))

        took = await ask_health(service, asyncio.create_task(run_all()))
        cuts = statistics.quantiles(took, n=100) if len(took) > 1 else took * 100
        table.add_row(
            *(name, is_secret, str(runs), str(ended.get("completed", 0)), str(ended.get("failed", 0))),
            *(f"{time.perf_counter() - began:.1f}", str(len(took))),
            *(f"{cuts[49]:.1f}", f"{cuts[98]:.1f}", f"{max(took):.1f}"),
        )


def start_sender() -> "subprocess.Popen[bytes]":
    return subprocess.Popen([sys.executable, "-m", "tests.bench.answers", "--send"], stdout=subprocess.PIPE)


async def main(names: list[str], runs: int, seconds: float) -> None:
    table = table_of("Large answers beside /health", COLUMNS)
    sender = start_sender()
    try:
        assert sender.stdout
        port = int(sender.stdout.readline())
        texts = {name: PIPELINE.format(port=port, name=name, more="") for name in names}
        texts |= {f"{name}_secret": PIPELINE.format(port=port, name=name, more=WITH_SECRET) for name in names}
        with tempfile.TemporaryDirectory() as folder:
            async with Service(Path(folder), lambda line: None, texts=texts) as service:
                for name in names:
                    await measure(table, service, name, runs, seconds)
    finally:
        sender.kill()
        sender.wait()
    page().print(table)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", default=["rows", "some"], metavar="NAME", help=", ".join(bodies()))
    parser.add_argument("--runs", type=int, default=30)
    parser.add_argument("--seconds", type=float, default=25.0, help="for which the runs of one kind may take at most")
    parser.add_argument("--send", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    uvloop.run(send() if given.send else main(given.names, given.runs, given.seconds))
