"""Exchanges with a real service, recorded once and replayed in every later test, without the credentials in them."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx

from connectors.wire.egress import Egress
from connectors.wire.transport import Transport
from durable.redactor import Redactor
from durable.values import JSON

ANYWHERE = Egress.parse("0.0.0.0/0,::/0")
"""Who records says what is called."""

_KEPT = frozenset({"content-type", "link", "location", "retry-after", "date", "etag"})
"""Headers of answers that a recording has, beside those of rate limits. Others identify a session or a machine."""

_OPTION = "--waypost-record"


class RecordingMismatch(AssertionError):
    """A request differs from the recorded one; the message says how, and what to do."""


class RecordingTransport(httpx.AsyncBaseTransport):
    """Sends requests to the service, and records the exchanges without the secrets that `redactor` knows."""

    def __init__(self, redactor: Redactor) -> None:
        self.exchanges: list[dict[str, JSON]] = []
        self.requests: list[httpx.Request] = []
        self._redactor = redactor
        self._transport = Transport(ANYWHERE)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        response = await self._transport.handle_async_request(request)
        await response.aread()  # undoes its content coding
        answer: dict[str, JSON] = {
            "status": response.status_code,
            "headers": {name: value for name, value in response.headers.items() if _is_kept(name)},
            "body": self._redactor.redact_text(response.text),
        }
        self.exchanges.append({"request": describe_request(request, self._redactor), "answer": answer})
        return httpx.Response(response.status_code, headers=_drop_codings(response.headers), content=response.content)

    async def aclose(self) -> None:
        await self._transport.aclose()

    def save(self, file: Path) -> None:
        """Write the exchanges."""
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(self.exchanges, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


class ReplayingTransport(httpx.AsyncBaseTransport):
    """Answers as a recording says, and compares the requests with it."""

    def __init__(self, file: Path, redactor: Redactor) -> None:
        if not file.is_file():
            raise RecordingMismatch(f"{file} does not exist: record it with `pytest {_OPTION}`")
        self.exchanges: list[Any] = json.loads(file.read_text("utf-8"))
        self.requests: list[httpx.Request] = []
        self._redactor = redactor
        self._file = file

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        number = len(self.requests)
        self.requests.append(request)
        cure = f"record it again with `pytest {_OPTION}`"
        if number >= len(self.exchanges):
            raise RecordingMismatch(f"{self._file} has {number} requests, and one more was sent; {cure}")
        exchange = self.exchanges[number]
        sent = describe_request(request, self._redactor)
        if sent != exchange["request"]:
            raise RecordingMismatch(
                f"request {number + 1} is {sent}, and {exchange['request']} in {self._file}; {cure}"
            )
        answer = exchange["answer"]
        return httpx.Response(answer["status"], headers=answer["headers"], content=answer["body"].encode())


def describe_request(request: httpx.Request, redactor: Redactor) -> dict[str, JSON]:
    """Return the recorded parts of a request, without its headers, which contain the credentials."""
    url = request.url.copy_with(userinfo=None) if request.url.userinfo else request.url
    body = request.content.decode(errors="replace")
    return {
        "method": request.method,
        "url": redactor.redact_text(str(url)),
        "body": redactor.redact_text(body),
    }


def _is_kept(name: str) -> bool:
    return name in _KEPT or "ratelimit" in name


def _drop_codings(headers: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in headers.items() if name not in {"content-encoding", "content-length"}}
