"""A runner on a journal of its own, in which the actions of one connector run against the stub."""

import contextlib
import io
import itertools
import json
import logging
import tempfile
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
from pydantic import BaseModel

from connectors.conformance.stub import Respond, StubRequest, StubService, open_stub
from connectors.declared.action import restore_action
from connectors.service_requests import ServiceRequests
from connectors.wire.client import HttpClient
from durable.action import Action, Connector, Context, OpenConnection
from durable.clock import new_id, now
from durable.definition import Definition
from durable.engine import Start
from durable.grant import AccessTokens, GrantFlow
from durable.history.entries import AnyEntry, AttemptFailed
from durable.history.words import Failure
from durable.http_port import HttpRequests
from durable.journal.journal import Journal
from durable.language.catalogue import Catalogue
from durable.language.load import load_pipeline
from durable.language.resolve import resolve_pipeline
from durable.redactor import Redactor
from durable.runner.attempt import ActionRuntime
from durable.runner.live_runs import RunnerLimits
from durable.runner.runner import Runner
from durable.runner.start import RunAddresses
from durable.secrets import Secrets
from durable.units import Event
from durable.values import JSON

PATIENCE = 30.0
"""Seconds in which a run must end."""

NO_WAIT: Mapping[str, JSON] = {"max_attempts": 3, "min_delay": "1ms", "max_delay": "1ms"}
"""A retry policy that does not wait."""


@dataclass(frozen=True, slots=True)
class SampleConnection:
    """A connection for the stub. `secrets` are the canaries in it: values that must never become visible."""

    fields: BaseModel | None
    auth: Mapping[str, BaseModel]
    secrets: frozenset[str]
    base_url: str | None = None


@dataclass(frozen=True, slots=True)
class Trace:
    """The traces of a run.

    `output`: of the step `call`, if it completed.
    `failures`: of its attempts.
    `texts`: everything that can be seen of it: its history and its log.
    """

    status: str
    output: JSON
    failures: Sequence[Failure]
    requests: Sequence[StubRequest]
    texts: str
    reason: str | None = None

    @property
    def is_completed(self) -> bool:
        return self.status == "completed"

    @property
    def failure(self) -> Failure:
        """The last failure; empty if there is none."""
        return self.failures[-1] if self.failures else Failure()

    def describe(self) -> str:
        """Describe how it ended."""
        if self.is_completed:
            return "it completed"
        if self.failures:
            return f"it failed as {self.failure.error_class}: {self.failure.message}"
        return f"it is {self.status}{f': {self.reason}' if self.reason else ''}"


class _Served:
    """The pipelines in service: none."""

    def definition(self, pipeline: str) -> Definition | None:
        return None

    def starts(self, event: Event) -> Sequence[Start]:
        return ()


class SampleTokens(AccessTokens):
    """Access tokens for the made-up connection: one of its secrets."""

    def __init__(self, secrets: frozenset[str]) -> None:
        self._token = min(secrets, default="made-up")

    async def get_token(self, context: Context, flow: GrantFlow, settings: Any) -> str:
        return self._token

    async def replace_refused(
        self, context: Context, flow: GrantFlow, settings: Any, headers: Mapping[str, str]
    ) -> bool:
        return False


class CheckWorld:
    """Runs steps of a connector's actions."""

    def __init__(
        self,
        connector: Connector,
        connection: SampleConnection,
        stub: StubService,
        journal: Journal,
        client: HttpClient,
        seen: io.StringIO,
    ) -> None:
        self.connector = connector
        self.stub = stub
        self.connection = connection
        self._seen = seen
        self._journal = journal
        self._actions: dict[str, Action] = {}
        self._numbers = itertools.count(1)
        resources: dict[type, object] = {
            HttpClient: client,
            HttpRequests: ServiceRequests,
            AccessTokens: SampleTokens(connection.secrets),
        }
        self._runtime = ActionRuntime(
            self._actions, Secrets({}), resources, journal.load_payload, now, self._connect, restore_action
        )
        addresses = RunAddresses(lambda run: None, "")
        self.runner = Runner(journal, self._runtime, RunnerLimits(), addresses=addresses, pipelines=_Served())

    def _connect(self, name: str, use: str) -> OpenConnection:
        given = self.connection
        assert given.fields is not None, "a step without a connection opens none"
        return OpenConnection(name, given.fields, given.auth, given.secrets, given.base_url)

    async def run(
        self,
        action: str,
        given: Mapping[str, JSON],
        respond: Respond,
        *,
        retry: Mapping[str, JSON] | None = None,
        timeout: str = "10s",
        more: Sequence[Mapping[str, JSON]] = (),
        **keys: JSON,
    ) -> Trace:
        """Run a step of an action, then `more` steps. Without `retry`, there is one attempt."""
        retry = {"max_attempts": 1} if retry is None else retry
        step = self.make_step("call", action, given) | {"retry": dict(retry), "timeout": timeout, **keys}
        definition = self._define([step, *more])
        self.stub.play(respond)
        self._seen.seek(0)
        self._seen.truncate()
        with contextlib.redirect_stdout(self._seen), contextlib.redirect_stderr(self._seen):
            run = await self._start(definition)
            await self.runner.wait_for_end(run, PATIENCE)
        return await self._trace(run, self._seen.getvalue())

    def make_step(self, id: str, action: str, given: Mapping[str, JSON]) -> dict[str, JSON]:
        """A step of an action. Its connection has a name of its own: what holds back one does not hold back others."""
        step: dict[str, JSON] = {"id": id, "use": f"{self.connector.name}.{action}"}
        if self.connection.fields is not None:
            step["connection"] = f"stub_{next(self._numbers)}"
        return step | ({"with": dict(given)} if given else {})

    def _define(self, steps: Sequence[Mapping[str, JSON]]) -> Definition:
        for step in steps:
            connector, _, name = str(step["use"]).partition(".")
            if connector == self.connector.name:
                self._add_action(name)
        pipeline = {"id": "check", "steps": [dict(step) for step in steps]}
        loaded = load_pipeline(
            json.dumps(pipeline),
            file="check",
            catalogue=Catalogue(self._actions, {}),
            connections=lambda _: self.connector.name,
        )
        if loaded.pipeline is None:
            raise CheckFailed("; ".join(problem.message for problem in loaded.problems))
        return resolve_pipeline(loaded.pipeline, self._actions.get)

    def _add_action(self, name: str) -> None:
        use = f"{self.connector.name}.{name}"
        if use not in self._actions:
            action = self._actions[use] = self.connector.actions[name]
            if action.undo:
                self._add_action(action.undo.action)

    async def _start(self, definition: Definition) -> str:
        await self.runner.offer(definition)
        at = now()
        id = new_id("event", at)
        admitted = await self.runner.admit(Event(id, "check", id, None, at), [Start(definition, None)])
        return admitted.runs[0]

    async def _trace(self, run: str, log: str) -> Trace:
        found = await self._journal.find_run(run)
        entries = [entry for _, entry in await self._journal.read_history(run)]
        state = await self._journal.load_state(run)
        step = state.steps.get("call")
        output = None
        if found and found.status == "completed" and step and step.output is not None:
            output = step.output.load()
        return Trace(
            found.status if found else "missing",
            output,
            [entry.error for entry in entries if isinstance(entry, AttemptFailed)],
            list(self.stub.requests),
            f"{_show(entries)}\n{log}",
            found.reason if found else None,
        )


class CheckFailed(Exception):
    """A check has failed; the message says why."""


class NotApplicable(Exception):
    """A check does not apply to an action; the message says why."""


def _show(entries: Sequence[AnyEntry]) -> str:
    return msgspec.json.encode(entries).decode()


@contextlib.contextmanager
def _collect_log(redactor: Redactor) -> Iterator[io.StringIO]:
    """Collect the log, redacted as a service does it. A run is still logged when its end has been reported, so this
    must not end with a run."""
    seen = io.StringIO()

    class Collector(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            details: dict[str, Any] = {name: value for name, value in vars(record).items() if name == "exc_text"}
            seen.write(redactor.redact_text(f"{record.getMessage()} {details}\n"))

    handler, logger = Collector(), logging.getLogger("waypost")
    before = logger.level, logger.propagate
    logger.addHandler(handler)
    logger.setLevel(logging.DEBUG)
    logger.propagate = False
    try:
        yield seen
    finally:
        logger.removeHandler(handler)
        logger.setLevel(before[0])
        logger.propagate = before[1]


@asynccontextmanager
async def open_world(connector: Connector, connection: SampleConnection) -> AsyncIterator[CheckWorld]:
    """Make a world in a temporary folder, and close it."""
    with tempfile.TemporaryDirectory(prefix="waypost-check-") as folder:
        journal = await Journal.open(Path(folder), node=new_id("node", now()), on_fatal=_fail)
        try:
            with _collect_log(Redactor(connection.secrets)) as seen:
                async with open_stub() as (stub, client):
                    world = CheckWorld(connector, connection, stub, journal, client, seen)
                    yield world
                    await world.runner.drain(0)
        finally:
            await journal.close()


def _fail(error: BaseException) -> None:
    raise error
