"""How a newcomer finds one odd failure among 50 of 5,000 runs: `python -m tests.bench.odd_failure [RUNS] [FAILURES]`.

All failures but one come from the same outage. The commands are those that `waypost --help` leads to; each is printed
with the seconds that it took, and with the lines of its output that say which command is next.
"""

import json
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from tests.cli.command import COMMAND, ENVIRONMENT, api, waypost

BATCH = 1_000
PIPELINE = """
id: orders
inputs: {{order: {{type: string}}, charge: {{type: boolean}}, address: {{type: [string, "null"]}}}}
steps:
  - id: check
    if: not inputs.address
    use: flow.fail
    with: {{message: "order {{{{ inputs.order }}}} has no address"}}
  - id: pay
    if: inputs.charge
    use: http.post
    with: {{url: "{url}/charges/{{{{ inputs.order }}}}"}}
    retry: {{max_attempts: 1}}
"""


class Outage(BaseHTTPRequestHandler):
    """A service that is out of order."""

    def do_POST(self) -> None:
        self.send_response(503)
        self.end_headers()

    def log_message(self, format: str, *arguments: object) -> None:
        """Print nothing."""


@contextmanager
def outage() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Outage) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


@contextmanager
def serving(place: Path) -> Iterator[None]:
    """A service in a process of its own."""
    with (place / "log").open("wb") as log:
        process = subprocess.Popen(
            [*COMMAND, "serve", "--port", "0"], cwd=place, env=ENVIRONMENT, stdout=subprocess.DEVNULL, stderr=log
        )
    try:
        while not (place / ".waypost" / "service.json").exists():
            assert process.poll() is None, (place / "log").read_text()
            time.sleep(0.1)
        yield
    finally:
        process.kill()
        process.wait()


def make_runs(place: Path, runs: int, failures: int) -> None:
    """Start the runs and wait for their ends; the odd failure is in the middle of the others."""
    every = runs // failures
    orders = [
        {"order": f"o-{number}", "charge": number % every == 0, "address": "Main Street 1"} for number in range(runs)
    ]
    orders[runs // 2] |= {"charge": False, "address": None}
    with api(place) as client:
        for start in range(0, runs, BATCH):
            body = {"runs": [{"inputs": inputs} for inputs in orders[start : start + BATCH]]}
            client.post("/api/pipelines/orders/runs/batch", json=body).raise_for_status()
        while any(client.get("/api/runs", params={"status": each}).json()["runs"] for each in ("running", "waiting")):
            time.sleep(0.1)


def ask(place: Path, took: list[float], *arguments: str) -> str:
    """Run a command, print it with the time that it took, and return its output."""
    began = time.perf_counter()
    done = waypost(*arguments, cwd=place)
    took.append(time.perf_counter() - began)
    print(f"{took[-1]:6.1f} s  waypost {' '.join(arguments)}")
    assert done.returncode == 0, done.stderr
    return done.stdout


def main(runs: int, failures: int) -> None:
    with tempfile.TemporaryDirectory() as name, outage() as url:
        place, took = Path(name), list[float]()
        (place / "config" / "pipelines").mkdir(parents=True)
        (place / "config" / "pipelines" / "orders.yaml").write_text(PIPELINE.format(url=url))
        with serving(place):
            make_runs(place, runs, failures)
            assert "errors" in ask(place, took, "--help")
            listed = ask(place, took, "errors")
            print(listed)
            odd = next(line.split() for line in listed.splitlines()[1:] if line.split()[1:2] == ["1"])
            run = next(word for word in odd if word.startswith("run_"))
            shown = ask(place, took, "show", run)
            print("\n".join(shown.splitlines()[:12]))
            assert "has no address" in shown
            counts = [each["count"] for each in json.loads(waypost("errors", "--json", cwd=place).stdout)]
        print(f"\n{failures} failures among {runs:,} runs, groups of {counts}: {len(took)} commands, {sum(took):.1f} s")


if __name__ == "__main__":
    main(*(int(each) for each in sys.argv[1:3] or ("5000", "50")))
