"""Where each step of a file stands, and what is known of it before it is performed."""

from durable.known_values import KnownValue
from durable.language.catalogue import Catalogue
from durable.language.outputs import find_kept, find_links, find_returned
from durable.language.pipeline import find_kind
from durable.language.report import Report
from durable.language.scope import StepInfo
from durable.language.tree import Mapped, get_list, get_mapping, list_branches
from durable.problem import Pointer
from durable.values import JSON


def collect_steps(data: Mapped, findings: Report, catalogue: Catalogue) -> dict[Pointer, StepInfo]:
    """Where each step of the file stands, by pointer."""
    found: dict[Pointer, StepInfo] = {}

    def place(steps: JSON, pointer: Pointer, blocks: tuple[tuple[StepInfo, str], ...]) -> None:
        for index, step in enumerate(get_list(steps)):
            here = (*pointer, index)
            if isinstance(step, dict):
                name, line = step.get("id"), findings.document.position(here)[0]
                spot = StepInfo(
                    name if isinstance(name, str) else "",
                    find_kind(step),
                    len(found),
                    line,
                    blocks,
                    _find_output(step, catalogue),
                    find_links(step),
                    has_condition="if" in step,
                    has_undo="undo" in step,
                )
                found[here] = spot
                for branch in list_branches(step, here):
                    place(branch.steps, branch.pointer, (*blocks, (spot, branch.label)))

    place(data.get("steps"), ("steps",), ())
    place(data.get("on_failure"), ("on_failure",), ())
    return found


def _find_output(step: Mapped, catalogue: Catalogue) -> KnownValue:
    use = step.get("use")
    return (
        find_kept(step, find_returned(use, get_mapping(step.get("with")), catalogue)) if isinstance(use, str) else None
    )
