"""The reason for a run's status as one sentence, made when it is shown from the run's row and the present time."""

from collections.abc import Sequence

from durable.durations import describe_time
from durable.history.words import TimesOut
from durable.reports import HaltedRun
from durable.units import Cause, QueuePlace, Run

AWAITED = {
    "approval": "an approval",
    "webhook": "a request to its link",
    "event": "an event",
    "delay": "its time",
    "until": "its time",
}

TIMES_OUT: dict[TimesOut | None, str] = {
    "fail": ", then it fails",
    "value": ", then it continues with a value",
    "steps": ", then its on_timeout steps run",
    None: "",
}


def explain_run(run: Run, now: int, *, place: QueuePlace | None = None, progress: str | None = None) -> str | None:
    """Return the reason for a run's status; None if there is none. `progress` is what the service knows of a run that
    goes on: the step that it performs, or the limit that it waits for."""
    if progress and run.finished_at is None and run.status in ("running", "waiting", "queued"):
        return progress
    if run.cause is None:
        return run.reason
    command = _find_command(run.id, run.cause)
    return "; ".join(filter(None, (_explain(run.cause, now, place), command)))


def explain_halted(run: HaltedRun, now: int) -> str | None:
    """Return the reason for which a run stands still, without the command that ends it."""
    return _explain(run.cause, now, None) if run.cause else run.reason


def explain_failure(cause: Cause) -> str:
    """Return the failure that a cause tells of: where, its class and its message."""
    where = "before its first step" if cause.kind == "unstarted" else cause.step
    lost = f"({cause.lost} attempt{'s' * (cause.lost > 1)} lost)" if cause.lost else None
    said = ": ".join(part for part in (where, cause.error_class, cause.message) if part)
    return " ".join(filter(None, (said or "it failed", lost)))


def _find_command(run: str, cause: Cause) -> str | None:
    """Return the command by which a person decides, as the end of a sentence."""
    match cause.kind:
        case "uncertain" | "exhausted":
            return f"`waypost resolve {run} {cause.step}` decides"
        case "stopped":
            return f"`waypost resume {run}` continues it"
    return None


def _explain(cause: Cause, now: int, place: QueuePlace | None) -> str:
    match cause.kind:
        case "failed" | "unstarted":
            return explain_failure(cause)
        case "cleanup":
            return f"cleans up after {explain_failure(cause)}"
        case "uncertain":
            what = f"it is not known whether attempt {cause.attempt} took effect ({cause.message})"
            said = f"{cause.step}: {what}"
        case "exhausted":
            said = explain_failure(cause)
        case "stopped":
            said = str(cause.message)
        case "retry":
            said = _explain_retry(cause, now)
        case "slot":
            said = _explain_slot(cause, place)
        case "start":
            said = f"starts at {describe_time(cause.due, now)}"
        case "call":
            said = f"{cause.step}: waits for {cause.target}"
        case "timer" | "page":
            said = f"{cause.step}: continues at {describe_time(cause.due, now)}"
        case _:
            said = _explain_wait(cause, now)
    others = f", and {cause.others} more step{'s' * (cause.others > 1)} wait{'s' * (cause.others == 1)}"
    return said + (others if cause.others else "")


def _explain_retry(cause: Cause, now: int) -> str:
    known = cause.attempt is not None and cause.attempts is not None and cause.attempt <= cause.attempts
    number = f"attempt {cause.attempt}" + (f" of {cause.attempts}" if known else "")
    when = f" at {describe_time(cause.due, now)}" if cause.due is not None and cause.due > now else ""
    lost = f" ({cause.lost} lost)" if cause.lost else ""
    return f"{cause.step}: {number}{lost}{when}, because: {cause.message or 'a person asked for it'}"


def _explain_slot(cause: Cause, place: QueuePlace | None) -> str:
    limit = f" (limit {place.limit})" if place else ""
    behind = f", behind {place.behind}" if place and place.behind else ""
    number = f", number {place.number or 'over 1,000'} in the queue" if place else ""
    return f"waits for a slot of {cause.target}{limit}{behind}{number}"


def _explain_wait(cause: Cause, now: int) -> str:
    if cause.kind in ("delay", "until"):
        return f"{cause.step}: waits until {describe_time(cause.due, now)}"
    if cause.kind == "any":
        what = f"the first of {_list_words([AWAITED[kind] for kind in cause.awaits])}"
    else:
        about = " ".join(filter(None, (cause.target, cause.match)))
        by = f" by {cause.to}" if cause.to else ""
        what = f"{AWAITED[cause.kind]}{by}{' ' + about if about else ''}"
    until = f" until {describe_time(cause.due, now)}" if cause.due is not None else ""
    return f"{cause.step}: waits for {what}{until}{TIMES_OUT[cause.times_out]}"


def _list_words(words: Sequence[str]) -> str:
    return ", ".join(words[:-1]) + f" and {words[-1]}" if len(words) > 1 else words[0]
