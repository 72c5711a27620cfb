"""What the shape of `flow.call` and `flow.undo` cannot tell: whether what they name is there."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from durable.blocks.syntax import Mapped, get_list, get_mapping
from durable.language.report import Report
from durable.language.scope import StepInfo
from durable.language.texts import is_template
from durable.problem import Pointer, Problem
from durable.wording import quote, suggest
from durable.yaml.document import LineColumn


@dataclass(frozen=True, slots=True)
class PipelineCall:
    """A `flow.call` of a pipeline that is named, and not made by an expression."""

    pipeline: str
    place: LineColumn

    def problem(self, file: str, pipelines: Collection[str]) -> Problem | None:
        """What is wrong with it where there are these pipelines and no others."""
        if self.pipeline in pipelines:
            return None
        hint = suggest(self.pipeline, pipelines) or "add it to the folder"
        return Problem(file, *self.place, f"there is no pipeline {quote(self.pipeline)}", hint)


class FlowCheck:
    """Checks what `flow.…` names, and gathers the `calls` of other pipelines, which only the folder can check."""

    def __init__(self, findings: Report, places: Mapping[Pointer, StepInfo], own: str) -> None:
        self._report = findings
        self._places = places
        self._own = own
        self.calls: list[PipelineCall] = []
        self._ids = {id for spot in places.values() for id in spot.ids}
        self._undoable = {id for spot in places.values() if spot.has_undo for id in spot.ids}
        self._ends = False

    def run(self, use: str, step: Mapped, pointer: Pointer) -> None:
        """Check a step with a `use` of `flow.…`."""
        match use:
            case "flow.call":
                self._check_call(step, pointer)
            case "flow.undo":
                self._check_undo(step, pointer)
            case "flow.stop" | "flow.fail":
                self._ends = True

    # -- calls

    def _check_call(self, step: Mapped, pointer: Pointer) -> None:
        called, where = get_mapping(step.get("with")).get("pipeline"), (*pointer, "with", "pipeline")
        if not isinstance(called, str) or is_template(called):
            return
        if called == self._own:
            if not self._ends and not self._is_conditional(pointer):
                what, hint = "the pipeline calls itself without an end", "give the step an 'if' that ends it"
                self._report.add(where, what, hint, severity="warning")
        else:
            self.calls.append(PipelineCall(called, self._report.document.position(where)))

    def _is_conditional(self, pointer: Pointer) -> bool:
        """Whether a step may be left out: by a condition, or since it stands where not every run comes by."""
        step = self._places[pointer]
        return (
            pointer[0] == "on_failure"
            or step.has_condition
            or any(block.has_condition or branch.may_be_left_out for block, branch in step.blocks)
        )

    # -- undo

    def _check_undo(self, step: Mapped, pointer: Pointer) -> None:
        if not self._undoable:
            hint = "give a step an 'undo', which says what takes its effect back"
            self._report.add((*pointer, "use"), "no step has an 'undo', so that nothing can be undone", hint)
            return
        given = get_list(get_mapping(step.get("with")).get("steps"))
        named = {i: id for i, id in enumerate(given) if isinstance(id, str) and not is_template(id)}
        is_vain = len(named) == len(given) and self._undoable.isdisjoint(named.values())
        for index, id in named.items():
            where = (*pointer, "with", "steps", index)
            if id not in self._ids:
                self._report.add(where, f"there is no step {quote(id)}", suggest(id, self._undoable))
            elif id not in self._undoable:
                what = f"neither the step {quote(id)} nor anything in it has an 'undo'"
                hint = f"those that have one: {', '.join(sorted(self._undoable)[:12])}"
                self._report.add(where, what, hint, severity="error" if is_vain else "warning")
