"""The sentence that says why a run is as it is."""

from typing import Any

import pytest

from durable.history.words import RunStatus
from durable.units import Cause, QueuePlace, Run
from triggers.runs.why import explain_run

NOW = 1_800_000_000_000  # 2027-01-15 08:00:00 UTC


def make_run(status: RunStatus, cause: Cause | None = None, reason: str | None = None, **more: Any) -> Run:
    ended = NOW if status in ("completed", "failed", "cancelled") else None
    head = ("run_1", "p", "v", "evt_1", None, status, reason, "node", 1, 1, 0, NOW, NOW, None, ended)
    return Run(*head, cause=cause, **more)


@pytest.mark.parametrize(
    ("status", "cause", "sentence"),
    [
        (
            "failed",
            Cause("failed", "reserve[37].hold", "server", "503", "http.post", "POST http://x/ answered 503", 3),
            "reserve[37].hold: server: POST http://x/ answered 503",
        ),
        (
            "failed",
            Cause("failed", "pay", "network", message="refused", lost=2),
            "pay: network: refused (2 attempts lost)",
        ),
        (
            "failed",
            Cause("unstarted", None, "invalid", "inputs", message="total is missing"),
            "before its first step: invalid: total is missing",
        ),
        (
            "failed",
            Cause("failed", None, "timeout", "run_timeout", message="the run's timeout has passed"),
            "timeout: the run's timeout has passed",
        ),
        (
            "running",
            Cause("cleanup", "pay", "client", message="declined"),
            "cleans up after pay: client: declined",
        ),
        (
            "waiting",
            Cause("retry", "charge", "server", message="it answered 503", attempt=3, attempts=5, due=NOW + 40_000),
            "charge: attempt 3 of 5 at 08:00:40Z (in 40 s), because: it answered 503",
        ),
        (
            "waiting",
            Cause("retry", "charge", "crash", message="the process ended", attempt=2, attempts=4, due=NOW, lost=1),
            "charge: attempt 2 of 4 (1 lost), because: the process ended",
        ),
        (
            "waiting",
            Cause("page", "list.page[3]", due=NOW + 40_000),
            "list.page[3]: continues at 08:00:40Z (in 40 s)",
        ),
        (
            "waiting",
            Cause("approval", "ask", due=NOW + 2 * 86_400_000, to="ops@example.com", times_out="fail"),
            "ask: waits for an approval by ops@example.com until 2027-01-17 08:00Z (in 2 d), then it fails",
        ),
        (
            "waiting",
            Cause("event", "sent", target="parcel.sent", match="o-1", due=NOW + 7_200_000, times_out="value", others=2),
            "sent: waits for an event parcel.sent o-1 until 10:00:00Z (in 2 h), then it continues with a value, "
            "and 2 more steps wait",
        ),
        ("waiting", Cause("delay", "nap", due=NOW + 90_000), "nap: waits until 08:01:30Z (in 2 min)"),
        (
            "waiting",
            Cause("any", "any", due=NOW + 3_600_000, awaits=("webhook", "delay")),
            "any: waits for the first of a request to its link and its time until 09:00:00Z (in 1 h)",
        ),
        ("waiting", Cause("call", "sub", target="run_2", others=1), "sub: waits for run_2, and 1 more step waits"),
        ("queued", Cause("start", due=NOW - 5_000), "starts at 07:59:55Z (5 s ago)"),
        ("queued", Cause("start", due=10**17), "starts at an unknown time"),
        (
            "paused",
            Cause("uncertain", "pay", "network", message="the answer was lost", attempt=1),
            "pay: it is not known whether attempt 1 took effect (the answer was lost); "
            "`waypost resolve run_1 pay` decides",
        ),
        (
            "paused",
            Cause("exhausted", "pay", "server", message="it answered 503", attempt=3),
            "pay: server: it answered 503; `waypost resolve run_1 pay` decides",
        ),
        (
            "paused",
            Cause("stopped", message="recovered 3 times"),
            "recovered 3 times; `waypost resume run_1` continues it",
        ),
    ],
)
def test_each_cause_has_a_sentence(status: RunStatus, cause: Cause, sentence: str) -> None:
    assert explain_run(make_run(status, cause), NOW) == sentence


def test_a_queued_run_says_behind_whom() -> None:
    run = make_run("queued", Cause("slot", target="order_intake:c-17"))
    first, many = QueuePlace(1, "run_0", 1), QueuePlace(2, "run_0", None)
    slot = "waits for a slot of order_intake:c-17"
    assert explain_run(run, NOW, place=first) == f"{slot} (limit 1), behind run_0, number 1 in the queue"
    assert explain_run(run, NOW, place=many) == f"{slot} (limit 2), behind run_0, number over 1,000 in the queue"
    assert explain_run(run, NOW) == slot


def test_a_run_without_a_cause_has_its_reason() -> None:
    assert explain_run(make_run("cancelled", reason="enough"), NOW) == "enough"
    assert explain_run(make_run("paused", reason="it cannot be read"), NOW) == "it cannot be read"
    assert explain_run(make_run("completed"), NOW) is None


def test_what_the_service_knows_of_a_live_run_comes_first() -> None:
    cause = Cause("retry", "charge", message="it answered 503", attempt=2, attempts=5)
    assert explain_run(make_run("waiting", cause), NOW, progress="charge: waits for a permit") == (
        "charge: waits for a permit"
    )
    assert explain_run(make_run("failed", cause), NOW, progress="stale") != "stale"
