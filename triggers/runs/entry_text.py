"""The entries of a history as sentences for people."""

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from durable.history import entries
from durable.history.entries import AnyEntry
from durable.history.words import Await, Failure, Verdict
from triggers.documents.fields import format_time
from triggers.html.texts import format_span
from triggers.runs.version_steps import VersionSteps
from triggers.runs.why import AWAITED

Describe: TypeAlias = Callable[[Any, VersionSteps], str]
"""Makes the sentence of one kind of entry. `version` has the steps of the run's version."""


def describe_entry(entry: AnyEntry, version: VersionSteps) -> str:
    """Return what an entry says, as a sentence."""
    return SENTENCES[type(entry)](entry, version)


# -- the run


def _describe_start(entry: entries.RunStarted, _: VersionSteps) -> str:
    if entry.error:
        return f"The run was started, but its inputs could not be made: {entry.error.message}"
    by = f" by {entry.trigger}" if entry.trigger else ""
    held = f"; it waits for a slot of {entry.queued_for}" if entry.queued_for else ""
    later = f"; it starts at {format_time(entry.not_before)}" if entry.not_before is not None else ""
    return f"The run was started{by}{_name_person(entry.by)} on version {entry.version[:12]}{held}{later}"


def _describe_cancel(entry: entries.CancelRequested, _: VersionSteps) -> str:
    return f"A cancel was requested{_name_person(entry.by)}{_add_reason(entry.reason)}"


def _describe_fork(entry: entries.RunForked, _: VersionSteps) -> str:
    edited = ", with another input" if entry.input is not None else ""
    return f"Everything before this was copied from another run; this one goes on from {entry.path}{edited}"


def _describe_pause(entry: entries.RunPaused, _: VersionSteps) -> str:
    return f"The run is paused: {entry.reason}"


def _describe_ending(entry: entries.MainEnding, _: VersionSteps) -> str:
    return f"The run ends early as {entry.status}{_add_reason(entry.reason or _get_message(entry.error))}"


def _describe_main_end(entry: entries.MainEnded, _: VersionSteps) -> str:
    why = _add_reason(_get_message(entry.error) or entry.reason)
    return f"The main part {_END_WORDS[entry.status]}{why}"


def _describe_finish(entry: entries.RunFinished, _: VersionSteps) -> str:
    return f"The run {_END_WORDS[entry.status]}"


_END_WORDS = {"completed": "completed", "failed": "failed", "cancelled": "was cancelled"}


# -- steps and attempts


def _describe_schedule(entry: entries.StepScheduled, version: VersionSteps) -> str:
    use = version.find_use(entry.path)
    through = f" through the connection {entry.connection}" if entry.connection else ""
    return f"{entry.path} is due{f': {use}' if use else ''}{through}"


def _describe_attempt(entry: entries.AttemptStarted, _: VersionSteps) -> str:
    return f"Attempt {entry.attempt} of {entry.path} is about to start"


def _describe_completion(entry: entries.StepCompleted, _: VersionSteps) -> str:
    took = f" after {_measure(entry.started_at, entry.at)}" if entry.started_at is not None else ""
    which = f" in attempt {entry.attempt}" if entry.attempt > 1 else ""
    answer = "; its output answers the sender" if entry.is_answer else ""
    return f"{entry.path} completed{which}{took}{answer}"


def _describe_page(entry: entries.PageCompleted, _: VersionSteps) -> str:
    return f"Page {entry.page} of {entry.path} arrived, with {entry.count} items"


def _describe_failure(entry: entries.AttemptFailed, _: VersionSteps) -> str:
    unknown = "; it is not known whether it had its effect" if entry.ending == "unknown" else ""
    return f"Attempt {entry.attempt} of {entry.path} failed: {_explain(entry.error)}{unknown}"


def _describe_loss(entry: entries.AttemptLost, _: VersionSteps) -> str:
    return f"Attempt {entry.attempt} of {entry.path} was lost: {entry.error.message}"


def _describe_refusal(entry: entries.InputRefused, _: VersionSteps) -> str:
    return f"{entry.path} cannot be attempted: {entry.reason}"


def _describe_retry(entry: entries.RetryScheduled, _: VersionSteps) -> str:
    when = f"in {_measure(entry.at, entry.due)}" if entry.due > entry.at else "at once"
    return f"Attempt {entry.attempt} of {entry.path} follows {when}"


def _describe_step_failure(entry: entries.StepFailed, _: VersionSteps) -> str:
    return f"{entry.path} failed: {_explain(entry.error)}"


def _describe_doubt(entry: entries.StepUncertain, _: VersionSteps) -> str:
    return f"{entry.path} is uncertain after attempt {entry.attempt}: {_explain(entry.error)}"


def _describe_exhaustion(entry: entries.StepExhausted, _: VersionSteps) -> str:
    return f"{entry.path} has no attempts left after {entry.attempt}; a person decides"


def _describe_resolution(entry: entries.StepResolved, _: VersionSteps) -> str:
    decided = _VERDICTS[entry.verdict]
    return f"It was decided that {entry.path} {decided}{_name_person(entry.by)}{_add_reason(entry.reason)}"


_VERDICTS: Mapping[Verdict, str] = {
    "completed": "happened",
    "retry": "did not happen and is attempted again",
    "failed": "failed",
}


# -- blocks, waits, calls


def _describe_block(entry: entries.BlockStarted, _: VersionSteps) -> str:
    items = f" over {entry.count} items" if entry.count else ""
    return f"{entry.path} begins: {entry.kind}{items}"


def _describe_branch(entry: entries.BranchStarted, version: VersionSteps) -> str:
    if entry.index is not None:
        return f"{entry.path}[{entry.index}] begins"
    condition = version.find_condition(entry.path, entry.branch)
    return f"{entry.path} takes {entry.branch}{f', because {condition}' if condition else ''}"


def _describe_branch_end(entry: entries.BranchEnded, _: VersionSteps) -> str:
    what = f"{entry.path}[{entry.index}]" if entry.index is not None else f"{entry.branch} of {entry.path}"
    return f"{what} {_END_WORDS[entry.status]}{_add_reason(_get_message(entry.error))}"


def _describe_void(entry: entries.StepsVoided, _: VersionSteps) -> str:
    return f"Steps of the cleanup are pending again: {_list_paths(entry.paths)}"


def _describe_branches_cancel(entry: entries.BranchesCancelled, _: VersionSteps) -> str:
    return f"{entry.path or 'The cleanup'} starts nothing more"


def _describe_timer(entry: entries.TimerSet, _: VersionSteps) -> str:
    return f"{entry.path} goes on in {_measure(entry.at, entry.due)}"


def _describe_wait(entry: entries.WaitStarted, _: VersionSteps) -> str:
    what = " or ".join(map(_describe_await, entry.awaits))
    until = f", for {_measure(entry.at, entry.due)} at most" if entry.due is not None else ""
    return f"{entry.path} waits for {what}{until}"


def _describe_await(each: Await) -> str:
    about = " ".join(filter(None, (each.type, each.match)))
    return f"{AWAITED[each.kind]}{f' {about}' if about else ''}"


def _describe_call(entry: entries.ChildCalled, _: VersionSteps) -> str:
    return f"{entry.path} {'goes on with' if entry.is_again else 'calls'} {entry.run}"


def _describe_child_end(entry: entries.ChildEnded, _: VersionSteps) -> str:
    why = _add_reason(_get_message(entry.error))
    if entry.run is None:
        return f"The run that {entry.path} called could not start{why}"
    return f"{entry.run}, called by {entry.path}, {_END_WORDS[entry.status]}{why}"


def _describe_undo(entry: entries.UndoStarted, _: VersionSteps) -> str:
    return f"{entry.path} takes back {_list_paths(entry.targets)}"


def _describe_undo_failure(entry: entries.UndoFailed, _: VersionSteps) -> str:
    return f"The effect of {entry.path} could not be taken back: {_explain(entry.error)}"


# -- words


def _explain(error: Failure) -> str:
    return ": ".join(filter(None, (error.error_class, error.message))) or "for an unknown reason"


def _get_message(error: Failure | None) -> str | None:
    return error.message if error else None


def _add_reason(reason: str | None) -> str:
    return f": {reason}" if reason else ""


def _name_person(by: str | None) -> str:
    return f" by {by}" if by else ""


def _measure(start: int, end: int) -> str:
    return format_span(max(0, end - start))


def _list_paths(paths: tuple[str, ...]) -> str:
    shown = ", ".join(paths[:5])
    return f"{shown} and {len(paths) - 5} more" if len(paths) > 5 else shown


SENTENCES: Mapping[type[entries.Entry], Describe] = {
    entries.RunStarted: _describe_start,
    entries.StartDue: lambda entry, _: "The time of the run's start has come, or it expired",
    entries.SlotGranted: lambda entry, _: "The run has a slot of its pipeline's concurrency",
    entries.CancelRequested: _describe_cancel,
    entries.DeadlinePassed: lambda entry, _: "The timeout of the run, or of its cleanup, has passed",
    entries.RecoveryStopped: lambda entry, _: f"The run was recovered {entry.count} times without progress",
    entries.RunForked: _describe_fork,
    entries.RunResumed: lambda entry, _: f"The run was resumed{_name_person(entry.by)}{_add_reason(entry.reason)}",
    entries.RunRetried: lambda entry, _: f"The run was retried{_name_person(entry.by)}{_add_reason(entry.reason)}",
    entries.RunPaused: _describe_pause,
    entries.MainEnding: _describe_ending,
    entries.MainEnded: _describe_main_end,
    entries.RunFinished: _describe_finish,
    entries.StepScheduled: _describe_schedule,
    entries.StepSkipped: lambda entry, _: f"{entry.path} is skipped: its `if` is false",
    entries.AttemptStarted: _describe_attempt,
    entries.StepCompleted: _describe_completion,
    entries.PageCompleted: _describe_page,
    entries.AttemptFailed: _describe_failure,
    entries.AttemptLost: _describe_loss,
    entries.InputRefused: _describe_refusal,
    entries.RetryScheduled: _describe_retry,
    entries.StepFailed: _describe_step_failure,
    entries.StepUncertain: _describe_doubt,
    entries.StepExhausted: _describe_exhaustion,
    entries.StepResolved: _describe_resolution,
    entries.StepCancelled: lambda entry, _: f"{entry.path} is interrupted",
    entries.StepReopened: lambda entry, _: f"{entry.path} goes on, because the run is retried",
    entries.BlockStarted: _describe_block,
    entries.BranchStarted: _describe_branch,
    entries.BranchEnded: _describe_branch_end,
    entries.BranchReopened: lambda entry, _: f"{entry.branch} of {entry.path} goes on where it ended",
    entries.StepsVoided: _describe_void,
    entries.BranchesCancelled: _describe_branches_cancel,
    entries.TimerSet: _describe_timer,
    entries.TimerFired: lambda entry, _: f"The time that {entry.path} waits for has come",
    entries.WaitStarted: _describe_wait,
    entries.SignalReceived: lambda entry, _: (
        f"{'An answer' if entry.by else 'An answer or an event'} arrived for {entry.path}{_name_person(entry.by)}"
    ),
    entries.ChildCalled: _describe_call,
    entries.ChildEnded: _describe_child_end,
    entries.UndoStarted: _describe_undo,
    entries.UndoFailed: _describe_undo_failure,
}
