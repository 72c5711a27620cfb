"""The command as a real process: piped, on a terminal, or serving."""

import fcntl
import json
import os
import pty
import struct
import subprocess
import sys
import termios
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any

import httpx

from tests.cli.forked import CONTEXT, can_fork, fork_command

ROOT = Path(__file__).parent.parent.parent
COMMAND = [sys.executable, "-c", "from triggers.cli import main; main()"]

FOREIGN = ("WAYPOST_", "GITHUB_", "FORCE_COLOR", "NO_COLOR", "COLUMNS", "LINES", "TERM")
"""Variables of whoever runs the tests that would change what is printed."""

ENVIRONMENT = {
    **{name: value for name, value in os.environ.items() if not name.startswith(FOREIGN)},
    "WAYPOST_SECRET_DEMO": "demo-secret",
    "WAYPOST_EGRESS_ALLOW": "127.0.0.0/8",
    "WAYPOST_DRAIN_TIMEOUT": "500ms",
    "PYTHONPATH": str(ROOT),
}


def waypost(
    *arguments: str, cwd: Path, typed: str | None = None, **environment: str
) -> subprocess.CompletedProcess[str]:
    """Run a command to its end, with its output in pipes; `typed` is its standard input."""
    if typed is not None or not can_fork(environment):
        return _run_anew(*arguments, cwd=cwd, typed=typed, environment=environment)
    (output, stdout), (warned, stderr) = CONTEXT.Pipe(duplex=False), CONTEXT.Pipe(duplex=False)
    process = fork_command(arguments, cwd, ENVIRONMENT | environment, stdout, stderr)
    with output, warned, ThreadPoolExecutor(2) as readers:
        told = [text.decode() for text in readers.map(_read_to_end, (output, warned))]
    process.join()
    assert process.exitcode is not None
    return subprocess.CompletedProcess(arguments, process.exitcode, *told)


def _read_to_end(pipe: "Connection[bytes, bytes]") -> bytes:
    with open(pipe.fileno(), "rb", closefd=False) as file:
        return file.read()


def _run_anew(
    *arguments: str, cwd: Path, typed: str | None, environment: dict[str, str]
) -> subprocess.CompletedProcess[str]:
    """Run a command in a new interpreter."""
    return subprocess.run(
        [*COMMAND, *arguments],
        cwd=cwd,
        input=typed,
        env=ENVIRONMENT | environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@contextmanager
def start_command(*arguments: str, cwd: Path) -> Iterator[subprocess.Popen[str]]:
    """A running command."""
    process = subprocess.Popen(
        [*COMMAND, *arguments],
        cwd=cwd,
        env=ENVIRONMENT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with process:
        try:
            yield process
        finally:
            process.kill()


@contextmanager
def serving(place: Path, *options: str, **environment: str) -> Iterator[tuple[ForkServerProcess, str]]:
    """A separate service, and its output until it was ready."""
    output, stdout = CONTEXT.Pipe(duplex=False)
    arguments = ("serve", "--port", "0", *options)
    process = fork_command(arguments, place, ENVIRONMENT | environment, stdout)
    try:
        with output, open(output.fileno(), closefd=False) as lines:
            said = ""
            for line in lines:
                said += line
                if "curl" in line:
                    break
            yield process, said
    finally:
        process.kill()
        process.join()


def api(place: Path) -> httpx.Client:
    """The API of the service in this folder, for preparation and waiting without commands."""
    url = json.loads((place / ".waypost" / "service.json").read_text())["url"]
    headers = {"Authorization": f"Bearer {(place / '.waypost' / 'api.key').read_text().strip()}"}
    return httpx.Client(base_url=url, headers=headers, trust_env=False)


def until(place: Path, run: str, *statuses: str) -> dict[str, Any]:
    """The document of a run, once it has one of the statuses."""
    deadline = time.monotonic() + 20
    with api(place) as asked:
        while time.monotonic() < deadline:
            told: dict[str, Any] = asked.get(f"/api/runs/{run}").json()
            if told["status"] in statuses:
                return told
            time.sleep(0.01)
    raise AssertionError(f"{run} is {told['status']}")


def on_terminal(*arguments: str, cwd: Path, columns: int = 80, typed: str = "", prompt: str = "") -> tuple[int, str]:
    """Run a command on a terminal with this many columns, on which this is typed once it shows the prompt; returns its
    exit code and what the terminal shows."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    environment = ENVIRONMENT | {"TERM": "xterm-256color"}
    process = subprocess.Popen(
        [*COMMAND, *arguments], cwd=cwd, env=environment, stdin=theirs, stdout=theirs, stderr=theirs
    )
    os.close(theirs)
    said = b""
    with suppress(OSError):  # Linux reports this when the last writer has closed
        while prompt.encode() not in said and (part := os.read(ours, 65536)):
            said += part
        os.write(ours, typed.encode())
        while part := os.read(ours, 65536):
            said += part
    os.close(ours)
    return process.wait(30), said.decode()


@dataclass
class Gate:
    """A server that answers no request until it is opened."""

    url: str = ""
    arrived: threading.Event = field(default_factory=threading.Event)
    opened: threading.Event = field(default_factory=threading.Event)


@contextmanager
def gate() -> Iterator[Gate]:
    found = Gate()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            found.arrived.set()
            found.opened.wait(30)
            with suppress(OSError):
                self.send_response(204)
                self.end_headers()

        do_POST = do_GET  # noqa: N815  # the library's name

        def log_message(self, format: str, *arguments: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        found.url = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield found
        finally:
            found.opened.set()
            server.shutdown()
            thread.join()
