"""Kills and stops the service, and checks guarantees P1 to P4 with an external ledger.

The full evidence comes from `python -m tests.kill --kills 60`, with and without `--constructs`.
"""

import gc
import random
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import httpx
import pytest

from durable.journal.reads import open_reader
from tests.kill.claims import evidence_of
from tests.kill.home import Home
from tests.kill.loop import CONSTRUCTS, STEPS, kill_loop
from tests.kill.processes import LedgerProcess, Service
from tests.kill.provider import Provider, Webhook
from tests.whole_run import read_whole_run

pytestmark = [pytest.mark.anyio, pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")]


@pytest.fixture(autouse=True)
def leftovers() -> Iterator[None]:
    """The provider disconnects while a connection is being opened, and such a socket is left to the garbage collector.
    Collect it here, not in another test."""
    yield
    gc.collect()


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path)


@pytest.fixture
async def ledger(home: Home) -> AsyncIterator[LedgerProcess]:
    async with LedgerProcess(home.ledger) as ledger:
        home.write_pipelines(ledger.url)
        yield ledger


@pytest.fixture
async def provider(home: Home) -> AsyncIterator[Provider]:
    async with Provider("evt", home.sender_secret, random.Random(1)) as provider:
        yield provider


@pytest.mark.slow
async def test_twelve_kills_lose_nothing_and_repeat_only_steps_in_flight(tmp_path: Path) -> None:
    record = await kill_loop(tmp_path, kills=12, seed=1)
    evidence = evidence_of(record)
    assert evidence.holds, evidence.table()
    assert {death.kind for death in record.deaths} == set(STEPS.kinds), evidence.table()


@pytest.mark.slow
async def test_runs_of_every_construct_survive_kills_and_end_as_expected(tmp_path: Path) -> None:
    few = CONSTRUCTS._replace(senders=4)
    homes = [tmp_path / "first", tmp_path / "again"]
    for home in homes:
        home.mkdir()
    try:
        record = await kill_loop(homes[0], kills=1, seed=5, scenario=few)
    except* (OSError, TimeoutError, httpx.HTTPError):  # the loop itself failed; its evidence is never collected twice
        record = await kill_loop(homes[1], kills=1, seed=5, scenario=few)
    evidence = evidence_of(record)
    assert evidence.holds, evidence.table()


async def test_a_run_killed_in_its_second_step_continues_at_its_second_step(
    home: Home, ledger: LedgerProcess, provider: Provider
) -> None:
    async with Service(home) as service:
        run = await _hold_in_step(service, ledger, provider, "second")
        service.kill()
        await service.wait_for_end()
    await ledger.release()
    assert await _recoveries(home) == {run: 0}
    async with Service(home) as service:
        await ledger.hold("second")
        await service.wait_until_ready()
        await ledger.wait_until_held()
        assert await _recoveries(home) == {run: 1}
        await ledger.release()
        await service.wait_until_idle()
        assert (await service.ask(f"/runs/{run}"))["status"] == "completed"
    assert _effects(ledger) == {"first": 1, "second": 2, "third": 1}
    assert len({(line.key, line.sha256) for line in ledger.lines() if line.step == "second"}) == 1


@pytest.mark.slow
async def test_a_step_that_must_not_be_repeated_stays_uncertain_after_a_kill(
    home: Home, ledger: LedgerProcess, provider: Provider
) -> None:
    async with Service(home) as service:
        run = await _hold_in_step(service, ledger, provider, "middle", pipeline="parked")
        service.kill()
        await service.wait_for_end()
    await ledger.release()
    for _ in range(2):
        async with Service(home) as service:
            await service.wait_until_ready()
            await service.wait_until_idle()
            document = await read_whole_run(service.ask, run)
            service.kill()
            await service.wait_for_end()
        assert document["status"] == "paused"
        assert "step middle is uncertain" in document["reason"]
        assert document["steps"]["middle"]["status"] == "uncertain"
    assert _effects(ledger) == {"before": 1, "middle": 1}


@pytest.mark.slow
async def test_a_stopping_service_finishes_the_step_in_progress_and_continues_at_its_next_start(
    home: Home, ledger: LedgerProcess, provider: Provider
) -> None:
    async with Service(home) as service:
        run = await _hold_in_step(service, ledger, provider, "second")
        service.terminate()
        await service.stops_listening()
        await ledger.release()
        assert await service.wait_for_end() == 0
    assert _effects(ledger) == {"first": 1, "second": 1}
    async with Service(home) as service:
        await ledger.hold("third")
        await service.wait_until_ready()
        await ledger.wait_until_held()
        assert await _recoveries(home) == {run: 0}
        await ledger.release()
        await service.wait_until_idle()
        assert (await service.ask(f"/runs/{run}"))["status"] == "completed"
    assert _effects(ledger) == {"first": 1, "second": 1, "third": 1}


@pytest.mark.slow
async def test_a_second_signal_stops_at_once_and_loses_nothing(
    home: Home, ledger: LedgerProcess, provider: Provider
) -> None:
    async with Service(home) as service:
        run = await _hold_in_step(service, ledger, provider, "second")
        service.terminate()
        await service.stops_listening()
        service.terminate()
        assert await service.wait_for_end(patience=5) == 1
    await ledger.release()
    async with Service(home) as service:
        await service.wait_until_ready()
        await service.wait_until_idle()
        assert (await service.ask(f"/runs/{run}"))["status"] == "completed"
    assert _effects(ledger) == {"first": 1, "second": 2, "third": 1}


async def _hold_in_step(
    service: Service, ledger: LedgerProcess, provider: Provider, step: str, pipeline: str = "repeatable"
) -> str:
    """Begin a run and wait until this step's effect has happened and its response is held back."""
    await ledger.hold(step)
    await service.wait_until_ready()
    provider.url = service.url
    await provider.deliver(Webhook.of("evt-1", pipeline))
    await ledger.wait_until_held()
    return provider.answers["evt-1"][0].runs[0]


async def _recoveries(home: Home) -> dict[str, int]:
    """The unfinished runs, and how often each was recovered since its last progress."""
    reads = await open_reader(home.data)
    try:
        return {run.run: run.recoveries for run in await reads.list_unfinished(limit=10)}
    finally:
        await reads.close()


def _effects(ledger: LedgerProcess) -> dict[str, int]:
    """How often each step had its effect."""
    return dict(Counter(line.step for line in ledger.lines()))
