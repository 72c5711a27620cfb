"""Runs that a test drives step by step: a YAML pipeline, facts as method calls, the history as short lines."""

from textwrap import dedent
from typing import Any

from pydantic import BaseModel, ConfigDict

from durable.action import Action, ActionError, Context, Ending
from durable.blocks.pages import locate_attempt
from durable.decide.advance import Advance
from durable.decide.attempts import report_error, report_return
from durable.decide.outstanding import find_lost_attempts, find_outstanding
from durable.definition import Definition
from durable.effects import Effect
from durable.history import entries
from durable.history.entries import AnyEntry, Fact
from durable.history.state import State, StepState
from durable.history.words import EndStatus, Failure, Links, Parent, Verdict
from durable.language.catalogue import Catalogue
from durable.language.load import load_pipeline
from durable.language.resolve import resolve_pipeline
from durable.page import always_returns_pages
from durable.replay import replay_entries
from durable.values import JSON, NULL, Value

T0 = 1_700_000_000_000
RUN = "run_told"


class Anything(BaseModel):
    model_config = ConfigDict(extra="allow")


async def _nothing(context: Context, input: Anything) -> JSON:
    return None


ACTIONS = {f"test.{name}": Action(name, _nothing, Anything) for name in ("do", "undo")}
ACTIONS["test.list"] = Action("list", _nothing, Anything, returns_pages=always_returns_pages)
CATALOGUE = Catalogue(ACTIONS, {})


def define(text: str) -> Definition:
    """Load a definition from YAML text."""
    loaded = load_pipeline(dedent(text), file="told.yaml", catalogue=CATALOGUE)
    assert loaded.pipeline, [str(problem) for problem in loaded.problems]
    return resolve_pipeline(loaded.pipeline, ACTIONS.get)


class ScriptedRun:
    """A run of a pipeline. `new` holds the history lines that the last fact added, `asked` the effects."""

    def __init__(
        self,
        text: str,
        *,
        inputs: dict[str, JSON] | None = None,
        parent: Parent | None = None,
        queued_for: str | None = None,
        error: Failure | None = None,
    ) -> None:
        self.definition = define(text)
        self.state = State(run=RUN)
        self.history: list[AnyEntry] = []
        self.now = T0
        self.new: list[str] = []
        self.asked: list[Effect] = []
        started = entries.RunStarted(
            at=T0,
            pipeline="told",
            version=self.definition.version,
            deadline=T0 + self.definition.pipeline.timeout,
            inputs=Value.of(dict(inputs or {})),
            parent=parent,
            slot=queued_for,
            queued_for=queued_for,
            error=error,
            links=Links("https://example.com/answers", "key"),
        )
        self.report(started)

    def __getitem__(self, path: str) -> StepState:
        return self.state.steps[path]

    def report(self, fact: Fact) -> "ScriptedRun":
        advance = Advance(self.definition, self.state, fact)
        advance.follow()
        self.history += advance.entries
        self.new = [describe_entry(entry) for entry in advance.entries]
        self.asked = advance.effects
        return self

    def asks(self, kind: type[Effect]) -> list[str]:
        """The paths for which the last fact requested effects of this kind."""
        return [each.path for each in self.asked if isinstance(each, kind) and hasattr(each, "path")]

    @property
    def story(self) -> list[str]:
        """The whole history except its first entry."""
        return [describe_entry(entry) for entry in self.history[1:]]

    # -- facts --------------------------------------------------------------------------------------------------

    def completes(self, path: str, output: JSON = None) -> "ScriptedRun":
        at, attempt = self.now, self[path].attempt
        return self.report(report_return(self.definition, self.state, path, attempt, output, started_at=at, at=at))

    def fails(self, path: str, code: str = "no", *, ending: Ending = "answered") -> "ScriptedRun":
        error_class = "network" if ending == "unknown" else "client"
        error = ActionError("it failed", error_class=error_class, code=code, ending=ending)  # type: ignore[arg-type]  # of two
        place = locate_attempt(self.definition.actions[path], self[path], path, self[path].attempt)
        return self.report(report_error(path, self[path].attempt, error, place, started_at=self.now, at=self.now))

    def gets_page(self, path: str, items: list[JSON], *, wait: int = 0) -> "ScriptedRun":
        """A page arrives, and another one follows after `wait` ms."""
        pages, at = self[path].pages, self.now
        number = pages.number if pages else 0
        return self.report(
            entries.PageCompleted(
                at=at,
                path=path,
                attempt=self[path].attempt,
                page=number,
                started_at=at,
                items=Value.of(items),
                count=len(items),
                cursor=Value.of(f"after {number}"),
                due=at + wait if wait else None,
            )
        )

    def starts_durably(self, path: str) -> "ScriptedRun":
        return self.report(entries.AttemptStarted(at=self.now, path=path, attempt=self[path].attempt))

    def is_answered(self, path: str, data: JSON = None, *, name: str = "") -> "ScriptedRun":
        return self.report(entries.SignalReceived(at=self.now, path=path, name=name, data=Value.of(data)))

    def wakes(self, path: str, *, late: int = 0) -> "ScriptedRun":
        """The timer of a waiting step fires."""
        self.now = (self[path].due or 0) + late
        return self.report(entries.TimerFired(at=self.now, path=path))

    def child_ends(self, path: str, status: EndStatus = "completed", outputs: JSON = None) -> "ScriptedRun":
        error = Failure.of(None, "broken", "the child failed") if status == "failed" else None
        value = NULL if outputs is None else Value.of(outputs)
        child = self[path].child
        return self.report(
            entries.ChildEnded(at=self.now, path=path, status=status, run=child, outputs=value, error=error)
        )

    def is_cancelled(self) -> "ScriptedRun":
        return self.report(entries.CancelRequested(at=self.now, reason="enough"))

    def runs_out_of_time(self) -> "ScriptedRun":
        self.now = self.state.deadline or 0
        return self.report(entries.DeadlinePassed(at=self.now))

    def is_resolved(self, path: str, verdict: Verdict, output: JSON = None) -> "ScriptedRun":
        return self.report(entries.StepResolved(at=self.now, path=path, verdict=verdict, output=Value.of(output)))

    def is_retried(self) -> "ScriptedRun":
        return self.report(entries.RunRetried(at=self.now, by="ops", reason="mended"))

    def crashes(self) -> "ScriptedRun":
        """The process dies; `new` and `asked` are then those of its successor."""
        self.state = replay_entries(RUN, self.history)
        told: list[str] = []
        for fact in find_lost_attempts(self.definition, self.state, self.now, is_orphan=True):
            self.report(fact)
            told += self.new
        self.new, self.asked = told, find_outstanding(self.definition, self.state, self.now)
        return self


def describe_entry(entry: AnyEntry) -> str:
    """An entry as a short line: `step_completed a`, `branch_ended all[1] failed`."""
    told: Any = entry
    place = getattr(told, "path", None) or ""
    if getattr(told, "index", None) is not None:
        place += f"[{told.index}]"
    elif hasattr(told, "branch"):
        place += f" {told.branch!r}"
    words = [str(entry.__struct_config__.tag), place, getattr(told, "status", "")]
    return " ".join(word for word in words if word)
