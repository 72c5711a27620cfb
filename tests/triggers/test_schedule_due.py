"""Schedules with a clock that the test moves: each fire starts one run, whatever happens in between."""

from pathlib import Path

import pytest

from durable.units import ScheduleProgress
from tests.triggers.schedule_world import HELD, QUICK, World, ms, world
from triggers.schedules.due import MOST_WAITING
from triggers.schedules.schedules import PACE

pytestmark = pytest.mark.anyio

HOURLY = QUICK.format('{cron: "0 * * * *"}')
NOON = "2026-05-04T12:00:00Z"


def hourly(policy: str, text: str = QUICK) -> str:
    return text.format(f'{{cron: "0 * * * *", {policy}}}')


async def _row(world: World) -> ScheduleProgress:
    (row,) = await world.journal.list_schedules()
    return row


# -- each fire once -----------------------------------------------------------------------------------------------


async def test_a_fire_is_an_event_keyed_by_its_time(tmp_path: Path) -> None:
    async with world(tmp_path, "2026-05-04T11:59:30", HOURLY) as service:
        await service.until("2026-05-04T12:00:01")
        await service.wait_until_idle()
        (run,) = await service.runs()
        event = await service.journal.find_event(run.event)
        assert event
        assert (event.source, event.key, event.type, run.trigger) == ("p/t", NOON, "schedule", "t")
        assert run.created_at == ms("2026-05-04T12:00:00")
        assert service.describe_schedule()["last"] == {
            "fire": NOON,
            "outcome": "started",
            "reason": None,
            "run": run.id,
        }
        assert service.describe_schedule()["next"] == [f"2026-05-04T{hour}:00:00Z" for hour in (13, 14, 15)]


async def test_fire_times_before_a_schedule_existed_are_not_missed(tmp_path: Path) -> None:
    async with world(tmp_path, "2026-05-04T12:00:00.001", hourly("missed: all")) as service:
        await service.until("2026-05-04T12:59:59")
        assert await service.list_fire_times() == []
        assert service.describe_schedule()["missed"] == 0


async def test_restarts_neither_lose_nor_repeat_a_fire(tmp_path: Path) -> None:
    at = ms("2026-05-04T11:30:00")
    for minutes in (10, 19, 1, 1, 59, 1, 29, 31, 60):
        async with world(tmp_path, at, hourly("missed: all")) as service:
            at += minutes * 60_000
            await service.until(at)
            fired = await service.list_fire_times()
    assert fired == [f"2026-05-04T{hour}:00:00Z" for hour in (12, 13, 14, 15)]


@pytest.mark.parametrize(
    ("start", "end", "fires"),
    [
        ("2026-03-28T12:00:00", "2026-03-30T12:00:00", ["2026-03-29T01:00:00Z", "2026-03-30T00:30:00Z"]),
        ("2026-10-24T12:00:00", "2026-10-26T12:00:00", ["2026-10-25T00:30:00Z", "2026-10-26T01:30:00Z"]),
    ],
)
async def test_half_past_two_fires_once_on_the_days_when_clocks_change(
    tmp_path: Path, start: str, end: str, fires: list[str]
) -> None:
    berlin = QUICK.format('{cron: "30 2 * * *", timezone: Europe/Berlin}')
    async with world(tmp_path, start, berlin) as service:
        await service.until(end)
        assert await service.list_fire_times() == fires
        assert service.describe_schedule()["missed"] == 0


async def test_a_single_date_fires_once_and_has_no_next_fire(tmp_path: Path) -> None:
    once = QUICK.format("{at: 2026-12-24T18:00:00, timezone: Europe/Berlin}")
    async with world(tmp_path, "2026-12-24T16:50:00", once) as service:
        await service.until("2026-12-24T17:10:00")
        assert await service.list_fire_times() == ["2026-12-24T17:00:00Z"]
        assert service.describe_schedule()["next"] == []
        assert service.schedules.earliest is None
    async with world(tmp_path, "2027-12-24T16:50:00") as service:
        await service.until("2027-12-24T17:10:00")
        assert len(await service.runs()) == 1


async def test_an_interval_continues_unchanged_across_a_restart(tmp_path: Path) -> None:
    async with world(tmp_path, "2026-05-04T11:50:00", QUICK.format("{every: 15m}")) as service:
        await service.until("2026-05-04T12:20:00")
    async with world(tmp_path, "2026-05-04T12:29:00") as service:
        await service.until("2026-05-04T12:31:00")
        assert await service.list_fire_times() == [f"2026-05-04T12:{minute}:00Z" for minute in ("00", "15", "30")]


async def test_a_window_delays_each_fire_by_an_amount_that_a_restart_does_not_change(tmp_path: Path) -> None:
    spread = hourly("window: 10m")
    async with world(tmp_path, "2026-05-04T00:30:00", spread) as service:
        await service.until("2026-05-04T12:30:00")
        delays = [run.created_at % 3_600_000 for run in await service.runs()]
        fired = await service.list_fire_times()
    assert fired == [f"2026-05-04T{hour:02}:00:00Z" for hour in range(1, 13)]
    assert all(0 <= delay < 600_000 for delay in delays)
    assert len(set(delays)) == len(delays)
    async with world(tmp_path / "other", "2026-05-04T00:30:00", spread) as service:
        await service.until("2026-05-04T12:01:00")
    async with world(tmp_path / "other", "2026-05-04T12:02:00") as service:
        await service.until("2026-05-04T12:30:00")
        again = [run.created_at % 3_600_000 for run in await service.runs()]
    assert again[:11] == delays[:11]
    assert again[11] == max(delays[11], 120_000)


# -- downtime -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("missed", "hours", "marked"),
    [("skip", [12, 17], 4), ("latest", [12, 16, 17], 3), ("all", [12, 13, 14, 15, 16, 17], 0)],
)
async def test_fires_during_downtime_follow_the_missed_setting(
    tmp_path: Path, missed: str, hours: list[int], marked: int
) -> None:
    async with world(tmp_path, "2026-05-04T11:30:00", hourly(f"missed: {missed}")) as service:
        await service.until("2026-05-04T12:30:00")
    async with world(tmp_path, "2026-05-04T16:30:00") as service:
        await service.until("2026-05-04T17:30:00")
        assert await service.list_fire_times() == [f"2026-05-04T{hour}:00:00Z" for hour in hours]
        assert service.describe_schedule()["missed"] == marked
        assert service.describe_schedule()["missed_at"] == (
            None if not marked else f"2026-05-04T{17 - (5 - marked)}:00:00Z"
        )


async def test_a_fire_due_just_before_the_start_is_missed(tmp_path: Path) -> None:
    async with world(tmp_path, "2026-05-04T11:59:59", hourly("missed: skip")):
        pass
    async with world(tmp_path, "2026-05-04T12:00:01") as service:
        await service.until("2026-05-04T12:10:00")
        assert await service.list_fire_times() == []
        assert service.describe_schedule()["last"] == {
            "fire": NOON, "outcome": "missed", "reason": "the service was not running when it was due", "run": None,
        }  # fmt: skip


async def test_a_slow_process_misses_nothing(tmp_path: Path) -> None:
    async with world(
        tmp_path, "2026-05-04T11:59:59", QUICK.format('{cron: "*/10 * * * * *", missed: skip}')
    ) as service:
        await service.look("2026-05-04T12:00:45")
        assert await service.list_fire_times() == [f"2026-05-04T12:00:{second:02}Z" for second in (0, 10, 20, 30, 40)]


@pytest.mark.slow
async def test_catching_up_a_year_is_bounded_and_paced(tmp_path: Path) -> None:
    text = QUICK.format('{cron: "* * * * *", missed: all}')
    async with world(tmp_path, "2025-05-04T12:00:00", text):
        pass
    start = ms("2026-05-04T12:00:30")
    async with world(tmp_path, start) as service:
        assert len((await _row(service)).waiting) == MOST_WAITING - 1  # the first is in progress
        while (await _row(service)).waiting:
            earliest = service.schedules.earliest
            assert earliest
            await service.look(earliest)
        runs = await service.runs()
        fired = sorted(await service.list_fire_times())
        assert (fired[0], fired[-1]) == ("2026-05-03T19:21:00Z", "2026-05-04T12:01:00Z")
        assert len(set(fired)) == len(fired) == MOST_WAITING + 1
        assert runs[-1].created_at - runs[0].created_at >= PACE * (MOST_WAITING - 1)
        assert runs[-1].created_at - start < 60_000
        assert service.describe_schedule()["missed"] == 4_000  # where the count stops


async def test_the_catch_up_of_a_killed_process_is_finished_by_the_next(tmp_path: Path) -> None:
    async with world(tmp_path, "2026-05-04T06:30:00", hourly("missed: all")):
        pass
    for second in (0, 1, 2):
        async with world(tmp_path, f"2026-05-04T12:30:0{second}") as service:
            assert len((await _row(service)).waiting) == 5 - second
    async with world(tmp_path, "2026-05-04T12:40:00") as service:
        await service.until("2026-05-04T12:40:10")
        assert await service.list_fire_times() == [f"2026-05-04T{hour:02}:00:00Z" for hour in range(7, 13)]


# -- clocks that jump -----------------------------------------------------------------------------------------------


async def test_a_clock_set_forward_counts_as_downtime(tmp_path: Path) -> None:
    async with world(tmp_path, "2026-05-04T11:30:00", hourly("missed: latest")) as service:
        await service.until("2026-05-04T12:30:00")
        await service.look("2026-05-04T15:30:10")
        await service.until("2026-05-04T16:10:00")
        assert await service.list_fire_times() == [f"2026-05-04T{hour}:00:00Z" for hour in (12, 15, 16)]
        assert service.describe_schedule()["missed"] == 2


async def test_a_clock_set_back_repeats_no_fire_and_stops_no_fire(tmp_path: Path) -> None:
    async with world(tmp_path, "2026-05-04T11:30:00", hourly("missed: all")) as service:
        await service.until("2026-05-04T14:30:00")
        await service.look("2026-05-04T11:30:00")
        await service.until("2026-05-04T16:10:00")
        assert await service.list_fire_times() == [f"2026-05-04T{hour}:00:00Z" for hour in (12, 13, 14, 15, 16)]
        assert service.describe_schedule()["missed"] == 0


async def test_a_clock_temporarily_years_ahead_loses_no_later_fire(tmp_path: Path) -> None:
    async with world(tmp_path, "2026-05-04T11:30:00", hourly("missed: skip")) as service:
        await service.look("2030-01-01T00:00:10")
        await service.until("2030-01-01T01:00:10")
        await service.look("2026-05-04T11:31:00")
        await service.until("2026-05-04T13:10:00")
        assert await service.list_fire_times() == [NOON, "2026-05-04T13:00:00Z", "2030-01-01T01:00:00Z"]


async def test_a_clock_set_back_across_a_restart_repeats_no_fire(tmp_path: Path) -> None:
    async with world(tmp_path, "2026-05-04T11:30:00", hourly("missed: all")) as service:
        await service.until("2026-05-04T14:30:00")
    async with world(tmp_path, "2026-05-04T12:30:00") as service:
        await service.until("2026-05-04T15:30:00")
        assert await service.list_fire_times() == [f"2026-05-04T{hour}:00:00Z" for hour in (12, 13, 14, 15)]


async def test_a_small_correction_of_the_clock_changes_nothing(tmp_path: Path) -> None:
    async with world(tmp_path, "2026-05-04T11:59:50", hourly("missed: skip")) as service:
        await service.until("2026-05-04T12:00:01")
        await service.look("2026-05-04T11:59:55")
        await service.until("2026-05-04T12:59:59")
        await service.look("2026-05-04T13:00:20")
        assert await service.list_fire_times() == [NOON, "2026-05-04T13:00:00Z"]
        assert service.describe_schedule()["missed"] == 0


# -- overlaps ---------------------------------------------------------------------------------------------------------


async def test_by_default_a_fire_starts_regardless_of_the_previous_run(tmp_path: Path) -> None:
    async with world(tmp_path, "2026-05-04T11:59:50", HELD.format('{cron: "0 * * * *"}')) as service:
        await service.until("2026-05-04T14:00:00")
        await service.wait_for_held_runs(3)
        assert len(await service.runs()) == 3


async def test_a_fire_is_skipped_while_the_previous_run_is_unfinished(tmp_path: Path) -> None:
    async with world(tmp_path, "2026-05-04T11:59:50", hourly("overlap: skip", HELD)) as service:
        await service.until("2026-05-04T14:00:00")
        await service.wait_for_held_runs(1)
        (run,) = await service.runs()
        why = "the previous run is unfinished"
        assert service.describe_schedule()["skipped"] == 2
        assert service.describe_schedule()["last"] == {
            "fire": "2026-05-04T14:00:00Z", "outcome": "skipped", "reason": why, "run": run.id
        }  # fmt: skip
        await service.release()
        await service.until("2026-05-04T15:00:00")
        assert await service.list_fire_times() == [NOON, "2026-05-04T15:00:00Z"]


async def test_a_queued_fire_starts_after_the_previous_run_ends_even_across_a_restart(tmp_path: Path) -> None:
    async with world(tmp_path, "2026-05-04T11:59:50", hourly("overlap: queue, missed: skip", HELD)) as service:
        await service.until("2026-05-04T14:00:00")
        await service.wait_for_held_runs(1)
        assert len(await service.runs()) == 1
        assert service.describe_schedule()["waiting"] == 2
        await service.release()
        await service.wait_for_held_runs(1)
        assert await service.list_fire_times() == [NOON, "2026-05-04T13:00:00Z"]
        await service.release()
        await service.look(service.clock.at + PACE)
        await service.wait_for_held_runs(1)
        await service.until("2026-05-04T15:00:00")
        assert await service.list_fire_times() == [f"2026-05-04T{hour}:00:00Z" for hour in (12, 13, 14)]
        running = (await service.runs())[-1].id
    async with world(tmp_path, "2026-05-04T15:30:00") as service:
        assert service.describe_schedule()["waiting"] == 1
        await service.runner.takeover.take_over(running)
        await service.wait_for_held_runs(1)
        await service.release()
        await service.wait_for_held_runs(1)
        assert await service.list_fire_times() == [f"2026-05-04T{hour}:00:00Z" for hour in (12, 13, 14, 15)]


async def test_the_queue_of_fires_is_bounded(tmp_path: Path) -> None:
    text = HELD.format("{every: 1s, overlap: queue}")
    async with world(tmp_path, "2026-05-04T12:00:00", text) as service:
        await service.until(service.clock.at + (MOST_WAITING + 5) * 1_000)
        assert service.describe_schedule()["waiting"] == MOST_WAITING
        assert service.describe_schedule()["skipped"] == 4


# -- fires that cannot start ------------------------------------------------------------------------------------------


async def test_a_fire_that_is_not_admitted_is_retried_until_it_is(tmp_path: Path) -> None:
    async with world(tmp_path, "2026-05-04T11:59:50", hourly("missed: skip")) as service:
        service.runner.runs.is_draining = True
        await service.until("2026-05-04T12:20:00")
        assert await service.list_fire_times() == []
        assert service.describe_schedule()["overdue"] == NOON
        service.runner.runs.is_draining = False
        await service.until("2026-05-04T12:20:15")
        assert await service.list_fire_times() == [NOON]
        assert service.describe_schedule()["overdue"] is None


async def test_inputs_that_cannot_be_evaluated_start_a_failed_run(tmp_path: Path) -> None:
    text = HOURLY.replace("}}\nsteps", '}, inputs: {x: "{{ trigger.id | int }}"}}\nsteps')
    async with world(tmp_path, "2026-05-04T11:59:50", text) as service:
        await service.until(ms("2026-05-04T12:00:01"))
        (run,) = await service.runs()
        assert run.status == "failed"


async def test_a_fire_filtered_by_when_starts_no_run(tmp_path: Path) -> None:
    text = HOURLY.replace("}}\nsteps", "}, when: \"trigger.id[11:13] == '13'\"}\nsteps")
    async with world(tmp_path, "2026-05-04T11:59:50", text) as service:
        await service.until("2026-05-04T14:10:00")
        assert await service.list_fire_times() == ["2026-05-04T13:00:00Z"]
        last = service.describe_schedule()["last"]
        assert isinstance(last, dict)
        assert last["outcome"] == "filtered"


# -- reloads ----------------------------------------------------------------------------------------------------------


async def test_a_reload_changes_the_times_without_missed_fires_at_the_new_ones(tmp_path: Path) -> None:
    async with world(tmp_path, "2026-05-04T11:30:00", HOURLY) as service:
        await service.until("2026-05-04T12:20:00")
        await service.reload(p=QUICK.format('{cron: "15 * * * *"}'))
        await service.until("2026-05-04T13:20:00")
        assert await service.list_fire_times() == [NOON, "2026-05-04T13:15:00Z"]


async def test_a_removed_schedule_stops_firing_and_starts_afresh_when_restored(tmp_path: Path) -> None:
    text = hourly("missed: all")
    async with world(tmp_path, "2026-05-04T11:30:00", text) as service:
        await service.until("2026-05-04T12:20:00")
        await service.reload(p=None)
        await service.until("2026-05-04T14:20:00")
        assert await service.journal.list_schedules() == []
        await service.reload(p=text)
        await service.until("2026-05-04T15:20:00")
        assert await service.list_fire_times() == [NOON, "2026-05-04T15:00:00Z"]


async def test_fires_missed_while_a_file_was_broken_are_caught_up_once_it_is_fixed(tmp_path: Path) -> None:
    text = hourly("missed: all")
    async with world(tmp_path, "2026-05-04T11:30:00", text) as service:
        await service.until("2026-05-04T12:20:00")
    async with world(tmp_path, "2026-05-04T12:30:00", text + "\nbroken: 1\n") as service:
        await service.until("2026-05-04T14:30:00")
        assert service.schedules.find_progress() == {}
        await service.reload(p=text)
        await service.until("2026-05-04T14:31:00")
        assert await service.list_fire_times() == [f"2026-05-04T{hour}:00:00Z" for hour in (12, 13, 14)]
