"""Where each step of a file stands, and what is known of it before it is performed."""

from durable.language.catalogue import Catalogue
from durable.language.document import Pointer
from durable.language.findings import Findings
from durable.language.known import Known
from durable.language.names import Spot
from durable.language.outputs import kept, links, returned
from durable.language.pipeline import kind_of
from durable.language.tree import Mapped, branches, listed, mapped
from durable.values import JSON


def spots(data: Mapped, findings: Findings, catalogue: Catalogue) -> dict[Pointer, Spot]:
    """Where each step of the file stands, by pointer."""
    found: dict[Pointer, Spot] = {}

    def place(steps: JSON, pointer: Pointer, blocks: tuple[tuple[Spot, str], ...]) -> None:
        for index, step in enumerate(listed(steps)):
            here = (*pointer, index)
            if isinstance(step, dict):
                name, line = step.get("id"), findings.document.position(here)[0]
                spot = Spot(
                    name if isinstance(name, str) else "",
                    kind_of(step),
                    len(found),
                    line,
                    blocks,
                    _output(step, catalogue),
                    links(step),
                    has_condition="if" in step,
                    has_undo="undo" in step,
                )
                found[here] = spot
                for branch in branches(step, here):
                    place(branch.steps, branch.pointer, (*blocks, (spot, branch.label)))

    place(data.get("steps"), ("steps",), ())
    place(data.get("on_failure"), ("on_failure",), ())
    return found


def _output(step: Mapped, catalogue: Catalogue) -> Known:
    use = step.get("use")
    return kept(step, returned(use, mapped(step.get("with")), catalogue)) if isinstance(use, str) else None
