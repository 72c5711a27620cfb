"""What the shape of `flow.call` and `flow.undo` cannot tell: whether what they name is there."""

from collections.abc import Collection, Mapping

from durable.language.document import Pointer
from durable.language.findings import Findings
from durable.language.names import Spot
from durable.language.problem import nearest, quoted, suggestion
from durable.language.texts import is_template
from durable.language.tree import Mapped, listed, mapped


class FlowCheck:
    """Checks what `flow.…` names. `pipelines` are those that there are; None: nobody knows."""

    def __init__(
        self, findings: Findings, places: Mapping[Pointer, Spot], own: str, pipelines: Collection[str] | None
    ) -> None:
        self._findings = findings
        self._places = places
        self._own = own
        self._pipelines = pipelines
        self._ids = {id for spot in places.values() for id in spot.ids}
        self._undoable = {id for spot in places.values() if spot.has_undo for id in spot.ids}
        self._ends = False

    def run(self, use: str, step: Mapped, pointer: Pointer) -> None:
        """Check a step with a `use` of `flow.…`."""
        match use:
            case "flow.call":
                self._call(step, pointer)
            case "flow.undo":
                self._undo(step, pointer)
            case "flow.stop" | "flow.fail":
                self._ends = True

    # -- calls

    def _call(self, step: Mapped, pointer: Pointer) -> None:
        called, where = mapped(step.get("with")).get("pipeline"), (*pointer, "with", "pipeline")
        if not isinstance(called, str) or is_template(called):
            return
        if called == self._own:
            if not self._ends and not self._is_conditional(pointer):
                what, hint = "the pipeline calls itself without an end", "give the step an 'if' that ends it"
                self._findings.add(where, what, hint, severity="warning")
        elif self._pipelines is not None and called not in self._pipelines:
            meant = nearest(called, self._pipelines)
            hint = f"did you mean {quoted(meant)}" if meant else "it must be there when the step is performed"
            self._findings.add(where, f"there is no pipeline {quoted(called)}", hint, severity="warning")

    def _is_conditional(self, pointer: Pointer) -> bool:
        """Whether a step may be left out: by a condition, or since it stands where not every run comes by."""
        spot = self._places[pointer]
        around = spot.blocks
        return (
            pointer[0] == "on_failure"
            or spot.has_condition
            or any(block.has_condition or block.kind in {"switch", "foreach"} for block, _ in around)
            or any(branch == "on_timeout" or branch.startswith("catch ") for _, branch in around)
        )

    # -- undo

    def _undo(self, step: Mapped, pointer: Pointer) -> None:
        if not self._undoable:
            hint = "give a step an 'undo', which says what takes its effect back"
            self._findings.add((*pointer, "use"), "no step has an 'undo', so that nothing can be undone", hint)
            return
        given = listed(mapped(step.get("with")).get("steps"))
        named = {i: id for i, id in enumerate(given) if isinstance(id, str) and not is_template(id)}
        is_vain = len(named) == len(given) and self._undoable.isdisjoint(named.values())
        for index, id in named.items():
            where = (*pointer, "with", "steps", index)
            if id not in self._ids:
                self._findings.add(where, f"there is no step {quoted(id)}", suggestion(id, self._undoable))
            elif id not in self._undoable:
                what = f"neither the step {quoted(id)} nor anything in it has an 'undo'"
                hint = f"those that have one: {', '.join(sorted(self._undoable)[:12])}"
                self._findings.add(where, what, hint, severity="error" if is_vain else "warning")
