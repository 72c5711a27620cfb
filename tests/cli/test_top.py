"""`waypost top`: how a service does, on a screen, in a pipe and as JSON."""

import json
import re
from datetime import UTC, datetime
from io import StringIO
from pathlib import Path

import msgspec
import pytest
from rich.console import Console

from tests.cli.command import api, on_terminal, serving, until, waypost
from tests.cli.conftest import write
from triggers.commands.top_view import TopSnapshot, TopView
from triggers.documents.overview import AttentionDocument, OverviewDocument
from triggers.documents.runs import RunLineDocument

FAILS = 'steps: [{id: check, use: flow.fail, with: {message: "the amount is missing"}}]'
CONTROL = re.compile("\x1b(\\[[0-9;?]*[a-zA-Z]|\\].*?\x07)")


def test_a_screen_shows_what_needs_a_person_until_q_is_typed(place: Path) -> None:
    write(place, "fails", FAILS)
    with serving(place):
        for _ in range(2):
            with api(place) as asked:
                run = asked.post("/api/pipelines/fails/runs", json={}).json()["id"]
            until(place, run, "failed")
        code, screen = on_terminal("top", cwd=place, typed="wq", prompt="newest runs")
        assert code == 0
        assert (screen.count("\x1b[?1049h"), screen.count("\x1b[?1049l")) == (1, 1), "the screen before is shown again"
        shown = CONTROL.sub("", screen)
        assert "Needs you (1)" in shown
        assert "2 runs of fails failed" in shown
        assert "the amount is missing" in shown

        piped = waypost("top", cwd=place).stdout
        assert "\x1b" not in piped
        assert "Last hour  2 runs  2 failed (100.0%)" in piped
        [command] = re.findall(r"`waypost (runs --error \w+)`", piped)
        assert waypost(*command.split(), cwd=place).stdout.count("fails") == 2

        told = json.loads(waypost("top", "--period", "day", "--json", cwd=place).stdout)
        assert (told["overview"]["period"], told["overview"]["failed"]) == ("day", 2)
        assert [line["kind"] for line in told["attention"]["lines"]] == ["failure"]


def test_a_service_that_is_missing_and_an_unknown_period_are_named(place: Path) -> None:
    assert "no service is running" in waypost("top", cwd=place).stderr
    assert "'year' is not one of hour, day, week" in waypost("top", "--period", "year", cwd=place).stderr


@pytest.mark.parametrize("height", [10, 24, 60])
def test_a_screen_has_no_more_lines_than_the_terminal(height: int) -> None:
    view = TopView()
    view.snapshot = make_snapshot(30)
    out = Console(file=StringIO(), force_terminal=True, width=60, height=height)
    with out.capture() as captured:
        out.print(view, height=height)
    lines = [line for line in CONTROL.sub("", captured.get()).splitlines() if line.strip()]
    assert len(lines) <= max(height, 15)
    assert max(map(len, lines)) <= 60
    assert "more" in captured.get()


def make_snapshot(count: int) -> TopSnapshot:
    """A snapshot in which each list has so many lines."""
    moment = "2026-12-01T12:00:00.000Z"
    line: dict[str, object] = {
        "kind": "failure",
        "about": None,
        "text": "42 runs of order_intake failed",
        "detail": "server: " + "5" * 90,
    }
    line |= {"count": 42, "has_more": False, "oldest": moment, "newest": moment, "page": "/runs"}
    run = {"id": "run_" + "0" * 26, "status": "failed", "created_at": moment, "finished_at": None}
    pipeline = {"id": "order_intake", "newest": [run] * 20, "success": 0.5, "p95_ms": 1200}
    numbers = {"completed": 3, "failed": 1, "cancelled": 0, "unfinished": 0}
    overview = {"period": "week", "since": moment, "column_ms": 1, "columns": [{"start": moment, **numbers}] * 500}
    overview |= {"started": 4, "completed": 3, "failed": 1, "cancelled": 0, "unfinished": {"running": 3}}
    overview |= {"attempts_in_flight": 1, "p95_accept_ms": 1.9, "p95_run_ms": None, "newest_run": moment}
    overview |= {"newest_failure": None, "pipelines": [pipeline] * count}
    attention = {"since": moment, "lines": [line] * count, "is_partial": False}
    return TopSnapshot(
        "http://127.0.0.1:8400",
        datetime.now(UTC),
        msgspec.convert(overview, OverviewDocument),
        msgspec.convert(attention, AttentionDocument),
        list[RunLineDocument](),
    )
