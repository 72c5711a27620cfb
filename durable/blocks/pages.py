"""Pages: the output of a step that its action returns in several parts.

Such a step is one step with one input. Each page is a checkpoint with an idempotency key, and attempts that the retry
policy counts anew. The last page completes the step. Whatever ends or continues the step in between (a crash, a cancel,
a retry of the run) leaves the pages that have arrived.
"""

import msgspec

from durable.effects import Consequences, Perform
from durable.history.entries import AttemptLost, PageCompleted, StepCompleted
from durable.history.state import PagesState, State, StepState
from durable.history.words import Failure
from durable.path import make_page_path
from durable.steps.node import ActionNode, CompiledPipeline


def locate_attempt(node: ActionNode, step: StepState, path: str, attempt: int) -> tuple[str, int]:
    """Return the path and the number of a step's attempt as people see them: of a step that gets its output in pages,
    those of the page."""
    if not node.step.is_paged:
        return path, attempt
    return step.pages.locate(path, attempt) if step.pages else (make_page_path(path, 0), attempt)


def locate_loss(node: ActionNode, step: StepState, entry: AttemptLost) -> Failure:
    """Return a lost attempt as a failure: of a step that gets its output in pages, that of the page."""
    if not node.step.is_paged:
        return entry.error
    place, number = locate_attempt(node, step, entry.path, entry.attempt)
    return msgspec.structs.replace(entry.error, step=place, attempt=number)


def copy_pages(pages: PagesState) -> PagesState:
    """Return the pages for a step that goes on from them, with attempts of its own."""
    return PagesState(pages.number, [*pages.items], pages.count, pages.size, pages.cursor, {**pages.marks})


def fold_page(state: State, entry: PageCompleted) -> None:
    """Add a page to its step, whose next attempt gets the next page."""
    step = state.steps[entry.path]
    pages = step.pages
    if pages is None:
        pages = step.pages = PagesState()
    pages.number += 1
    pages.items.append(entry.items)
    pages.count, pages.size = pages.count + entry.count, pages.size + entry.items.size
    pages.cursor, pages.attempts, pages.crashes = entry.cursor, entry.attempt, step.crashes
    pages.marks |= dict.fromkeys(entry.marks)
    step.attempt, step.uncounted = entry.attempt + 1, entry.attempt - step.crashes
    step.status, step.error, step.is_started = "running" if entry.due is None else "waiting", None, False
    step.due, step.decided_at = state.postpone(entry.at if entry.due is None else entry.due), entry.at


def end_pages(pages: PagesState, entry: StepCompleted) -> None:
    """Forget the lists, which are in the step's output now; one that a person gave has no last page."""
    pages.number += entry.started_at is not None
    pages.items.clear()
    pages.marks.clear()


def request_next_page(pipeline: CompiledPipeline, state: State, entry: PageCompleted) -> Consequences:
    path = entry.path
    due = entry.at if entry.due is None else entry.due
    return [], [Perform(path, entry.attempt + 1, due, pipeline.actions[path].starts_durably)]
