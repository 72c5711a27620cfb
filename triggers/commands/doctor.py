"""`waypost doctor`: checks of what a service runs on, each with its result and what to do about it."""

import asyncio
import contextlib
import errno
import json
import os
import platform
import shutil
import sqlite3
import stat
import statistics
import tempfile
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from pathlib import Path
from time import perf_counter
from urllib.parse import urlsplit

import httpx
import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text
from sqlalchemy.exc import SQLAlchemyError

from durable.clock import now
from durable.grants.known import KnownGrants
from durable.journal.errors import JournalDamaged, JournalError
from durable.journal.meta import find_note
from durable.journal.reads import Reads, open_reader
from durable.journal.retention import count_rows, find_oldest_start
from durable.journal.sqlite.files import FILE_NAME, OTHERS
from durable.journal.sqlite.folder import ensure_journal_kept, find_file_system, prepare_folder, read_lock
from durable.runner.retention import NOTE
from durable.secrets import PREFIX, Secrets
from durable.wording import count_things, format_size
from triggers.commands.checks import Check, CheckState, check_store_key
from triggers.commands.failure import FAILED
from triggers.commands.output import open_console, print_json, print_plainly
from triggers.commands.parameters import CONFIG, DATA, AsJson, Config, Data
from triggers.commands.problems import reword_for_shell
from triggers.commands.trace_check import check_receiver
from triggers.config.catalogue import Connectors, load_connectors
from triggers.config.connections import Connections
from triggers.config.folder import Folder
from triggers.documents.fields import format_time
from triggers.http.server import listen
from triggers.instance import KEY_FILE, Instance
from triggers.not_found import NoConnectors
from triggers.reading.client import ServiceClient, connect_service
from triggers.reading.config_folder import load_folder
from triggers.reading.stored_secrets import fill_in_stored, load_grants
from triggers.settings import Settings, SettingsError

TONES: dict[CheckState, str] = {"ok": "green", "warning": "yellow", "wrong": "red"}

OLDEST_SQLITE = (3, 24, 0)
"""The first that knows everything the journal's statements say (ON CONFLICT)."""

LEAST_FREE = 1_000_000_000
"""Bytes of disk under which there is a warning."""

FLUSHES = 20
SLOW_FLUSH = 20.0
"""How many are measured, and the milliseconds over which one is slow: every commit waits for one."""

CLOCK_SLACK = 2_000
"""Milliseconds by which the journal may be ahead of a clock that was not set back."""

LONGEST_LOOK = 30.0
"""Seconds for which unfinished runs are read."""

LONG_LOG = 500_000_000
"""Bytes of WAL over which there is a warning."""

RECENT = 100
"""How many of the newest runs and deliveries are looked at for the newest time."""


def doctor(config: Config = CONFIG, data: Data = DATA, as_json: AsJson = False) -> None:
    results = asyncio.run(run_checks(Instance(config, data, os.environ)))
    if as_json:
        print_json([each.to_json() for each in results])
    else:
        print_results(open_console(), results)
    if any(each.state == "wrong" for each in results):
        raise typer.Exit(FAILED)


async def run_checks(instance: Instance) -> list[Check]:
    """Every check's finding."""
    findings = [_check_python(), _check_sqlite()]
    settings = _check_settings(instance, findings)
    folder = [*_check_data_folder(instance.data)]  # first: to read the journal leaves files beside it
    if settings:
        findings += _check_config(instance)
        findings.append(check_store_key(settings, instance.data))
        findings += check_receiver(settings, instance)
    findings += [*folder, _check_disk(instance.data), _check_key(instance)]
    async with connect_service(instance) as running:
        findings += [each async for each in _check_journal(instance.data)]
        if settings:
            findings.append(_check_port(settings, running))
        findings.append(await _check_service(instance, running))
    return findings


def print_results(out: Console, findings: Sequence[Check]) -> None:
    """A line a finding, what to do below it, and a last line that sums up."""
    grid = Table.grid(padding=(0, 2, 0, 0))
    grid.add_column(no_wrap=True)
    grid.add_column(no_wrap=True)
    grid.add_column(overflow="fold")
    for finding in findings:
        grid.add_row(Text(finding.state, TONES[finding.state]), finding.check, finding.found)
        if finding.cure:
            grid.add_row("", "", f"→ {finding.cure}")
    print_plainly(out, grid)
    wrong = sum(finding.state == "wrong" for finding in findings)
    warnings = sum(finding.state == "warning" for finding in findings)
    out.print(
        f"{count_things(wrong, 'thing')} wrong, {count_things(warnings, 'warning')}"
        if wrong or warnings
        else "no problems found"
    )


# -- the machine ------------------------------------------------------------------------------------------------


def _check_python() -> Check:
    return Check("python", "ok", platform.python_version())


def _check_sqlite() -> Check:
    if sqlite3.sqlite_version_info < OLDEST_SQLITE:
        oldest = ".".join(map(str, OLDEST_SQLITE))
        return Check("sqlite", "wrong", sqlite3.sqlite_version, f"use a Python with SQLite {oldest} or newer")
    return Check("sqlite", "ok", sqlite3.sqlite_version)


def _check_disk(data: Path) -> Check:
    try:
        free = shutil.disk_usage(_find_nearest_existing(data)).free
    except OSError as error:
        return Check("disk", "warning", f"the free space cannot be read: {error.strerror}")
    found = f"{free / 1e9:.1f} GB are free"
    if free < LEAST_FREE:
        return Check("disk", "warning", found, "free some space: if the disk is full, no event is accepted")
    return Check("disk", "ok", found)


def _find_nearest_existing(path: Path) -> Path:
    """The path, or the nearest one above it that exists. `Path.exists` raises where a folder may not be searched."""
    return next(each for each in (path.absolute(), *path.absolute().parents) if os.path.exists(each))


# -- what an operator wrote -------------------------------------------------------------------------------------


def _check_settings(instance: Instance, findings: list[Check]) -> Settings | None:
    try:
        settings = Settings.load(instance.config, instance.environment, {})
    except SettingsError as error:
        findings.append(Check("settings", "wrong", str(error), "correct it: the service cannot start with it"))
        return None
    if settings.unknown:
        findings.append(Check("settings", "warning", "; ".join(settings.unknown), "correct or remove it"))
    else:
        findings.append(Check("settings", "ok", "can be used"))
    return settings


class RecordingSecrets(Secrets):
    """Secrets that remember which were asked for in vain."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self.missing: set[str] = set()
        super().__init__(environment)

    def has(self, name: str) -> bool:
        found = super().has(name)
        if not found and self.find_source(name) != "store":  # which the check of the store key reports
            self.missing.add(name)
        return found

    def find_readable_files(self) -> dict[str, Path]:
        """The variables whose files everybody can read, and those files."""
        found: dict[str, Path] = {}
        for name in self.names():
            path = Path(self._environment.get(f"{PREFIX}{name}_FILE", ""))
            with contextlib.suppress(OSError, ValueError):
                if path.is_file() and path.stat().st_mode & stat.S_IROTH:
                    found[f"{PREFIX}{name}_FILE"] = path
        return found


def _check_config(instance: Instance) -> Iterator[Check]:
    """Connectors, pipelines and connections, and the secrets that they name."""
    try:
        connectors = load_connectors(instance.config, instance.data)
    except NoConnectors as error:
        yield Check("connectors", "wrong", str(error))
        return
    yield _check_connectors(connectors)
    secrets = fill_in_stored(RecordingSecrets(instance.environment), instance)
    if (instance.config / "pipelines").is_dir():
        folder = load_folder(instance, secrets)
        yield _check_pipelines(folder)
        known = folder.connections
    else:
        found = f"there is no folder {instance.config / 'pipelines'}"
        yield Check("pipelines", "wrong", found, "`waypost init` writes one, or name the config folder with --config")
        known = None
    known = known or Connections(instance.config, connectors, secrets)
    yield _check_connections(known)
    yield from _check_logins(known, load_grants(instance))
    yield _check_secrets(secrets)


def _check_connectors(connectors: Connectors) -> Check:
    found = f"{count_things(len(connectors.load_all()), 'connector')} can be used"
    if not connectors.broken:
        return Check("connectors", "ok", found)
    broken = "; ".join(f"{name}: {why}" for name, why in connectors.broken.items())
    cure = "fix or remove the file or package; pipelines that use its connector are disabled"
    return Check("connectors", "wrong", f"{found}; not {broken}", cure)


def _check_pipelines(folder: Folder) -> Check:
    invalid = [file.path.name for file in folder.files if not file.is_valid]
    found = f"{len(folder.files) - len(invalid)} of {len(folder.files)} are valid"
    if invalid:
        return Check("pipelines", "wrong", f"{found}; not {', '.join(invalid)}", "`waypost validate` says why")
    return Check("pipelines", "ok", found)


def _check_connections(known: Connections) -> Check:
    found = f"{count_things(len(known.names), 'connection')} can be used"
    if not known.problems:
        return Check("connections", "ok", found if known.names else "there is none")
    problems = [each for each in known.problems if known.is_valid or each.severity == "error"]
    found = f"{found}; {reword_for_shell(problems[0])}" + (f", and {len(problems) - 1} more" if problems[1:] else "")
    if known.is_valid:
        return Check("connections", "warning", found, "`waypost validate` shows details")
    cure = (
        f"fix {known.path}: a service that starts now disables the pipelines that use a broken connection, "
        "and a running service keeps the previous version; `waypost validate` shows details"
    )
    return Check("connections", "wrong", found, cure)


def _check_logins(known: Connections, grants: KnownGrants) -> Iterator[Check]:
    """Connections that a person has to log in, if there are any."""
    at = now()
    states = known.list_states(lambda opened: grants.find_login_problem(opened, at))
    if missing := [each for each in states if each.status == "needs_login"]:
        found = f"{count_things(len(missing), 'connection')} cannot be used: {missing[0].reason}"
        more = f"; also {', '.join(each.name for each in missing[1:])}" if missing[1:] else ""
        cure = "`waypost connections login NAME` logs one in; runs that were paused because of it can then be resumed"
        yield Check("logins", "warning", f"{found}{more}", cure)


def _check_secrets(asked: RecordingSecrets) -> Check:
    if wide := asked.find_readable_files():
        named, paths = ", ".join(wide), " ".join(map(str, wide.values()))
        return Check("secrets", "warning", f"every user of this machine can read {named}", f"chmod 600 {paths}")
    if asked.missing:
        names = sorted(asked.missing)
        variables = ", ".join(f"{PREFIX}{name}" for name in names)
        file = f"{PREFIX}{names[0]}_FILE can name a file that holds it"
        cure = f"set {variables} where the service starts, or in an --env-file; {file}; or `waypost secrets set NAME`"
        return Check("secrets", "warning", f"not set in this shell: {', '.join(names)}", cure)
    doubts = [f"{name} {problem}" for name in asked.names() for problem in asked.find_doubts(name)]
    if doubts:
        cure = "correct the variable or the file that it names: unintended characters are part of the secret"
        if all(asked.find_source(name) == "store" for name in asked.names() if asked.find_doubts(name)):
            cure = "`waypost secrets list` shows what is wrong with stored secrets"
        return Check("secrets", "warning", "; ".join(doubts), cure)
    return Check("secrets", "ok", "every secret that a pipeline or connection uses is set")


# -- the data folder --------------------------------------------------------------------------------------------


def _check_data_folder(data: Path) -> Iterator[Check]:
    if _find_nearest_existing(data) != data.absolute():
        yield _check_future_folder(data)
        return
    try:
        prepare_folder(data)
        mode = stat.S_IMODE(data.stat().st_mode)
        flush = _measure_flush(data)
    except (JournalError, OSError) as error:
        reason = f"{data}: {error.strerror}" if isinstance(error, OSError) else str(error)
        cure = "give it to the user who runs Waypost, or choose another with --data"
        yield Check("data folder", "wrong", reason, cure if isinstance(error, OSError) else None)
        return
    found = f"{data} on {find_file_system(data) or 'a file system of unknown kind'}, mode {mode:04o}"
    if mode & OTHERS:
        what = "change" if mode & (stat.S_IWGRP | stat.S_IWOTH) else "list"
        yield Check("data folder", "warning", f"{found}: other users can {what} it", f"chmod 700 {data}")
    else:
        yield Check("data folder", "ok", found)
    yield from _check_data_files(data)
    yield _check_flush(flush)


def _check_data_files(data: Path) -> Iterator[Check]:
    """What in the data folder others can read; the API's key has a finding of its own."""
    modes = {path: stat.S_IMODE(path.lstat().st_mode) for path in sorted(data.iterdir()) if path.name != KEY_FILE}
    if wide := [path for path, mode in modes.items() if mode & OTHERS and path.is_file()]:
        named = ", ".join(f"{path.name} has mode {modes[path]:04o}" for path in wide[:3])
        more = f", and {len(wide) - 3} more" if wide[3:] else ""
        cure = f"chmod 600 {' '.join(map(str, wide[:3]))}"
        yield Check("data files", "warning", f"other users can read data of runs: {named}{more}", cure)
    else:
        yield Check("data files", "ok", "only their owner can read them")


def _check_future_folder(data: Path) -> Check:
    above = _find_nearest_existing(data)
    if not above.is_dir() or not os.access(above, os.W_OK | os.X_OK):
        reason = "is not writable" if above.is_dir() else "is a file"
        cure = "make it writable for the user who runs Waypost, or choose another data folder with --data"
        return Check("data folder", "wrong", f"{data} cannot be created: {above} {reason}", cure)
    kind = find_file_system(above) or "a file system of unknown kind"
    return Check("data folder", "ok", f"{data} is created on the first start, on {kind}")


def _measure_flush(data: Path) -> float:
    """Milliseconds that a small write needs to be on the disk."""
    took: list[float] = []
    with tempfile.TemporaryFile(dir=data) as file:
        for _ in range(FLUSHES):
            file.write(b"waypost " * 512)
            file.flush()
            began = perf_counter()
            os.fsync(file.fileno())
            took.append((perf_counter() - began) * 1000)
    return statistics.median(took)


def _check_flush(median: float) -> Check:
    found = f"{median:.2f} ms (the median of {FLUSHES})"
    if median > SLOW_FLUSH:
        return Check(
            "fsync", "warning", found, "every commit waits for a flush: a faster disk makes the service faster"
        )
    return Check("fsync", "ok", found)


def _check_key(instance: Instance) -> Check:
    path = instance.data / KEY_FILE
    try:
        mode = stat.S_IMODE(path.stat().st_mode)
    except OSError:
        found = "set" if instance.find_key() else f"{path} is created on the first start"
        return Check("API key", "ok", found)
    if mode & OTHERS:
        return Check("API key", "wrong", f"{path} has mode {mode:04o}: other users can read it", f"chmod 600 {path}")
    return Check("API key", "ok", f"{path}, mode {mode:04o}")


# -- the journal ------------------------------------------------------------------------------------------------


async def _check_journal(data: Path) -> AsyncIterator[Check]:
    try:
        ensure_journal_kept(data, data / FILE_NAME, had_journal=read_lock(data).get("journal") is True)
    except JournalError as error:
        yield Check("journal", "wrong", str(error))
        return
    if _find_nearest_existing(data / FILE_NAME) != (data / FILE_NAME).absolute():
        yield Check("journal", "ok", "there is none yet")
        return
    try:
        reads = await open_reader(data)
        try:
            problems, newest = await reads.check_integrity(), await _find_newest_time(reads)
            storage = await _measure_storage(reads)
            unreadable, looked = await reads.scan(lambda scan: scan.find_unreadable(LONGEST_LOOK))
        finally:
            await reads.close()
    except JournalDamaged as error:
        problems, newest = [str(error.__cause__ and getattr(error.__cause__, "orig", error.__cause__))], 0
    except JournalError as error:
        yield Check("journal", "wrong", str(error))
        return
    except SQLAlchemyError as error:
        problems, newest = [str(getattr(error, "orig", error))], 0
    if problems:
        found = f"{data / FILE_NAME} is damaged: {'; '.join(problems[:3])}"
        yield Check("journal", "wrong", found, "stop the service, keep a copy of the folder, and restore a backup")
    else:
        yield Check("journal", "ok", f"{data / FILE_NAME} is intact")
        yield storage
        yield _check_runs(unreadable, looked)
        yield _check_clock(newest)


async def _measure_storage(reads: Reads) -> Check:
    """How much space the journal takes, and when what is old was last removed from it."""
    space, oldest = await reads.measure_space(), await reads.read(find_oldest_start)
    free = f", of which {format_size(space.free)} are free" if space.free else ""
    found = f"{format_size(space.database)}{free}, and a WAL of {format_size(space.log)}; "
    found += count_things(await reads.read(count_rows, "runs"), "run")
    if oldest is not None:
        found += f", the oldest from {format_time(oldest)}"
    if note := await reads.read(find_note, NOTE):
        found += f"; retention last ran at {format_time(json.loads(note)['at'])}"
    if space.log > LONG_LOG:
        cure = "a program that reads the journal for a long time keeps SQLite from emptying the WAL: end that program"
        return Check("storage", "warning", found, cure)
    return Check("storage", "ok", found)


def _check_runs(unreadable: Mapping[str, str], looked: int) -> Check:
    """The unfinished runs that cannot be read, and so cannot be advanced."""
    if not unreadable:
        return Check("runs", "ok", f"{count_things(looked, 'unfinished run')} can be read")
    named = "; ".join(f"{run}: {why}" for run, why in list(unreadable.items())[:3])
    more = f"; and {len(unreadable) - 3} more" if len(unreadable) > 3 else ""
    found = f"{len(unreadable)} of {count_things(looked, 'unfinished run')} cannot be read: {named}{more}"
    return Check("runs", "wrong", found, "restore a backup, update Waypost if a newer one wrote it, or cancel the run")


async def _find_newest_time(reads: Reads) -> int:
    """The newest time that the journal knows, in milliseconds."""
    known = [max(run.created_at, run.claimed_at, run.finished_at or 0) for run in await reads.list_runs(limit=RECENT)]
    return max([0, *known, *(delivery.at for delivery in await reads.list_deliveries(limit=RECENT))])


def _check_clock(newest: int) -> Check:
    ahead = newest - now()
    if ahead > CLOCK_SLACK:
        found = (
            f"the journal's newest time, {format_time(newest)}, is {ahead / 1000:.0f} s ahead of this machine's clock"
        )
        return Check("clock", "wrong", found, "set the clock and keep it synchronised with NTP: due times depend on it")
    return Check("clock", "ok", f"{format_time(now())}, and the journal contains no later time")


# -- the service ------------------------------------------------------------------------------------------------


def _check_port(settings: Settings, running: ServiceClient | None) -> Check:
    where = f"{settings.host} port {settings.port or 'chosen by the system'}"
    if running and urlsplit(running.url).port == settings.port:
        return Check("port", "ok", f"{where} is used by the running service")
    if running:
        return Check("port", "ok", f"the running service uses port {urlsplit(running.url).port}, not {where}")
    try:
        listen(settings.host, settings.port).close()
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            cure = "stop the process that listens there, or choose another port: --port, WAYPOST_PORT"
            return Check("port", "wrong", f"{where} is in use by another process", cure)
        cure = "choose another: --host, --port, WAYPOST_HOST, WAYPOST_PORT"
        return Check("port", "wrong", f"{where} cannot be opened: {error.strerror or error}", cure)
    return Check("port", "ok", f"{where} is free")


async def _check_service(instance: Instance, running: ServiceClient | None) -> Check:
    if running is None:
        return Check("service", "ok", f"no service is running on {instance.data}")
    found = f"process {running.pid} at {running.url}"
    try:
        reason = await running.find_unready_reason()
    except (httpx.TransportError, ValueError) as error:
        reason = str(error) or "it does not respond"
    if reason:
        return Check("service", "wrong", f"{found} is not ready: {reason}", "see its log")
    return Check("service", "ok", f"{found} is ready")
