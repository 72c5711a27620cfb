"""The measured targets: a service or a bare loop, each a process that accepts webhooks and reports ended runs."""

import asyncio
import json
import re
import time
from collections import deque
from collections.abc import Mapping
from pathlib import Path
from typing import Self

from tests.bench.process import Line, Process, until
from tests.bench.webhooks import SECRET

ENDED = re.compile(rb'"message":"run (?:completed|failed|cancelled)[^\n]*?"run":"(\w+)"')
RATE = "900000000/1m"
"""Out of the way, and still counted."""

TRIGGER = """
triggers:
  - id: hook
    use: webhook
    with: {{path: /{id}, verify: {{preset: hmac, header: x-signature, secret: "{{{{ secrets.BENCH }}}}"}}}}
    inputs: {{number: "{{{{ trigger.body.number }}}}", text: "{{{{ trigger.body.text }}}}"}}
"""
HTTP_STEP = """
  - id: s{n}
    use: http.post
    with: {{url: "http://127.0.0.1:{sink}/s{n}", json: {{number: "{{{{ inputs.number }}}}"}}}}
"""
DECLARED_STEP = """
  - {{id: s{n}, use: sink.take, with: {{place: s{n}, number: "{{{{ inputs.number }}}}"}}}}
"""
NOOP_STEP = """
  - {{id: s{n}, use: transform.set, with: {{values: {{number: "{{{{ inputs.number }}}}"}}}}}}
"""


def pipelines(sink: int, ids: Mapping[str, str], more: str = "") -> dict[str, str]:
    """Pipelines of three steps by id, each `http`, `noop` or `declared`; `more` is additional YAML for each."""
    forms = {"http": HTTP_STEP, "noop": NOOP_STEP, "declared": DECLARED_STEP}
    return {
        id: TRIGGER.format(id=id) + more + "steps:" + "".join(forms[kind].format(n=n, sink=sink) for n in (1, 2, 3))
        for id, kind in ids.items()
    }


class Target(Process):
    """`ended` counts ended runs, and `on_end` gets their ids; `said` is the last other line."""

    def __init__(self, name: str, program: list[str], on_end: Line, **options: object) -> None:
        super().__init__(program, self._line, **options)  # type: ignore[arg-type]  # as the two below give them
        self.name = name
        self.port = 0
        self.ended = 0
        self.said = ""
        self._on_end = on_end

    def _line(self, line: bytes) -> None:
        raise NotImplementedError

    def count(self, run: bytes) -> None:
        self.ended += 1
        self._on_end(run)

    async def settle(self, ended: int) -> None:
        """Wait until `ended` runs have ended."""
        await until(lambda: self.ended >= ended)

    async def metric(self, name: str) -> float:
        """The sum of a metric over its labels."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        writer.write(b"GET /metrics HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
        text = (await reader.read()).decode()
        writer.close()
        return sum(float(value) for value in re.findall(rf"^{name}(?:{{.*}})? (\S+)$", text, re.MULTILINE))


class Bare(Target):
    """The bare loop."""

    def __init__(self, name: str, folder: Path, on_end: Line, *, client: str, sink: int = 0, slow: float = 0) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        options = ["--client", client, "--sink", str(sink), "--commit-ms", str(slow)]
        super().__init__(name, ["-m", "tests.bench.bare", str(folder / f"{client}.sqlite"), *options], on_end)

    def _line(self, line: bytes) -> None:
        if self.port:
            self.count(line)
        else:
            self.port = int(line.removeprefix(b"port "))

    async def __aenter__(self) -> Self:
        await super().__aenter__()
        await until(lambda: bool(self.port))
        return self


class Service(Target):
    """`waypost serve` on a folder. The ends of runs are read from its log; `messages` has the other log lines that are
    not about a run's start, with the seconds since the process began."""

    def __init__(
        self,
        folder: Path,
        on_end: Line,
        *,
        name: str = "Waypost",
        texts: Mapping[str, str] | None = None,
        slow: float = 0,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        config, self.data = folder / "config", folder / "data"
        (config / "pipelines").mkdir(parents=True, exist_ok=True)
        for id, text in (texts or {}).items():
            (config / "pipelines" / f"{id}.yaml").write_text(text)
        settings = {
            "WAYPOST_SECRET_BENCH": SECRET,
            "WAYPOST_EGRESS_ALLOW": "127.0.0.0/8",
            "WAYPOST_WEBHOOK_RATE": RATE,
            "WAYPOST_ADDRESS_RATE": RATE,
            "SLOW_COMMIT_MS": str(slow),
        }
        program = ["-m", "tests.bench.slow_service"] if slow else ["-c", "from triggers.cli import main; main()"]
        options = ["serve", "--config", str(config), "--data", str(self.data), "--port", "0"]
        self.began = time.perf_counter()
        self.ready = 0.0
        self.messages: deque[tuple[float, str]] = deque(maxlen=1_000)
        super().__init__(
            name, [*program, *options], on_end, reads="stderr", environment=settings | dict(environment or {})
        )

    def _line(self, line: bytes) -> None:
        if found := ENDED.search(line):
            self.count(found[1])
        elif b'"message":"run started"' not in line:
            self.said = line.decode(errors="replace")
            self.messages.append((time.perf_counter() - self.began, self.said))

    async def __aenter__(self) -> Self:
        await super().__aenter__()
        await until(self._is_listening)
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        writer.write(b"GET /ready HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
        answer = await reader.read()
        writer.close()
        assert answer.startswith(b"HTTP/1.1 200"), answer
        self.ready = time.perf_counter() - self.began
        return self

    def _is_listening(self) -> bool:
        if not self.is_alive:
            raise RuntimeError(f"the service did not start: {self.said}")
        try:
            address = json.loads((self.data / "service.json").read_text())
        except (OSError, ValueError):
            return False
        if address["pid"] == self.pid:  # not that of its predecessor
            self.port = int(address["url"].rpartition(":")[2])
        return bool(self.port)
