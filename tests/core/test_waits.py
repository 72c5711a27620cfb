"""Waits: for a time, a person, an event, or the first of several; and what follows a timeout."""

import pytest

from durable.effects import Abandon, Listen, Perform, Wake
from tests.core.scripted import T0, ScriptedRun


def test_a_delay_ends_at_its_time() -> None:
    run = ScriptedRun("steps: [{id: nap, use: wait.delay, with: {for: 5m}}]")
    assert run.story == ["step_scheduled nap", "wait_started nap"]
    assert run.asked == [Wake("nap", T0 + 300_000)]
    assert run.state.status == "waiting"
    assert run.wakes("nap", late=-1).new == []
    assert run.wakes("nap").new == [
        "timer_fired nap",
        "step_completed nap",
        "main_ended completed",
        "run_finished completed",
    ]


def test_a_restart_has_the_same_timer_outstanding() -> None:
    run = ScriptedRun("steps: [{id: nap, use: wait.delay, with: {for: 5m}}]")
    assert run.crashes().asked == [Wake("nap", T0 + 300_000)]


def test_an_answer_becomes_the_output_of_the_wait_and_counts_once() -> None:
    run = ScriptedRun("""
        steps:
          - {id: approval, use: wait.approval, with: {to: ops, title: Pay}, timeout: 2d, on_timeout: fail}
          - {id: pay, use: test.do, if: steps.approval.output.approved}
    """)
    run.is_answered("approval", {"approved": True})
    assert run["approval"].output.load() == {"approved": True}
    assert run.asks(Abandon) == ["approval"]
    assert run.asks(Perform) == ["pay"]
    assert run.is_answered("approval", {"approved": False}).new == []
    assert run.wakes("approval").new == []


def test_an_answer_before_its_wait_is_kept_for_it() -> None:
    run = ScriptedRun("""
        steps:
          - {id: ask, use: test.do}
          - {id: reply, use: wait.webhook, timeout: 1h, on_timeout: fail}
    """)
    assert run.is_answered("reply", "early").new == ["signal_received reply"]
    assert run.completes("ask").new[1:] == [
        "step_scheduled reply",
        "wait_started reply",
        "step_completed reply",
        "main_ended completed",
        "run_finished completed",
    ]
    assert run["reply"].output.load() == "early"


def test_an_answer_under_a_wrong_name_changes_nothing() -> None:
    run = ScriptedRun("steps: [{id: reply, use: wait.webhook, timeout: 1h, on_timeout: fail}]")
    assert run.is_answered("reply", name="other").new == []


def test_a_wait_for_an_event_records_the_event_and_the_start_of_its_window() -> None:
    run = ScriptedRun("""
        steps:
          - id: shipped
            use: wait.event
            with: {type: parcel.shipped, match: "o-1", look_back: 10m}
            timeout: 7d
            on_timeout: fail
    """)
    listen = Listen("shipped", "", "parcel.shipped", "o-1", T0 - 600_000)
    assert run.asked == [Wake("shipped", T0 + 7 * 86_400_000), listen]


@pytest.mark.parametrize(
    ("on_timeout", "story", "status"),
    [
        ("fail", ["timer_fired approval", "step_failed approval", "main_ended failed"], "failed"),
        ("{approved: false}", ["timer_fired approval", "step_completed approval", "step_scheduled after"], "running"),
        (
            "[{id: remind, use: test.do}]",
            [
                "timer_fired approval",
                "block_started approval",
                "branch_started approval 'on_timeout'",
                "step_scheduled approval.remind",
            ],
            "running",
        ),
    ],
)
def test_on_timeout_decides_what_follows_a_timed_out_wait(on_timeout: str, story: list[str], status: str) -> None:
    run = ScriptedRun(f"""
        steps:
          - {{id: approval, use: wait.approval, with: {{to: ops, title: Pay}}, timeout: 2d, on_timeout: {on_timeout}}}
          - {{id: after, use: test.do}}
    """)
    assert run.wakes("approval").new[: len(story)] == story
    assert run.state.status == status
    assert run.is_answered("approval", {"approved": True}).new == [], "the answer came too late"


def test_the_steps_of_on_timeout_complete_the_wait() -> None:
    run = ScriptedRun("""
        steps:
          - {id: ask, use: wait.webhook, timeout: 1h, on_timeout: [{id: remind, use: test.do}]}
          - {id: after, use: test.do}
    """)
    run.wakes("ask").completes("ask.remind")
    assert run["ask"].status == "completed"
    assert run.asks(Perform) == ["after"]


ANY = """
    steps:
      - id: first
        use: wait.any
        timeout: 10m
        on_timeout: fail
        with:
          waits:
            long: {use: wait.delay, with: {for: 5m}}
            short: {use: wait.delay, with: {for: 1m}}
            reply: {use: wait.webhook}
"""


def test_the_first_of_several_waits_ends_all_of_them() -> None:
    run = ScriptedRun(ANY)
    run.is_answered("first", "hello", name="reply")
    assert run["first"].output.load() == {"name": "reply", "output": "hello"}
    assert run.state.status == "completed"


def test_the_earliest_of_several_delays_counts_however_late_it_is_noticed() -> None:
    run = ScriptedRun(ANY).wakes("first", late=86_400_000)
    assert run["first"].output.load() == {"name": "short", "output": None}


def test_a_timeout_due_before_a_delay_counts_however_late_it_is_noticed() -> None:
    run = ScriptedRun("""
        steps:
          - id: nap
            use: wait.any
            with: {waits: {long: {use: wait.delay, with: {for: 5m}}}}
            timeout: 1m
            on_timeout: late
    """).wakes("nap", late=86_400_000)
    assert run["nap"].output.load() == "late"


def test_a_wait_with_an_invalid_time_fails_its_step() -> None:
    run = ScriptedRun(
        """
        inputs: {when: {}}
        steps: [{id: nap, use: wait.until, with: {time: "{{ inputs.when }}"}}]
    """,
        inputs={"when": "tomorrow"},
    )
    assert run.state.error
    assert "tomorrow" in (run.state.error.message or "")


def test_an_early_answer_to_a_wait_of_the_cleanup_is_kept() -> None:
    run = ScriptedRun("""
        steps: [{id: fail, use: flow.fail, with: {message: no}}]
        on_failure:
          - {id: ask, use: test.do, with: {callback: "{{ run.links.reply }}"}}
          - {id: reply, use: wait.webhook, timeout: 1h, on_timeout: fail}
    """)
    run.is_answered("reply", "early").completes("ask")
    assert run["reply"].output.load() == "early"
