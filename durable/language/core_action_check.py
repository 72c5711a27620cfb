"""Checks steps with core actions, as far as the models of their inputs cannot."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from durable.blocks.block import CoreAction
from durable.blocks.core_actions import CORE_ACTIONS
from durable.blocks.syntax import Outline
from durable.known_values import is_template
from durable.language.json_schemas import compile_schemas
from durable.language.report import Report
from durable.language.step_info import StepInfo
from durable.language.validation import find_data_problems
from durable.problem import LineColumn, Pointer, Problem
from durable.spec_model import Mapped, get_mapping
from durable.values import JSON
from durable.wording import quote, suggest


@dataclass(frozen=True, slots=True)
class PipelineCall:
    """A call of another pipeline by a constant name."""

    pipeline: str
    place: LineColumn

    def problem(self, file: str, pipelines: Collection[str]) -> Problem | None:
        """Return what is wrong with the call if only these pipelines exist."""
        if self.pipeline in pipelines:
            return None
        hint = suggest(self.pipeline, pipelines) or "add it to the pipelines folder"
        return Problem(file, *self.place, f"there is no pipeline {quote(self.pipeline)}", hint)


class CoreActionCheck:
    """Checks steps with core actions, and collects their `calls` of other pipelines, which can only be checked for the
    whole folder."""

    def __init__(self, report: Report, steps: Mapping[Pointer, StepInfo], pipeline: str) -> None:
        self._report = report
        self._steps = steps
        self._pipeline = pipeline
        self.calls: list[PipelineCall] = []
        self._ids = {id for step in steps.values() for id in step.ids}
        self._undoable = {id for step in steps.values() if step.has_undo for id in step.ids}
        self._may_have_ended = False

    def check(self, action: CoreAction, step: Mapped, pointer: Pointer) -> None:
        """Check a step that uses the action."""
        syntax, given, where = action.syntax, get_mapping(step.get("with")), (*pointer, "with")
        may_end_before = self._may_have_ended or pointer[0] == "on_failure" or self._steps[pointer].may_be_left_out
        outline = Outline(
            pipeline=self._pipeline, ids=self._ids, undoable=self._undoable, may_end_before=may_end_before
        )
        self._report.add_all(syntax.check(step, outline), pointer)
        self._may_have_ended |= syntax.ends_run
        self._check_schemas(action, given, where)
        for at, use in syntax.list_inner(given):
            self._check_inner(CORE_ACTIONS[use], given, at, where)
        called = syntax.find_called(given)
        if called and called != self._pipeline:
            self.calls.append(PipelineCall(called, self._report.document.position((*where, "pipeline"))))

    def _check_inner(self, action: CoreAction, given: JSON, at: Pointer, where: Pointer) -> None:
        """Check the inputs of an action inside those of another."""
        for part in at:
            given = get_mapping(given).get(str(part))
        inner = get_mapping(given)
        self._report.add_all(find_data_problems(action.input, inner, is_open=is_template), (*where, *at))
        self._check_schemas(action, inner, (*where, *at))

    def _check_schemas(self, action: CoreAction, given: Mapped, where: Pointer) -> None:
        if key := action.syntax.schemas:
            for _ in compile_schemas(get_mapping(given.get(key)), (*where, key), self._report, may_be_open=True):
                pass
