"""Where each step of a file stands, and what is known of it before it is performed."""

from durable.blocks.syntax import Branch, Mapped, get_list, get_mapping
from durable.known_values import KnownValue
from durable.language.catalogue import Catalogue
from durable.language.outputs import find_kept, find_links, find_returned
from durable.language.report import Report
from durable.language.scope import StepInfo
from durable.language.steps import KINDS, find_kind, list_branches
from durable.problem import Pointer
from durable.values import JSON


def collect_steps(data: Mapped, findings: Report, catalogue: Catalogue) -> dict[Pointer, StepInfo]:
    """Where each step of the file stands, by pointer."""
    found: dict[Pointer, StepInfo] = {}

    def place(steps: JSON, pointer: Pointer, blocks: tuple[tuple[StepInfo, Branch], ...]) -> None:
        for index, step in enumerate(get_list(steps)):
            here = (*pointer, index)
            if isinstance(step, dict):
                name, kind = step.get("id"), find_kind(step)
                info = StepInfo(
                    name if isinstance(name, str) else "",
                    kind,
                    KINDS[kind].shows if kind else None,
                    len(found),
                    findings.document.position(here)[0],
                    blocks,
                    _find_output(step, catalogue),
                    find_links(step),
                    has_condition="if" in step,
                    has_undo="undo" in step,
                )
                found[here] = info
                for branch in list_branches(step, here):
                    place(branch.steps, branch.pointer, (*blocks, (info, branch)))

    place(data.get("steps"), ("steps",), ())
    place(data.get("on_failure"), ("on_failure",), ())
    return found


def _find_output(step: Mapped, catalogue: Catalogue) -> KnownValue:
    use = step.get("use")
    return (
        find_kept(step, find_returned(use, get_mapping(step.get("with")), catalogue)) if isinstance(use, str) else None
    )
