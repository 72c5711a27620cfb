"""`waypost schedules`: past, next and missed fires, with and without a service."""

import json
from pathlib import Path

from tests.cli.command import serving, waypost
from tests.cli.conftest import write

NIGHTLY = """
triggers:
  - {id: nightly, use: schedule, with: {cron: "30 2 * * *", timezone: Europe/Berlin}}
  - {id: often, use: schedule, with: {every: 15m}}
steps:
  - {id: note, use: log.write, with: {message: again}}
"""


def test_schedules_are_listed_with_a_service_and_without_one(place: Path) -> None:
    write(place, "sweep", NIGHTLY)
    without_a_journal = waypost("schedules", cwd=place)
    with serving(place):
        document = json.loads(waypost("schedules", "--json", cwd=place).stdout)
    with_the_journal_that_was_left = waypost("schedules", cwd=place)
    assert [each["id"] for each in document] == ["sweep/nightly", "sweep/often"]
    assert [len(each["next"]) for each in document] == [3, 3]
    assert [each["missed"] for each in document] == [0, 0]
    for found in (without_a_journal, with_the_journal_that_was_left):
        assert found.returncode == 0, found.stderr
        assert "sweep/nightly" in found.stdout
        assert "30 2 * * * Europe/Berlin" in found.stdout


def test_an_impossible_schedule_is_rejected_with_its_position_and_a_fix(place: Path) -> None:
    write(place, "sweep", NIGHTLY.replace("30 2 * * *", "0 0 31 2 *").replace("Europe/Berlin", "Europe/Berlim"))
    found = waypost("validate", cwd=place)
    assert found.returncode == 1
    assert "sweep.yaml:3:47: error: 'cron': '0 0 31 2 *' never occurs" in found.stdout
    assert "there is no time zone 'Europe/Berlim'; did you mean 'Europe/Berlin'" in found.stdout
