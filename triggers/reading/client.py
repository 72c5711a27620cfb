"""The service that works on a data folder, and what it is asked and told over its API."""

import contextlib
import json
import os
import re
import ssl
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any, NamedTuple
from urllib.parse import quote, urlsplit

import httpx

from durable.values import JSON
from triggers.instance import ADDRESS_FILE, Instance
from triggers.not_found import RunNotFound


class InvalidField(NamedTuple):
    """One thing that is wrong with what was sent: its name in the API, and why."""

    name: str
    detail: str


class ServiceRefused(Exception):
    """The service answered with an error; the message is its own, `status` that of HTTP."""

    def __init__(self, message: str, status: int, invalid: Sequence[InvalidField] = ()) -> None:
        super().__init__(message)
        self.status = status
        self.invalid = tuple(invalid)


class ServiceClient:
    """Asks the running service; raises `ServiceRefused`, `RunNotFound` and `httpx.TransportError`."""

    def __init__(self, client: httpx.AsyncClient, url: str, pid: int) -> None:
        self._client = client
        self.url = url
        self.pid = pid

    async def list_runs(self, **filters: str | int | None) -> list[dict[str, Any]]:
        return list((await self._ask("GET", "/api/runs", params=_drop_none(filters)))["runs"])

    async def get_run(self, run: str) -> dict[str, Any]:
        return await self._ask_of(run, "GET", "")

    async def get_history(self, run: str) -> list[dict[str, Any]]:
        entries: list[dict[str, Any]] = []
        after: int | None = 0
        while after is not None:
            page = await self._ask_of(run, "GET", "/history", params={"after": after})
            entries += page["entries"]
            after = page["after"]
        return entries

    async def export_run(self, run: str) -> str:
        answer = await self._client.get(f"/api/runs/{quote(run, safe='')}/export")
        if answer.status_code == 404:
            raise RunNotFound(run)
        self._read(answer)
        return answer.text

    async def list_waits(self, run: str | None) -> list[dict[str, Any]]:
        waits: list[dict[str, Any]] = []
        asked: dict[str, str | int | None] = {"run": run}
        while True:
            page = await self._page_of_waits(asked)
            waits += page["waits"]
            if page["after"] is None:
                return waits
            asked = {"after": page["after"]}

    async def _page_of_waits(self, asked: Mapping[str, str | int | None]) -> dict[str, Any]:
        try:
            return await self._ask("GET", "/api/waits", params=_drop_none(asked))
        except ServiceRefused as refused:
            if refused.status == 404 and asked.get("run"):
                raise RunNotFound(str(asked["run"])) from None
            raise

    async def list_deliveries(self, **filters: str | int | None) -> list[dict[str, Any]]:
        return list((await self._ask("GET", "/api/deliveries", params=_drop_none(filters)))["deliveries"])

    async def answer_run(self, run: str, said: Mapping[str, JSON]) -> dict[str, Any]:
        return await self._say(run, "answer", said)

    async def resolve_step(self, run: str, said: Mapping[str, JSON]) -> dict[str, Any]:
        return await self._say(run, "resolve", said)

    async def resume_run(self, run: str) -> dict[str, Any]:
        return await self._ask_of(run, "POST", "/resume")

    async def emit_event(self, event: Mapping[str, JSON], key: str | None) -> dict[str, Any]:
        headers = {} if key is None else {"Idempotency-Key": key}
        return await self._ask("POST", "/api/events", json=event, headers=headers)

    async def start_run(self, pipeline: str, inputs: Mapping[str, JSON]) -> dict[str, Any]:
        return await self._ask("POST", f"/api/pipelines/{quote(pipeline, safe='')}/runs", json={"inputs": inputs})

    async def cancel_run(self, run: str, reason: str | None) -> dict[str, Any]:
        return await self._ask_of(run, "POST", "/cancel", json={"reason": reason})

    async def list_pipelines(self) -> list[dict[str, Any]]:
        return list((await self._ask("GET", "/api/pipelines"))["pipelines"])

    async def list_schedules(self) -> list[dict[str, Any]]:
        return list((await self._ask("GET", "/api/schedules"))["schedules"])

    async def list_keys(self) -> list[dict[str, Any]]:
        return list((await self._ask("GET", "/api/keys"))["keys"])

    async def create_key(self, name: str, scope: str) -> dict[str, Any]:
        return await self._ask("POST", "/api/keys", json={"name": name, "scope": scope})

    async def revoke_key(self, key: str) -> dict[str, Any]:
        return await self._ask("DELETE", f"/api/keys/{quote(key, safe='')}")

    async def unready(self) -> str | None:
        """Why the service takes no events at the moment; None if it does."""
        answer: dict[str, Any] = (await self._client.get("/ready")).json()
        return None if answer.get("ready") else str(answer.get("reason"))

    async def is_healthy(self) -> bool:
        """Whether it is a Waypost that answers there."""
        with contextlib.suppress(httpx.TransportError, ValueError):
            return bool((await self._client.get("/health")).json() == {"status": "ok"})
        return False

    async def _ask_of(self, run: str, method: str, what: str, **more: Any) -> dict[str, Any]:
        try:
            return await self._ask(method, f"/api/runs/{quote(run, safe='')}{what}", **more)
        except ServiceRefused as refused:
            if refused.status == 404:
                raise RunNotFound(run) from None
            raise

    async def _say(self, run: str, what: str, said: Mapping[str, JSON]) -> dict[str, Any]:
        """Say something to a run; a 404 is about the run or about one of its steps."""
        try:
            return await self._ask("POST", f"/api/runs/{quote(run, safe='')}/{what}", json=said)
        except ServiceRefused as refused:
            if refused.status == 404:
                await self._ask_of(
                    run, "GET", "/history", params={"limit": 1}
                )  # raises if it is the run that is missing
            raise

    async def _ask(self, method: str, path: str, **more: Any) -> dict[str, Any]:
        return self._read(await self._client.request(method, path, **more))

    def _read(self, answer: httpx.Response) -> dict[str, Any]:
        try:
            document: dict[str, Any] = answer.json()
        except ValueError:
            what = f"{self.url} answered {answer.status_code} without JSON: is it Waypost?"
            raise ServiceRefused(what, answer.status_code) from None
        if answer.is_error:
            raise ServiceRefused(str(document.get("detail", document)), answer.status_code, _invalid_fields(document))
        return document


def _invalid_fields(document: dict[str, Any]) -> list[InvalidField]:
    return [InvalidField(str(each["name"]), str(each["detail"])) for each in document.get("errors", ())]


def _drop_none(parameters: Mapping[str, str | int | None]) -> dict[str, str | int]:
    return {name: value for name, value in parameters.items() if value is not None}


@contextlib.asynccontextmanager
async def connect_service(place: Instance) -> AsyncIterator[ServiceClient | None]:
    """The service that works on a data folder, None if none answers."""
    try:
        noted = json.loads((place.data / ADDRESS_FILE).read_text())
        url, pid = str(noted["url"]), int(noted["pid"])
        urlsplit(url).port  # noqa: B018  # raises ValueError for what is no address
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        yield None
        return
    key = place.key()
    if key and not re.fullmatch("[!-~]+", key):
        raise ServiceRefused(
            "the API key (WAYPOST_API_KEY, or `api_key` in settings.toml) should be printable ASCII", 401
        )
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # never spoken on this machine, so no authority need be read
    async with httpx.AsyncClient(base_url=url, headers=headers, trust_env=False, timeout=30, verify=tls) as client:
        running = ServiceClient(client, url, pid)
        # The note of a killed service outlives it, and another folder's service may listen there by now.
        yield running if _is_alive(pid) and await running.is_healthy() else None


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except OSError:
        pass  # it is there, and somebody else's
    return True
