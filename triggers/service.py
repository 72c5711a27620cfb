"""The composition root: the one module that knows everything, and joins it into a service."""

import asyncio
import contextlib
import gc
import hashlib
import json
import logging
import os
import socket
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from apscheduler.schedulers.asyncio import AsyncIOScheduler  # type: ignore[import-untyped]
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.routing import Mount, Route

from connectors.wire.client import HttpClient
from connectors.wire.egress import Egress
from connectors.wire.pool import TOTAL_LIMIT
from connectors.wire.proxy import Proxy
from durable import metrics
from durable.clock import new_id, now
from durable.ids import first_id
from durable.journal.journal import Journal
from durable.journal.sqlite.files import create_private, make_private
from durable.runner import Runner, RunnerLimits
from durable.runner.attempt import ActionRuntime
from durable.runner.recovery import Recovery
from durable.runner.start import RunAddresses
from durable.secrets import Secrets
from durable.wording import quote
from triggers import logs
from triggers.api import Api, answer_http_exception
from triggers.catalogue import Connectors, load_connectors
from triggers.connections import Connections
from triggers.folder import Folder
from triggers.gateway import Gateway
from triggers.health import Health
from triggers.http.body import BodyLimits
from triggers.http.rate_limit import RateLimiter, WebhookRateLimiters
from triggers.http.server import allow_connections, listen, make_server
from triggers.instance import ADDRESS_FILE
from triggers.keys import Guesses, Keys, ensure_guarded
from triggers.reload import Reloader
from triggers.schedules.alarm import Alarm
from triggers.schedules.schedules import Schedules
from triggers.settings import Settings, api_key
from triggers.signals import watch_stop_signals
from triggers.waits.links import WaitLinks
from triggers.webhooks.webhooks import ANSWERED_METHODS, PREFIX, Webhooks

log = logging.getLogger("waypost.service")

SWEEP_SECONDS = 1


@dataclass(frozen=True, slots=True)
class Service:
    """A service at work: its parts, for those who run it and those who test it."""

    settings: Settings
    url: str
    local_url: str
    data: Path
    key_file: Path | None
    folder: Folder
    reload: Reloader
    journal: Journal
    runner: Runner
    recovery: Recovery
    schedules: Schedules
    webhooks: Webhooks
    app: Starlette
    gateway: Gateway
    secrets: Secrets
    keys: Keys


@asynccontextmanager
async def compose(
    settings: Settings,
    config: Path,
    data: Path,
    environment: Mapping[str, str],
    *,
    address: tuple[str, int],
    connectors: Connectors | None = None,
    takes_over: bool = True,
    now: Callable[[], int] = now,
) -> AsyncIterator[Service]:
    """Join the parts over the journal in `data`, and part them in the reverse order. One that does not take runs over
    has only those that begin in it."""
    secrets = Secrets(environment)
    logs.configure(settings.log_format, settings.log_level, secrets.redactor)
    if settings.service_links:
        log.info(
            "%s are ignored: Kubernetes or Docker set them for a service of that name (`enableServiceLinks: false` in "
            "the pod turns that off)",
            ", ".join(settings.service_links),
        )
    for warning in settings.unknown:
        log.warning("%s", warning)
    for name in secrets.names():
        for problem in secrets.examine(name):
            log.warning("the secret %s %s", quote(name), problem)
    connectors = connectors or load_connectors()
    for name, why in connectors.broken.items():
        log.error("the connector %s cannot be used: %s", quote(name), why)
    node = new_id("node", now())
    async with contextlib.AsyncExitStack() as stack:
        journal = await Journal.open(data, node=node, on_fatal=_exit_process)
        stack.push_async_callback(journal.close)
        metrics.JOURNAL_WAITING.set_function(lambda: journal.waiting)
        egress = Egress.parse(",".join(settings.egress_allow))
        client = HttpClient(
            egress=egress,
            connections=max(TOTAL_LIMIT, settings.max_attempts_in_flight),
            proxy=_make_proxy(settings, secrets),
        )
        stack.push_async_callback(client.close)
        resources: dict[type, object] = {HttpClient: client, Egress: egress}
        url = settings.public_url or f"http://{_bracketed(address[0])}:{address[1]}"
        wired = Connections(config, connectors, secrets)
        folder = Folder(
            config,
            connectors,
            secrets,
            run_timeout=settings.run_timeout,
            public_url=settings.public_url,
            connections=wired,
        )
        runner = Runner(
            journal,
            ActionRuntime(connectors.actions, secrets, resources, journal.load_payload, now, wired.open),
            RunnerLimits(
                settings.max_attempts_in_flight,
                settings.max_live_runs,
                settings.recovery_limit,
                settings.max_runs_per_event,
            ),
            addresses=RunAddresses(lambda run: f"{url}/api/runs/{run}", f"{url}/waits"),
            pipelines=folder,
            first="" if takes_over else first_id("run", now()),
        )
        await runner.offer(*folder.definitions)
        key, key_file = api_key(data, settings)
        secrets.redactor.learn(key)
        bounds = BodyLimits(settings.max_body_bytes, settings.body_timeout / 1000)
        hash_key = hashlib.sha256(f"withheld headers\0{key}".encode()).digest()
        limiters = WebhookRateLimiters(
            addresses=RateLimiter(settings.address_rate, time.monotonic_ns),
            hooks=RateLimiter(settings.webhook_rate, time.monotonic_ns),
        )
        webhooks = Webhooks(runner, journal, secrets, now, bounds, limiters, hash_key)
        schedules = Schedules(runner, journal, now)
        ways_in = (webhooks, schedules)
        reload = Reloader(folder, runner, ways_in)
        for way_in in ways_in:
            await way_in.serve(folder.triggers, folder.broken)
        keys = Keys(journal, key, now)
        await keys.load()
        api = Api(runner, journal, folder, schedules, now, bounds, keys, Guesses(time.monotonic))
        app = Starlette(
            routes=[
                *Health(journal, runner, folder, settings.max_body_bytes).routes(),
                Route(f"{PREFIX}/{{path:path}}", webhooks, methods=ANSWERED_METHODS),
                *WaitLinks(runner, journal, now, bounds, limiters.addresses).routes(),
                Mount("/api", app=api.app()),
            ],
            exception_handlers={HTTPException: answer_http_exception},
        )
        app.router.redirect_slashes = False  # to the host that the request names, which any client can choose
        recovery = Recovery(journal, runner, now)
        yield Service(
            settings=settings,
            url=url,
            local_url=_make_local_url(address),
            data=data,
            key_file=key_file,
            folder=folder,
            reload=reload,
            journal=journal,
            runner=runner,
            recovery=recovery,
            schedules=schedules,
            webhooks=webhooks,
            app=app,
            gateway=Gateway(webhooks, app, keys, RateLimiter(settings.keyless_rate, time.monotonic_ns)),
            secrets=secrets,
            keys=keys,
        )


async def serve(
    settings: Settings,
    config: Path,
    data: Path,
    environment: Mapping[str, str],
    *,
    announce: Callable[[Service], None],
) -> None:
    """Serve until SIGTERM or SIGINT, then drain; a second signal stops at once.

    Raises OSError if the address is taken, the journal's errors if the data folder cannot be used, and `SettingsError`
    if other machines could reach an API that nobody guards.
    """
    stopping = watch_stop_signals()
    with listen(settings.host, settings.port) as listener:
        async with compose(settings, config, data, environment, address=listener.getsockname()[:2]) as service:
            ensure_guarded(settings, service.keys)
            allow_connections(settings.max_connections)
            _freeze_garbage()
            async with run_service(service, listener) as serving:
                announce(service)
                await asyncio.wait({serving, asyncio.create_task(stopping.wait())}, return_when=asyncio.FIRST_COMPLETED)
                log.info("stopping: no more requests are taken")


def _make_proxy(settings: Settings, secrets: Secrets) -> Proxy | None:
    """The proxy for the way out, with its credentials as of each use."""
    if settings.egress_proxy is None:
        return None
    direct = Egress.parse(",".join(settings.egress_proxy_except))
    credentials = partial(_optional_secret, secrets, "EGRESS_PROXY")
    return Proxy.parse(settings.egress_proxy, direct, credentials)


def _optional_secret(secrets: Secrets, name: str) -> str | None:
    return secrets.get(name) if secrets.has(name) else None


def _freeze_garbage() -> None:
    """What was loaded stays, so the garbage collector need not look at it again; runs make little that is circular."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(10_000, 20, 20)


@asynccontextmanager
async def run_service(
    service: Service, listener: socket.socket, *, fires_schedules: bool = True
) -> AsyncIterator["asyncio.Task[None]"]:
    """Answer on the listener, recover what a killed process left behind, and sweep; in the end, drain."""
    server = make_server(service.gateway, max_connections=service.settings.max_connections)
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    recovering = asyncio.create_task(_recover(service))
    reloading = asyncio.create_task(service.reload.watch())
    watching = [asyncio.create_task(work) for work in (service.journal.watch(), service.journal.check_after_crash())]
    scheduler = _start_sweeping(service.recovery)
    alarm = Alarm(service.schedules)
    if fires_schedules:
        alarm.start(scheduler)
    address_file = service.data / ADDRESS_FILE
    make_private([address_file])
    create_private(address_file)
    address_file.write_text(json.dumps({"url": _local_url(listener), "pid": os.getpid()}))
    try:
        yield serving
    finally:
        alarm.stop()
        scheduler.shutdown(wait=False)
        await service.schedules.close()
        recovering.cancel()
        reloading.cancel()
        for each in watching:
            each.cancel()
        service.runner.begin_draining()
        server.stop()
        await serving
        await service.runner.drain(service.settings.drain_timeout / 1000)
        address_file.unlink(missing_ok=True)


async def _recover(service: Service) -> None:
    try:
        await service.recovery.recover()
    except Exception:
        log.exception("recovery failed; runs that it did not reach stay where they are until the next start")


def _start_sweeping(recovery: Recovery) -> AsyncIOScheduler:
    async def sweep() -> None:
        with contextlib.suppress(asyncio.CancelledError):  # which says that the service stops, and is no job's failure
            await recovery.sweep()

    scheduler = AsyncIOScheduler(timezone="UTC")
    scheduler.add_job(sweep, "interval", seconds=SWEEP_SECONDS, max_instances=1, coalesce=True, misfire_grace_time=None)
    scheduler.start()
    return scheduler


def _exit_process(error: BaseException) -> None:
    """The journal cannot tell what is durable any more: end the process, and let recovery find out."""
    log.critical("the journal failed: %s; the process ends, and the next start recovers what the journal has", error)
    logs.flush()
    os._exit(1)


def _local_url(listener: socket.socket) -> str:
    return _make_local_url(listener.getsockname()[:2])


def _make_local_url(address: tuple[str, int]) -> str:
    """Where this machine reaches a service that listens there."""
    host, port = address
    return f"http://{_bracketed({'0.0.0.0': '127.0.0.1', '::': '::1'}.get(host, host))}:{port}"


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host
