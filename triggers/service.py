"""The composition root: makes the parts of a service, joins them, and runs them.

It is the only module that imports both `connectors` and `triggers`; `compose` is its table of contents.
"""

import asyncio
import contextlib
import gc
import hashlib
import json
import logging
import os
import socket
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.routing import Mount, Route

from connectors.declared.action import restore_action
from connectors.mcp.servers import McpServers
from connectors.service_requests import ServiceRequests
from connectors.wire.client import HttpClient
from connectors.wire.egress import Egress
from connectors.wire.pool import TOTAL_LIMIT
from connectors.wire.proxy import Proxy
from durable import metrics
from durable.clock import new_id, now
from durable.grant import AccessTokens
from durable.grants.grants import Grants
from durable.grants.stored import GrantStore
from durable.http_port import HttpRequests
from durable.ids import first_id
from durable.journal.journal import Journal
from durable.journal.sqlite.files import create_private, make_private
from durable.progress import ProgressBoard
from durable.runner.attempt import ActionRuntime
from durable.runner.live_runs import RunnerLimits
from durable.runner.recovery import Recovery
from durable.runner.retention import Retention
from durable.runner.runner import Runner
from durable.runner.start import RunAddresses
from durable.secrets import Secrets
from triggers import logs
from triggers.alerts.alerts import Alerts
from triggers.alerts.findings import Findings
from triggers.alerts.trigger import AlertTrigger
from triggers.api.api import Api, ApiParts, answer_http_exception
from triggers.api.connections import ConnectionOperations
from triggers.api.schedules import ScheduleOperations
from triggers.audit import AuditLog
from triggers.bulks.actions import BulkActions
from triggers.bulks.bulks import Bulks
from triggers.config.catalogue import Connectors, load_connectors
from triggers.config.connections import Connections
from triggers.config.discovery import Discoverer
from triggers.config.findings import log_findings
from triggers.config.folder import Folder
from triggers.config.reload import DISCOVERY_SECONDS, Reloader
from triggers.dashboard.dashboard import Dashboard
from triggers.gateway import Gateway
from triggers.health import Health
from triggers.http.body import BodyLimits
from triggers.http.proxies import TrustedProxies
from triggers.http.rate_limit import RateLimiter
from triggers.http.server import allow_connections, listen, make_server
from triggers.instance import ADDRESS_FILE, Instance
from triggers.keys import ADMIN, Keys, ensure_guarded
from triggers.logins.callback import LoginCallback
from triggers.logins.logins import Logins
from triggers.realtime.realtime import Realtime
from triggers.realtime.streams import Streams
from triggers.repeats.replays import Replays
from triggers.repeats.reruns import Reruns
from triggers.schedules.alarm import Alarm
from triggers.schedules.schedules import Schedules
from triggers.secret_store import SecretStore, open_secret_store
from triggers.sessions.entrance import Entrance
from triggers.settings import Settings, load_api_key, make_url
from triggers.signals import watch_stop_signals
from triggers.sweeps import start_sweeping
from triggers.traces.destination import open_exporter
from triggers.traces.exporter import TraceExporter
from triggers.waits.links import WaitLinks
from triggers.waits.proofs import WAITS_PREFIX
from triggers.webhooks.request_keeper import KeptLimits, RequestKeeper
from triggers.webhooks.route import PREFIX
from triggers.webhooks.webhooks import ANSWERED_METHODS, WebhookLimiters, Webhooks

log = logging.getLogger("waypost.service")

SOCKET_PATH = "/api/socket"

COMMAND_DISCOVERY_SECONDS = 90.0
"""The time that a command waits for services whose actions are not known: a package may be downloaded first."""


@dataclass(frozen=True, slots=True)
class Service:
    """The parts of a service, for the code that runs it and for tests."""

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
    retention: Retention
    schedules: Schedules
    alerts: Alerts
    bulks: Bulks
    webhooks: Webhooks
    keeper: RequestKeeper
    app: Starlette
    gateway: Gateway
    realtime: Realtime
    secrets: Secrets
    keys: Keys
    entrance: Entrance
    traces: TraceExporter | None = None


@asynccontextmanager
async def compose(
    settings: Settings,
    instance: Instance,
    *,
    address: tuple[str, int],
    connectors: Connectors | None = None,
    takes_over: bool = True,
    now: Callable[[], int] = now,
) -> AsyncIterator[Service]:
    """Join the parts over the journal of an instance, and close them in reverse order. A service that does not take
    runs over performs only those that begin in it. Raises `NoConnectors`, `SettingsError` and the journal's errors."""
    secrets = Secrets(instance.environment)
    logs.configure(settings.log_format, settings.log_level, secrets.redactor)
    connectors = connectors or load_connectors(instance.config, instance.data)
    url = settings.public_url or make_url(*address)
    async with contextlib.AsyncExitStack() as stack:
        journal = await _open_journal(stack, instance, now)
        secret_store = await open_secret_store(settings, instance.data, secrets, journal, now)
        resources, servers, grants = await _open_resources(stack, settings, secret_store, journal, now)
        connections = Connections(instance.config, connectors, secrets)
        discoverer = Discoverer(connectors, connections, resources, servers.keep)
        await discoverer.follow(DISCOVERY_SECONDS)
        folder = _make_folder(settings, instance, connectors, secrets, connections)
        log_findings(settings, secrets, secret_store, connectors)
        audit = AuditLog(journal, secrets.redactor, now)
        logins = Logins(connections, grants, url, now, audit)
        runtime = _make_runtime(connectors, connections, secrets, resources, journal, now)
        runner = _make_runner(settings, journal, runtime, folder, url, "" if takes_over else first_id("run", now()))
        await runner.offer(*folder.definitions)
        edges = secret_store, logins, audit, now
        service = await _open_ways_in(settings, instance, address, journal, runner, folder, *edges)
        service.reload.discoverer = discoverer
        secret_store.reload = service.reload.reload
        resources[ProgressBoard] = service.realtime.board
        yield replace(service, traces=open_exporter(settings, instance, secrets, journal, connectors.actions, now))


def _make_folder(
    settings: Settings, instance: Instance, connectors: Connectors, secrets: Secrets, connections: Connections
) -> Folder:
    return Folder(
        instance.config,
        connectors,
        secrets,
        run_timeout=settings.run_timeout,
        retention=settings.retention,
        public_url=settings.public_url,
        connections=connections,
    )


async def _open_journal(stack: contextlib.AsyncExitStack, instance: Instance, now: Callable[[], int]) -> Journal:
    journal = await Journal.open(instance.data, node=new_id("node", now()), on_fatal=_exit_process)
    stack.push_async_callback(journal.close)
    metrics.JOURNAL_WAITING.set_function(lambda: journal.waiting)
    return journal


async def _open_resources(
    stack: contextlib.AsyncExitStack,
    settings: Settings,
    secret_store: SecretStore,
    journal: Journal,
    now: Callable[[], int],
) -> tuple[dict[type, object], McpServers, Grants]:
    """The objects that actions share, by class; and the MCP servers and grants among them."""
    egress = Egress.parse(",".join(settings.egress_allow))
    client = await stack.enter_async_context(_make_client(settings, secret_store.secrets, egress))
    servers = await stack.enter_async_context(McpServers())
    resources: dict[type, object] = {HttpClient: client, Egress: egress, HttpRequests: ServiceRequests}
    grants = Grants(GrantStore(secret_store.store), resources, secret_store.secrets.redactor, now, holder=journal.node)
    await grants.load()
    stack.push_async_callback(grants.close)
    metrics.CONNECTION_NEEDS_LOGIN.read = lambda: {(name,): 1 for name in grants.list_lost()}
    resources |= {McpServers: servers, AccessTokens: grants}
    return resources, servers, grants


def _make_client(settings: Settings, secrets: Secrets, egress: Egress) -> HttpClient:
    """The HTTP client that connectors share; it uses the proxy if one is set."""
    connections = max(TOTAL_LIMIT, settings.max_attempts_in_flight)
    proxy = None
    if settings.egress_proxy is not None:
        direct = Egress.parse(",".join(settings.egress_proxy_except))
        proxy = Proxy.parse(settings.egress_proxy, direct, partial(_get_optional, secrets, "EGRESS_PROXY"))
    return HttpClient(egress=egress, connections=connections, proxy=proxy)


def _get_optional(secrets: Secrets, name: str) -> str | None:
    return secrets.get(name) if secrets.has(name) else None


def _make_runtime(
    connectors: Connectors,
    connections: Connections,
    secrets: Secrets,
    resources: dict[type, object],
    journal: Journal,
    now: Callable[[], int],
) -> ActionRuntime:
    opening = connections.open, restore_action, connections.find_limit
    return ActionRuntime(connectors.actions, secrets, resources, journal.load_payload, now, *opening)


def _make_runner(
    settings: Settings, journal: Journal, runtime: ActionRuntime, folder: Folder, url: str, first: str
) -> Runner:
    limits = RunnerLimits(
        settings.max_attempts_in_flight,
        settings.max_live_runs,
        settings.recovery_limit,
        settings.max_runs_per_event,
    )
    addresses = RunAddresses(lambda run: f"{url}/api/runs/{run}", f"{url}{WAITS_PREFIX}")
    return Runner(journal, runtime, limits, addresses=addresses, pipelines=folder, first=first)


def _make_retention(
    settings: Settings, journal: Journal, runner: Runner, folder: Folder, now: Callable[[], int]
) -> Retention:
    return Retention(
        journal,
        folder,
        delivery_age=settings.retention_deliveries,
        event_age=settings.retention_events,
        audit_age=settings.retention_audit,
        needs_version=runner.versions.needs,
        now=now,
    )


async def _open_ways_in(
    settings: Settings,
    instance: Instance,
    address: tuple[str, int],
    journal: Journal,
    runner: Runner,
    folder: Folder,
    secret_store: SecretStore,
    logins: Logins,
    audit: AuditLog,
    now: Callable[[], int],
) -> Service:
    """Webhooks, schedules and the API over the runner."""
    keys, key, key_file = await _load_keys(settings, instance, journal, secret_store.secrets, now)
    bounds = BodyLimits(settings.max_body_bytes, settings.body_timeout / 1000)
    keeper = _make_keeper(settings, journal, key)
    webhooks, links = _make_hooks(settings, runner, journal, secret_store.secrets, keeper, audit, bounds, now)
    schedules = Schedules(runner, journal, now)
    replays, bulks = _make_bulks(runner, journal, folder, secret_store.secrets, keeper.key, now)
    entrance = await Entrance.open(settings, journal, keys, secret_store.secrets, now, make_url(*address), audit)
    realtime = Realtime(journal, keys, folder.list_names, now, settings.max_streams)
    more = logins, secret_store, now, bounds, keys, entrance, f"{logins.url}{WAITS_PREFIX}", realtime, audit
    api = Api(ApiParts(settings, instance, runner, journal, folder, schedules, webhooks, bulks, replays, *more))
    health = Health(journal, runner, folder, settings.max_body_bytes, secret_store.count_unreadable)
    app = _make_app(webhooks, health, links, logins, api, entrance, realtime.streams, bounds, now)
    return Service(
        settings=settings,
        url=logins.url,
        local_url=make_url(*address),
        data=instance.data,
        key_file=key_file,
        folder=folder,
        reload=await _open_triggers(folder, runner, webhooks, schedules),
        journal=journal,
        runner=runner,
        recovery=Recovery(journal, runner, now),
        retention=_make_retention(settings, journal, runner, folder, now),
        schedules=schedules,
        alerts=_make_alerts(runner, journal, folder, schedules, logins, now),
        bulks=bulks,
        webhooks=webhooks,
        keeper=keeper,
        app=app,
        gateway=_make_gateway(settings, webhooks, app, entrance),
        realtime=realtime,
        secrets=secret_store.secrets,
        keys=keys,
        entrance=entrance,
    )


async def _open_triggers(folder: Folder, runner: Runner, webhooks: Webhooks, schedules: Schedules) -> Reloader:
    """Load the triggers of the folder's pipelines, and what reloads them."""
    reload = Reloader(folder, runner, (webhooks, schedules))
    await webhooks.load_unknown_paths()
    await reload.serve()
    return reload


def _make_hooks(
    settings: Settings,
    runner: Runner,
    journal: Journal,
    secrets: Secrets,
    keeper: RequestKeeper,
    audit: AuditLog,
    bounds: BodyLimits,
    now: Callable[[], int],
) -> tuple[Webhooks, WaitLinks]:
    """The webhooks and the links to waits, which strangers reach and which share the rates of networks."""
    limiters = WebhookLimiters.make(settings.address_rate, settings.webhook_rate, time.monotonic_ns)
    webhooks = Webhooks(runner, journal, secrets, now, bounds, limiters, keeper)
    return webhooks, WaitLinks(runner, journal, now, bounds, limiters.networks, audit)


def _make_alerts(
    runner: Runner, journal: Journal, folder: Folder, schedules: Schedules, logins: Logins, now: Callable[[], int]
) -> Alerts:
    connections, timetable = ConnectionOperations(runner, folder, logins), ScheduleOperations(folder, schedules, now)
    findings = Findings(journal, connections.describe, timetable.describe)
    return Alerts(runner, journal, lambda: folder.find_triggers(AlertTrigger), findings, logins.url, now)


def _make_bulks(
    runner: Runner, journal: Journal, folder: Folder, secrets: Secrets, hash_key: bytes, now: Callable[[], int]
) -> tuple[Replays, Bulks]:
    replays = Replays(runner, journal, folder, secrets, hash_key, now)
    actions = BulkActions(runner, journal, Reruns(runner, journal, folder, now), replays)
    return replays, Bulks(runner, journal, actions, folder.list_names, now)


def _make_keeper(settings: Settings, journal: Journal, key: str) -> RequestKeeper:
    """What keeps the requests of deliveries. Its hashes of credentials are keyed by the API key, which is no part of
    the journal."""
    limits = KeptLimits(settings.max_delivery_bytes, settings.max_deliveries_bytes, settings.max_rejected_bytes)
    return RequestKeeper(journal, limits, hashlib.sha256(f"withheld headers\0{key}".encode()).digest())


def _make_gateway(settings: Settings, webhooks: Webhooks, app: Starlette, entrance: Entrance) -> Gateway:
    strangers = RateLimiter(settings.keyless_rate, time.monotonic_ns)
    return Gateway(webhooks, app, entrance.visitors, strangers, TrustedProxies(settings.trusted_proxies))


async def _load_keys(
    settings: Settings, instance: Instance, journal: Journal, secrets: Secrets, now: Callable[[], int]
) -> tuple[Keys, str, Path | None]:
    """The API's keys; the first one, which is set or generated; and the file of one that was generated."""
    key, file = load_api_key(instance.data, settings)
    secrets.redactor.learn(key)
    keys = Keys(journal, key, now)
    await keys.load()
    await keys.derive_signing_root()
    return keys, key, file


def _make_app(
    webhooks: Webhooks,
    health: Health,
    links: WaitLinks,
    logins: Logins,
    api: Api,
    entrance: Entrance,
    streams: Streams,
    bounds: BodyLimits,
    now: Callable[[], int],
) -> Starlette:
    dashboard = Dashboard(api.calls, entrance.visitors, streams, bounds, now)
    routes = [
        *health.routes(),
        Route(f"{PREFIX}/{{path:path}}", webhooks, methods=ANSWERED_METHODS),
        *links.routes(),
        *LoginCallback(logins).routes(),
        *entrance.sign_in.routes(),
        Mount("/api", api.app()),
    ]
    app = Starlette(routes=routes, exception_handlers={HTTPException: answer_http_exception})
    app.router.default = dashboard.app()
    app.router.redirect_slashes = False  # to the host that the request names, which any client can choose
    return app


async def learn_actions(settings: Settings, instance: Instance, connectors: Connectors, secrets: Secrets) -> None:
    """Ask services, without a running service, for actions that connectors' files do not list."""
    egress = Egress.parse(",".join(settings.egress_allow))
    connections = Connections(instance.config, connectors, secrets)
    async with _make_client(settings, secrets, egress) as client, McpServers() as servers:
        resources: dict[type, object] = {HttpClient: client, McpServers: servers}
        await Discoverer(connectors, connections, resources, servers.keep).follow(COMMAND_DISCOVERY_SECONDS)


async def serve(settings: Settings, instance: Instance, *, announce: Callable[[Service, str], None]) -> None:
    """Serve until SIGTERM or SIGINT, then drain; a second signal stops at once.

    Raises `OSError` if the address is taken, `NoConnectors`, the journal's errors if the data folder cannot be used,
    and `SettingsError` if other machines could reach an API that has no key.
    """
    stopping = watch_stop_signals()
    with listen(settings.host, settings.port) as listener:
        async with compose(settings, instance, address=listener.getsockname()[:2]) as service:
            ensure_guarded(settings, service.keys)
            allow_connections(settings.max_connections)
            _freeze_garbage()
            async with run_service(service, listener) as serving:
                link = await service.entrance.links.make(ADMIN)
                announce(service, link.url if link else service.url)
                await asyncio.wait({serving, asyncio.create_task(stopping.wait())}, return_when=asyncio.FIRST_COMPLETED)
                log.info("stopping: no more requests are accepted")


def _freeze_garbage() -> None:
    """Keep the garbage collector from scanning what was loaded, and let it run less often: runs leave few cycles."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(10_000, 20, 20)


@asynccontextmanager
async def run_service(
    service: Service, listener: socket.socket, *, fires_schedules: bool = True
) -> AsyncIterator["asyncio.Task[None]"]:
    """Answer on the listener, recover the runs of a process that was killed, and sweep; at the end, drain."""
    server = make_server(service.gateway, max_connections=service.settings.max_connections, socket_path=SOCKET_PATH)
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    journal = service.journal
    background = [
        asyncio.create_task(work)
        for work in (
            _recover(service),
            service.reload.watch(),
            service.reload.discover(),
            journal.watch(),
            journal.check_after_crash(),
            service.keeper.watch(),
            *([service.traces.export()] if service.traces else []),
        )
    ]
    scheduler = start_sweeping(service.recovery, service.retention, service.alerts)
    scheduler.add_job(service.webhooks.keep_unknown_paths, "interval", minutes=1, misfire_grace_time=None)
    alarm = Alarm(service.schedules)
    if fires_schedules:
        alarm.start(scheduler)
        await service.bulks.continue_all()
    address_file = service.data / ADDRESS_FILE
    make_private([address_file])
    create_private(address_file)
    address_file.write_text(json.dumps({"url": service.local_url, "pid": os.getpid()}))
    try:
        yield serving
    finally:
        alarm.stop()
        scheduler.shutdown(wait=False)
        await service.schedules.close()
        await service.bulks.close()
        for task in background:
            task.cancel()
        service.runner.begin_draining()
        service.realtime.streams.close()
        server.stop()
        await serving
        await service.webhooks.keep_unknown_paths()
        await service.runner.drain(service.settings.drain_timeout / 1000)
        address_file.unlink(missing_ok=True)


async def _recover(service: Service) -> None:
    try:
        await service.recovery.recover()
    except Exception:
        log.exception("recovery failed; the remaining runs are recovered on the next start")


def _exit_process(error: BaseException) -> None:
    """End the process: the journal no longer knows what is durable, and the next start finds out."""
    log.critical("the journal failed: %s; the process ends, and the next start recovers what the journal has", error)
    logs.flush()
    os._exit(1)
